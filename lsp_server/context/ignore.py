"""Which files a project wants to be left alone, as git reads `.gitignore`.

A file of ours with the same format, `.fimbleignore`, hides what git knows from completions.

Source: gitignore(5), section "Pattern format".
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IGNORE_FILES = (".gitignore", ".fimbleignore")
"""Read in every folder, in this order: what comes later wins."""
_MAX_DEEP = 4
"""A pattern with `**` more often is not read: it would take long."""
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
    if not glob or glob.count("**") > _MAX_DEEP:
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
    """Return the regular expression of a pattern.

    A star takes as little as the text up to the next star allows, and never tries again: so no
    pattern takes longer than the path's length times its own.
    """
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
    return _without_retries(parts)


def _without_retries(parts: list[str]) -> str:
    """Return the parts of an expression as one, each star but the last of a folder atomic."""
    joined = ""
    stars = [n for n, part in enumerate(parts) if part == _STAR]
    start = 0
    for here, following in itertools.pairwise(stars):
        between = "".join(parts[here + 1 : following])
        joined += "".join(parts[start:here])
        is_fixed = not any(part in _DEEP for part in parts[here + 1 : following])
        joined += f"(?>[^/]*?{between})" if is_fixed else f"[^/]*{between}"
        start = following
    return joined + "".join(parts[start:])


_STAR = "[^/]*"
_STARS = (("/**/", "/(?:.*/)?"), ("**/", "(?:.*/)?"))
_DEEP = frozenset({".*", *(expression for _, expression in _STARS)})
_ATOM = re.compile(
    r"(?P<rest>(?<=/)\*\*$)|(?P<star>\*+)|(?P<one>\?)|\\(?P<plain>.)"
    r"|\[(?P<not>[!^]?)(?P<set>\]?[^\]]*)\]|(?P<char>.)",
    re.DOTALL,
)


def _expression(found: re.Match[str]) -> str:
    if found["rest"]:
        return ".*"
    if found["star"]:
        return _STAR
    if found["one"]:
        return "[^/]"
    if found["set"]:
        inside = found["set"].replace("\\", "\\\\").replace("[", "\\[")
        inside = inside.replace("]", "\\]")
        return f"(?!/)[{'^' if found['not'] else ''}{inside}]"
    return re.escape(found["plain"] or found["char"])
