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
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fimble.context import WindowBudget, window
from fimble.languages import by_path
from fimble.snippets.around import Around, Edited
from fimble.snippets.project import MAX_FILE_BYTES, ProjectIndex
from fimble.snippets.words import encoded, words
from fimble.text import decode_source, to_lf

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    command = ["log", "--no-merges", "--diff-filter=AM", f"-n{MAX_COMMITS}", "--format=>%H"]
    found: dict[str, list[str]] = {}
    commit = ""
    for line in _git(repository, *command, "--name-only").decode().splitlines():
        if line.startswith(">"):
            commit = line[1:]
        elif line and by_path(line) is not None:
            found.setdefault(commit, []).append(line)
    return {commit: paths for commit, paths in found.items() if 2 <= len(paths) <= MAX_FILES}


def _counted(repository: Path, commit: str, paths: list[str]) -> Counter[str]:
    """Return the words of one commit by where they stand."""
    before = _files(repository, f"{commit}^", None)
    after = _files(repository, commit, paths)
    index = ProjectIndex()
    for path, text in before.items():
        _put(index, path, text)
    edited: list[Edited] = []
    counts: Counter[str] = Counter()
    for path in paths:
        changes = list(_changes(path, before.get(path, ""), after.get(path, "")))[:MAX_CHANGES]
        for change in changes if edited and before.get(path) else []:
            around = change.around._replace(edited=tuple(edited[-8:]))
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


def _files(repository: Path, revision: str, paths: list[str] | None) -> dict[str, str]:
    """Return the files of code of a revision: those at `paths`, or all."""
    listed = _git(repository, "ls-tree", "-r", "-l", "-z", revision, "--", *(paths or []))
    found: dict[str, str] = {}
    names: dict[str, str] = {}
    for entry in listed.decode(errors="replace").split("\0")[:-1]:
        about, path = entry.split("\t", 1)
        _, kind, name, size = about.split()
        if kind == "blob" and int(size) <= MAX_FILE_BYTES and by_path(path) is not None:
            names[path] = name
    blobs = _blobs(repository, list(dict.fromkeys(names.values())))
    for path, name in names.items():
        found[path] = to_lf(decode_source(blobs[name]) or "")
    return found


def _blobs(repository: Path, names: list[str]) -> dict[str, bytes]:
    """Return the contents of blobs, read by one process of git."""
    command = ["git", "-C", str(repository), "cat-file", "--batch"]
    said = "".join(f"{name}\n" for name in names).encode()
    out = subprocess.run(command, input=said, capture_output=True, check=True).stdout
    found: dict[str, bytes] = {}
    at = 0
    for name in names:
        header = out.index(b"\n", at)
        size = int(out[at:header].split()[2])
        found[name] = out[header + 1 : header + 1 + size]
        at = header + 1 + size + 1
    return found


def _git(repository: Path, *arguments: str) -> bytes:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


if __name__ == "__main__":
    main()
