"""The files of a run: one line a sample, appended whole; a line that a kill cut short is redone."""

from __future__ import annotations

import dataclasses
import json
import threading
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from eval_harness.problem import Extent, Kind, Problem
from eval_harness.verdict import State
from fimble.fim import Snippet

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MANIFEST = "manifest.json"
PROBLEMS = "problems.jsonl"
ANSWERS = "answers.jsonl"
VERDICTS = "verdicts.jsonl"


class Sample(NamedTuple):
    """Names one answer of a run."""

    suite: str
    language: str
    problem_id: str
    number: int
    """From 0; several answers to one problem are counted."""


class Answer(NamedTuple):
    """One line of `answers.jsonl`: what a model said, cut to where it ends."""

    suite: str
    language: str
    problem_id: str
    number: int
    text: str
    stop_reason: str
    """Of `fimble.stops.StopReason`, or why there is no answer."""
    latency_ms: float
    """From the question to the last character that counts."""
    first_token_ms: float
    """To the first token; the same as `latency_ms` where there is none."""
    prompt_tokens: int
    """0 where the stream was closed before the engine said."""
    generated_tokens: int
    canonical_logprob: float | None = None
    """Natural logarithm of the probability of the true answer, where it was asked for."""

    @property
    def sample(self) -> Sample:
        """What this answers."""
        return Sample(*self[:4])


class Judged(NamedTuple):
    """One line of `verdicts.jsonl`; of several lines on a sample, the last one counts."""

    suite: str
    language: str
    problem_id: str
    number: int
    state: State
    detail: str
    cpu_ms: float
    wall_ms: float
    judge: str
    """Digest of toolchain, sandbox and judging code: another one judges again."""
    is_cached: bool
    num_tries: int
    """2 where a suspected flake was run again, alone."""

    @property
    def sample(self) -> Sample:
        """What was judged."""
        return Sample(*self[:4])


class Asked(NamedTuple):
    """One line of `problems.jsonl`: a problem and what is known about it."""

    suite: str
    problem: Problem
    known_bad: str = ""
    """Why it is left out of scores; empty where it counts."""
    contaminated: str = ""
    """Where training data hold it; empty where they do not."""
    is_unchecked: bool = False
    """The corpus at hand was not searched for it."""


Row = TypeVar("Row", Answer, Judged)


class Log(Generic[Row]):
    """An append-only file of rows; safe to use from several threads.

    Args:
        path: The file; the end of a last line that a kill cut short is removed.
    """

    def __init__(self, path: Path) -> None:
        _remove_torn_end(path)
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()

    def append(self, row: Row) -> None:
        """Write a row; a reader sees all of its line, or none of it that counts."""
        line = f"{json.dumps(row._asdict(), ensure_ascii=False)}\n".encode(errors="surrogatepass")
        with self._lock:
            self._file.write(line)

    def close(self) -> None:
        """End writing."""
        self._file.close()


def _remove_torn_end(path: Path) -> None:
    data = path.read_bytes() if path.exists() else b""
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)


def read_answers(folder: Path) -> dict[Sample, Answer]:
    """Return the answers of a run."""
    rows = (Answer(**table) for table in _tables(folder / ANSWERS))
    return {row.sample: row for row in rows}


def read_verdicts(folder: Path) -> dict[Sample, Judged]:
    """Return the last verdict on each answer of a run."""
    tables = _tables(folder / VERDICTS)
    rows = (Judged(**table)._replace(state=State(table["state"])) for table in tables)
    return {row.sample: row for row in rows}


def problems_document(asked: Iterable[Asked]) -> bytes:
    """Return the content of `problems.jsonl`."""
    lines = (
        json.dumps(
            {
                "suite": each.suite,
                "known_bad": each.known_bad,
                "contaminated": each.contaminated,
                "is_unchecked": each.is_unchecked,
                **dataclasses.asdict(each.problem),
            },
            ensure_ascii=False,
        )
        for each in asked
    )
    return "".join(f"{line}\n" for line in lines).encode(errors="surrogatepass")


def read_problems(folder: Path) -> list[Asked]:
    """Return the problems of a run in their order."""
    return [_asked(table) for table in _tables(folder / PROBLEMS)]


def _asked(table: dict[str, Any]) -> Asked:
    known = {name: table.pop(name) for name in ("suite", "known_bad", "contaminated")}
    known["is_unchecked"] = table.pop("is_unchecked", False)  # runs of old do not say
    typed = {
        "kind": Kind(table.pop("kind")),
        "extent": Extent(table.pop("extent")),
        "stops": tuple(table.pop("stops")),
        "context": tuple(Snippet(**each) for each in table.pop("context")),
    }
    return Asked(problem=Problem(**table, **typed), **known)


def _tables(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a file; what stands after the last line end is not there yet."""
    data = path.read_bytes() if path.exists() else b""
    whole = data[: data.rfind(b"\n") + 1].decode(errors="surrogatepass")
    return [json.loads(line) for line in whole.split("\n") if line]
