"""What a git repository's history says was changed."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from fimble.languages import by_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def changed_files(
    repository: Path, *, max_commits: int, kinds: str = "M"
) -> Iterator[tuple[str, str]]:
    """Yield commit and path of files of code that were changed, the newest first.

    Args:
        repository: A folder within a git repository.
        max_commits: The newest so many that are no merges.
        kinds: As git's `--diff-filter`: `M` modified, `A` added.
    """
    command = ["log", "--no-merges", f"--diff-filter={kinds}", f"-n{max_commits}", "--format=>%H"]
    commit = ""
    for line in git(repository, *command, "--name-only").splitlines():
        if line.startswith(">"):
            commit = line[1:]
        elif line and by_path(line) is not None:
            yield commit, line


def git(repository: Path, *arguments: str) -> str:
    """Return what git prints."""
    command = ["git", "-C", str(repository), *arguments]
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout.decode(errors="replace")
