"""What runs within the isolation: the standard library alone, started with `python -I -S`."""
