"""A project's own tests, run in a sandbox on a copy of it."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.sandbox.job import MIB, Ended, Job, Limits
from fimble.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eval_harness.feedback.recipe import FeedbackRecipe
    from eval_harness.sandbox.job import Outcome, Sandbox

MAX_PROJECT_BYTES = 64 * MIB
_SKIPPED = frozenset({".git", ".hg", ".venv", "venv", "node_modules", "__pycache__", ".tox"})
_WALL_FACTOR = 4
"""A run of the tests may wait for so long, in its CPU seconds."""
_LAST_CHARS = 300


class ProjectTests:
    """Says whether the tests pass; safe to use from several threads."""

    def __init__(self, recipe: FeedbackRecipe, sandbox: Sandbox, out: Path) -> None:
        """Read the project.

        Args:
            recipe: Names it.
            sandbox: Where its tests run.
            out: Folder of the run: no part of the project, though it may lie in it.

        Raises:
            InputError: There is no such folder, it is too large, or the command is not here.
        """
        self._sandbox = sandbox
        self._files = _files_of(recipe.source.expanduser(), out.resolve())
        self._argv, self._readable = _command(recipe.tests)
        self._limits = Limits(
            cpu_s=recipe.cpu_s,
            wall_s=recipe.cpu_s * _WALL_FACTOR,
            memory_bytes=recipe.memory_mib * MIB,
            folder_bytes=4 * MAX_PROJECT_BYTES,
        )

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of all files, paths included."""
        of_files = (
            f"{hashlib.sha256(data).hexdigest()} {path}" for path, data in self._files.items()
        )
        return hashlib.sha256("\n".join(of_files).encode("utf-8", "surrogatepass")).hexdigest()

    def check(self) -> None:
        """Make sure that the tests pass as the project is.

        Raises:
            InputError: They do not.
        """
        done = self._run({})
        if not _is_success(done):
            said = (done.stdout + done.stderr).decode(errors="replace").strip()[-_LAST_CHARS:]
            raise InputError(
                f"the tests do not pass as the project is ({done.ended.value}, exit code "
                f"{done.exit_code}): {said}"
            )

    def pass_with(self, path: str, text: str) -> bool:
        """Return whether the tests pass where a file holds another text.

        Raises:
            SandboxError: The sandbox itself failed.
        """
        return _is_success(self._run({path: text.encode("utf-8", "surrogatepass")}))

    def _run(self, changed: Mapping[str, bytes]) -> Outcome:
        return self._sandbox.run(
            Job(
                argv=self._argv,
                files={**self._files, **changed},
                env={"PYTHONPATH": ".:src", "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"},
                readable=self._readable,
                limits=self._limits,
            )
        )


def _is_success(done: Outcome) -> bool:
    return done.ended is Ended.EXITED and done.exit_code == 0


def _files_of(source: Path, out: Path) -> dict[str, bytes]:
    """Return all that the tests may need, by relative path.

    Raises:
        InputError: It is no folder, or holds too much.
    """
    if not source.is_dir():
        raise InputError(f"source is {source}; it must be a folder")
    files: dict[str, bytes] = {}
    num_bytes = 0
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if _SKIPPED.intersection(relative.parts) or path.is_symlink() or not path.is_file():
            continue
        if path.resolve().is_relative_to(out):
            continue
        num_bytes += path.stat().st_size
        if num_bytes > MAX_PROJECT_BYTES:
            raise InputError(
                f"{source} holds more than {MAX_PROJECT_BYTES // MIB} MiB; name the folder of the "
                "code and its tests alone"
            )
        files[relative.as_posix()] = path.read_bytes()
    return files


def _command(tests: str) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Return the words of a command, and what it must be able to read.

    Raises:
        InputError: Its program is not on this machine.
    """
    program, *words = shlex.split(tests)
    if program in {"python", "python3"}:
        return (sys.executable, *words), tuple({Path(sys.prefix), Path(sys.base_prefix)})
    found = shutil.which(program)
    if found is None:
        raise InputError(f"tests starts with {program!r}, which is not on this machine")
    resolved = Path(found).resolve()
    return (str(resolved), *words), (resolved.parent,)
