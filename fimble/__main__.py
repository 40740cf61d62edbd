"""`python -m fimble` is the `fimble` command."""

from fimble.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
