"""Verdicts by program: what was judged once on this machine is not run again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Self

from eval_harness.verdict import State, Verdict

if TYPE_CHECKING:
    from eval_harness.problem import Problem

NAME = "verdicts.sqlite"
STABLE = frozenset(
    {
        State.PASSED,
        State.WRONG,
        State.COMPILE_ERROR,
        State.CPU_LIMIT,
        State.MEMORY_LIMIT,
        State.OUTPUT_LIMIT,
    }
)
"""States that the program alone decides; others say as much about the machine that day."""


def program_key(problem: Problem, answer: str, judge: str) -> str:
    """Return the digest of everything that decides a verdict.

    Args:
        problem: The problem; equal programs of several problems have one key.
        answer: What completes it.
        judge: Digest of toolchain, sandbox, limits and judging code.
    """
    decides = (
        problem.language,
        problem.header,
        problem.candidate(answer),
        problem.tests,
        problem.entry_point,
        problem.style,
        judge,
    )
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


def code_digest() -> str:
    """Return the digest of the code that judges, and of the limits that stand in it."""
    root = Path(__file__).parent
    places = [root / "problem.py", root / "stdio.py", root / "verdict.py"]
    for folder in ("languages", "sandbox"):
        places += (path for path in (root / folder).rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in sorted(places):
        if "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


class VerdictCache:
    """A store of verdicts that several processes may use at once.

    Args:
        folder: Where its file lies; made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Statements of several threads take turns under our lock.
        self._connection = sqlite3.connect(folder / NAME, timeout=60, check_same_thread=False)
        self._lock = threading.Lock()
        with self._lock, self._connection:
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = off")
            self._connection.execute(
                "create table if not exists verdicts (program text primary key, state text not "
                "null, detail text not null, cpu_ms real not null, wall_ms real not null)"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, key: str) -> Verdict | None:
        """Return the verdict of a program, or None."""
        question = "select state, detail, cpu_ms, wall_ms from verdicts where program = ?"
        with self._lock, closing(self._connection.execute(question, (key,))) as rows:
            row = rows.fetchone()
        return None if row is None else Verdict(State(row[0]), *row[1:])

    def put(self, key: str, verdict: Verdict) -> None:
        """Keep a verdict if the program alone decides it."""
        if verdict.state not in STABLE:
            return
        statement = "insert or replace into verdicts values (?, ?, ?, ?, ?)"
        with self._lock, self._connection:
            self._connection.execute(statement, (key, *verdict))
