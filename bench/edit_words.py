"""How much of what is written next do lines that were edited just before say?

    python -m bench.edit_words [--repository DIR] [--commits N] [--seed N]

Commits of a git repository that change two files or more are written again, file by file in an
order that is drawn. At each change of the second file and those behind it, the words of its first
lines are counted that the window around the cursor has not, and how many of them stand in the code
of other files that the server would send: with what was edited before, and without. No model is
asked.
"""

from __future__ import annotations

import argparse
import difflib
import random
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.history import changed_files
from eval_harness.suites.neighbours import index_of
from eval_harness.suites.trees import read_tree
from fimble.context import WindowBudget, window
from fimble.languages import by_path
from fimble.snippets.around import Around, Edited
from fimble.snippets.words import encoded, words
from lsp_server.context.recent import MAX_PLACES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fimble.snippets.project import ProjectIndex

ROOT = Path(__file__).resolve().parents[1]
MAX_COMMITS = 600
MAX_FILES = 12
MAX_CHANGES = 6
MAX_LINES = 6
"""Of a change: further lines are written with these in the window."""


class Change(NamedTuple):
    """Lines of a file that a commit brings."""

    around: Around
    new: str
    edited: Edited


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repository", type=Path, default=ROOT, help="of git; default: this one")
    parser.add_argument("--commits", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    commits = _commits(arguments.repository)
    counts: Counter[str] = Counter()
    for commit in rng.sample(sorted(commits), min(arguments.commits, len(commits))):
        paths = rng.sample(commits[commit], len(commits[commit]))
        counts += _counted(arguments.repository, commit, paths)
    print(f"{counts['changes']} changes, {counts['missing']} words that the window has not")
    for name in ("without", "with"):
        print(f"{name:8} what was edited before: {counts[name] / max(1, counts['missing']):.1%}")


def _commits(repository: Path) -> dict[str, list[str]]:
    """Return the changed files of code of commits that change some, but not many."""
    found: dict[str, list[str]] = {}
    for commit, path in changed_files(repository, max_commits=MAX_COMMITS, kinds="AM"):
        found.setdefault(commit, []).append(path)
    return {commit: paths for commit, paths in found.items() if 2 <= len(paths) <= MAX_FILES}


def _counted(repository: Path, commit: str, paths: list[str]) -> Counter[str]:
    """Return the words of one commit by where they stand."""
    [known] = read_tree(str(repository), f"{commit}^", Path()).workspaces
    [written] = read_tree(str(repository), commit, Path()).workspaces
    before, after = known.files, written.files
    index = index_of(known)
    edited: list[Edited] = []
    counts: Counter[str] = Counter()
    for path in paths:
        changes = list(_changes(path, before.get(path, ""), after.get(path, "")))[:MAX_CHANGES]
        for change in changes if edited and before.get(path) else []:
            around = change.around._replace(edited=tuple(edited[-MAX_PLACES:]))
            counts += _words_of(change, index, around)
        _put(index, path, after.get(path, ""))
        edited += [change.edited for change in changes]
    return counts


def _words_of(change: Change, index: ProjectIndex, around: Around) -> Counter[str]:
    missing = words(encoded(change.new))
    missing -= words(encoded("\n".join(window(around.prefix, around.suffix, WindowBudget()))))
    found = {"changes": 1, "missing": len(missing)}
    for name, place in (("without", change.around), ("with", around)):
        text = "\n".join(snippet.text for snippet in index.select(place))
        found[name] = len(missing & words(encoded(text)))
    return Counter(found)


def _changes(path: str, before: str, after: str) -> Iterator[Change]:
    """Yield what comes new into a file, from the top."""
    old, new = before.split("\n"), after.split("\n")
    language = by_path(path)
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, _, last, new_first, new_last in matcher.get_opcodes():
        lines = new[new_first:new_last]
        if tag in {"insert", "replace"} and any(map(str.strip, lines)):
            prefix = "".join(f"{line}\n" for line in new[:new_first])
            suffix = "\n" + "\n".join(old[last:])
            around = Around(path, prefix, suffix, language.name if language else "")
            edited = Edited(path, new_first, new_last)
            yield Change(around, "\n".join(lines[:MAX_LINES]), edited)


def _put(index: ProjectIndex, path: str, text: str) -> None:
    if (language := by_path(path)) is not None:
        index.put(path, text, language.name)


if __name__ == "__main__":
    main()
