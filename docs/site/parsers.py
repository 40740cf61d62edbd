"""The command line as `argparse` knows it: every command of `fimble`, with its options."""

from __future__ import annotations

import argparse
import importlib
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, cast

from fimble.cli import VERBS, Command

if TYPE_CHECKING:
    from collections.abc import Iterator


class Option(NamedTuple):
    """One argument of a command."""

    name: str
    """As it is typed, with the name of its value."""
    help: str
    is_required: bool


class Usage(NamedTuple):
    """One command that does something."""

    name: str
    """With everything before it: `fimble corpus build`."""
    help: str
    extra: str
    """Of the package, which brings what it needs; empty for the editor install."""
    parser: argparse.ArgumentParser


@cache
def root() -> argparse.ArgumentParser:
    """Return the parser of `fimble` with the arguments of all verbs."""
    parser = argparse.ArgumentParser(prog="fimble")
    parser.add_argument("--version", action="version", version="")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, verb in VERBS.items():
        command = cast("Command", importlib.import_module(verb.module))
        command.add_arguments(verbs.add_parser(name, help=verb.help))
    return parser


def usages() -> list[Usage]:
    """Return every command, in the order of `fimble --help`."""
    return [
        usage
        for name, child in _children(root())
        for usage in _leaves(child, VERBS[name].help, VERBS[name].extra)
    ]


def _leaves(parser: argparse.ArgumentParser, text: str, extra: str) -> Iterator[Usage]:
    children = list(_children(parser))
    if not children:
        yield Usage(parser.prog, text, extra, parser)
    helps = _helps(parser)
    for name, child in children:
        yield from _leaves(child, helps.get(name, ""), extra)


# What argparse knows of a parser has no public names.
def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 - see above


def _subparsers(parser: argparse.ArgumentParser) -> argparse.Action | None:
    kind = argparse._SubParsersAction  # noqa: SLF001 - see above
    return next((a for a in _actions(parser) if isinstance(a, kind)), None)


def _children(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    action = _subparsers(parser)
    if action is not None:
        choices = cast("dict[str, argparse.ArgumentParser]", action.choices)
        yield from choices.items()


def _helps(parser: argparse.ArgumentParser) -> dict[str, str]:
    action = _subparsers(parser)
    if action is None:
        return {}
    assert isinstance(action, argparse._SubParsersAction)  # noqa: SLF001 - see above
    shown = action._get_subactions()  # noqa: SLF001 - see above
    return {each.dest: each.help or "" for each in shown}


def descend(words: list[str]) -> tuple[argparse.ArgumentParser, list[str]]:
    """Return the parser that the first of `words` lead to, and the words that are left."""
    parser = root()
    while words and (choices := dict(_children(parser))):
        if words[0] not in choices:
            break
        parser, words = choices[words[0]], words[1:]
    return parser, words


def has_commands(parser: argparse.ArgumentParser) -> bool:
    """Whether a command needs another word to do something."""
    return _subparsers(parser) is not None


def options(parser: argparse.ArgumentParser) -> list[Option]:
    """Return the arguments of a command, without `--help`."""
    formatter = argparse.HelpFormatter(parser.prog)
    found = []
    for action in _actions(parser):
        if isinstance(action, argparse._HelpAction):  # noqa: SLF001 - see above
            continue
        text = formatter._expand_help(action) if action.help else ""  # noqa: SLF001 - see above
        is_named = bool(action.option_strings)
        is_required = action.required if is_named else action.nargs not in {"?", "*"}
        found.append(Option(_typed(action), text, is_required))
    return found


def _typed(action: argparse.Action) -> str:
    """Return an argument as it is typed."""
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    value = "|".join(map(str, action.choices)) if action.choices else metavar
    if not action.option_strings:
        return f"{value}{'...' if action.nargs in {'+', '*'} else ''}"
    if action.nargs == 0:
        return ", ".join(action.option_strings)
    return f"{', '.join(action.option_strings)} {value}"
