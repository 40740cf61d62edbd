"""The `fimble` command: a table of verbs, each imported when it is called.

Exit codes: 0 done, 2 bad input (one message on standard error, no traceback), 1 our fault.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from importlib.metadata import version
from typing import NamedTuple, Protocol, cast

from fimble.errors import EngineError, FimbleError, InputError

OF_THE_MACHINE = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG),
    }
)
"""Errors of the system that a folder or a disk of the user explains: one message, no traceback."""
OUR_PACKAGES = frozenset({"fimble", "training", "lsp_server", "eval_harness", "telemetry"})


class Command(Protocol):
    """What the module of a verb offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's own arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it, and return the exit code."""
        ...


class Verb(NamedTuple):
    """One subcommand: where it lives, and one line of help."""

    module: str
    """Module that is a `Command`; its heavy imports may stand at its top."""
    help: str
    extra: str = ""
    """Extra that brings the packages of the verb; empty for the editor install."""


VERBS: dict[str, Verb] = {
    "lsp": Verb("lsp_server.command", "run the language server on standard input and output"),
    "serve": Verb("lsp_server.serving.command", "run the embedded engine behind TGI's HTTP API"),
    "ship": Verb("lsp_server.shipping.command", "send recorded segments to the collector"),
    "rollout": Verb("lsp_server.rollouts.command", "sign and explain which model users get"),
    "complete": Verb("lsp_server.complete", "print one completion at FILE:LINE:COLUMN"),
    "corpus": Verb("training.corpus.command", "turn sources into a clean corpus", "corpus"),
    "vocab": Verb("training.vocabulary.command", "train and measure vocabularies", "train"),
    "train": Verb("training.command", "train a model from a recipe", "train"),
    "tune": Verb("training.tuning.command", "tune a model: data, learning, gates", "train"),
    "loop": Verb(
        "training.loop.command", "run all stages, from sources to what people take", "train"
    ),
    "export": Verb("training.export.command", "write a model in a release format", "train"),
    "eval": Verb("eval_harness.command", "measure a model", "eval"),
    "telemetry": Verb("telemetry.command", "merge, query and inspect recorded events", "analyst"),
    "doctor": Verb("lsp_server.doctor", "say what works on this machine and what is missing"),
}


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except FimbleError as error:
        print(f"fimble: {error}", file=sys.stderr)
        return 1 if isinstance(error, EngineError) else 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Nobody reads on: the rest goes nowhere, and the interpreter's last flush does, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in OF_THE_MACHINE:
            raise
        print(f"fimble: {error}", file=sys.stderr)
        return 2


def _run(arguments: list[str]) -> int:
    """Parse the verb, import what it needs, and run it.

    Raises:
        InputError: A package of an extra that the verb needs is not installed.
    """
    parser = argparse.ArgumentParser(
        prog="fimble", description="Self-hosted code completion, from source code to ghost text."
    )
    parser.add_argument("--version", action="version", version=f"fimble {version('fimble')}")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    chosen = arguments[0] if arguments else ""
    parsers = {name: verbs.add_parser(name, help=verb.help) for name, verb in VERBS.items()}
    if chosen not in VERBS:
        parser.parse_args(arguments)
        return 2
    try:
        command = cast("Command", importlib.import_module(VERBS[chosen].module))
        command.add_arguments(parsers[chosen])
        return command.run(parser.parse_args(arguments))
    except ModuleNotFoundError as error:
        missing = _without(chosen, error)
        if missing is None:
            raise
        raise missing from error


def _without(name: str, error: ModuleNotFoundError) -> InputError | None:
    """Return what to say where a package of the verb's extra is not installed; else None."""
    extra, package = VERBS[name].extra, (error.name or "").partition(".")[0]
    if not extra or package in OUR_PACKAGES:
        return None
    return InputError(
        f"`fimble {name}` needs the package {error.name}, which is not installed; "
        f"install the extra: pip install 'fimble[{extra}]'"
    )


if __name__ == "__main__":
    raise SystemExit(main())
