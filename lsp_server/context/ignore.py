"""Which files a project wants to be left alone, as git reads `.gitignore`.

A file of ours with the same format, `.fimbleignore`, hides what git knows from completions.

Source: gitignore(5), section "Pattern format".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IGNORE_FILES = (".gitignore", ".fimbleignore")
"""Read in every folder, in this order: what comes later wins."""
MAX_RULES = 2000
"""Rules of one file that are read."""


class Rule(NamedTuple):
    """One line of an ignore file."""

    pattern: re.Pattern[str]
    """Matches the whole path from the workspace's root."""
    is_negated: bool
    folders_only: bool


def rules_in(text: str, folder: str) -> Iterator[Rule]:
    """Yield the rules of an ignore file.

    Args:
        text: What it holds.
        folder: The folder it lies in, from the workspace's root, with slashes; empty for the root.
    """
    for line in text.splitlines()[:MAX_RULES]:
        rule = _rule(line, folder)
        if rule is not None:
            yield rule


def is_ignored(path: str, rules: Iterable[Rule], *, is_folder: bool) -> bool:
    """Return whether rules, of outer folders first, leave a path out; the last that matches says.

    A file in a folder that is left out is so, too: whoever walks must not go in.
    """
    ignored = False
    for rule in rules:
        if rule.folders_only and not is_folder:
            continue
        if rule.is_negated == ignored and rule.pattern.fullmatch(path):
            ignored = not rule.is_negated
    return ignored


def _rule(line: str, folder: str) -> Rule | None:
    glob = re.sub(r"(?<!\\)\s+$", "", line)
    if not glob or glob.startswith("#"):
        return None
    is_negated = glob.startswith("!")
    glob = glob[1:] if is_negated else glob
    folders_only = glob.endswith("/")
    glob = glob.rstrip("/")
    if not glob:
        return None
    is_anchored = "/" in glob
    start = f"{re.escape(folder)}/" if folder else ""
    anywhere = "" if is_anchored else "(?:.*/)?"
    try:
        pattern = re.compile(start + anywhere + _translated(glob.removeprefix("/")), re.DOTALL)
    except re.error:  # such as a range that runs backwards
        return None
    return Rule(pattern, is_negated, folders_only)


def _translated(glob: str) -> str:
    """Return the regular expression of a pattern."""
    parts: list[str] = []
    at = 0
    while at < len(glob):
        for mark, expression in _STARS:
            if glob.startswith(mark, at) and (mark != "**/" or at == 0 or glob[at - 1] == "/"):
                parts.append(expression)
                at += len(mark)
                break
        else:
            found = _ATOM.match(glob, at)
            assert found is not None
            parts.append(_expression(found))
            at = found.end()
    return "".join(parts)


_STARS = (("/**/", "/(?:.*/)?"), ("**/", "(?:.*/)?"))
_ATOM = re.compile(
    r"(?P<rest>(?<=/)\*\*$)|(?P<star>\*+)|(?P<one>\?)|\\(?P<plain>.)"
    r"|\[(?P<not>[!^]?)(?P<set>\]?[^\]]*)\]|(?P<char>.)",
    re.DOTALL,
)


def _expression(found: re.Match[str]) -> str:
    if found["rest"]:
        return ".*"
    if found["star"]:
        return "[^/]*"
    if found["one"]:
        return "[^/]"
    if found["set"]:
        inside = found["set"].replace("\\", "\\\\").replace("[", "\\[")
        inside = inside.replace("]", "\\]")
        return f"(?!/)[{'^' if found['not'] else ''}{inside}]"
    return re.escape(found["plain"] or found["char"])
