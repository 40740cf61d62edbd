"""The queue of programs: one over all suites and languages, each program run once.

What looks like a flake (the wall clock, a kill, our own fault) is judged again at the end, alone on
the machine; only that verdict is written down. A killed run has not written those either, and goes
on where it was.
"""

from __future__ import annotations

import hashlib
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Self

from eval_harness.records import Judged, Sample
from eval_harness.sandbox.job import SandboxError
from eval_harness.verdict import State, Verdict
from eval_harness.verdict_cache import program_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from eval_harness.languages.language import Judge
    from eval_harness.problem import Problem
    from eval_harness.verdict_cache import VerdictCache

SUSPECT = frozenset({State.WALL_LIMIT, State.KILLED, State.HARNESS_ERROR})
"""States that a busy machine can bring about."""
_MAX_DETAIL_CHARS = 2000


class Task(NamedTuple):
    """One answer to judge."""

    sample: Sample
    problem: Problem
    answer: str


class _Program(NamedTuple):
    """A program, and all samples that make it."""

    task: Task
    samples: list[Sample]
    key: str
    judge: str


class JudgingQueue:
    """Judges answers on several threads.

    Args:
        judges: By language.
        cache: Verdicts of earlier runs.
        code: Digest of the judging code and the sandbox.
        num_threads: Programs that run at a time.
        write: Takes each verdict; called from any thread.
    """

    def __init__(
        self,
        judges: Mapping[str, Judge],
        cache: VerdictCache,
        *,
        code: str,
        num_threads: int,
        write: Callable[[Judged], None],
    ) -> None:
        self._judges = judges
        self._cache = cache
        self._digests = {name: judge_digest(judge, code) for name, judge in judges.items()}
        self._write = write
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="judge")
        self._lock = threading.Lock()
        self._under_way: dict[str, _Program] = {}
        self._suspects: list[_Program] = []
        self._futures: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def digest(self, language: str) -> str:
        """Return the digest that verdicts in a language have now; others are out of date."""
        return self._digests[language]

    def submit(self, task: Task) -> None:
        """Judge an answer soon."""
        judge = self._digests[task.problem.language]
        key = program_key(task.problem, task.answer, judge)
        with self._lock:
            if same := self._under_way.get(key):
                same.samples.append(task.sample)
                return
            program = _Program(task, [task.sample], key, judge)
            self._under_way[key] = program
            self._futures.append(self._pool.submit(self._judge, program))

    def finish(self) -> None:
        """Wait for every verdict; suspects run again now, one after the other."""
        for future in self._futures:
            future.result()
        for program in self._suspects:
            self._settle(program, self._run(program.task), num_tries=2)
        self._futures.clear()
        self._suspects.clear()

    def _judge(self, program: _Program) -> None:
        cached = self._cache.get(program.key)
        verdict = cached or self._run(program.task)
        if cached is None and verdict.state in SUSPECT:
            with self._lock:
                self._suspects.append(program)
            return
        self._settle(program, verdict, is_cached=cached is not None)

    def _settle(
        self, program: _Program, verdict: Verdict, *, is_cached: bool = False, num_tries: int = 1
    ) -> None:
        """Write the verdict down for every sample that made the program."""
        if not is_cached:
            self._cache.put(program.key, verdict)
        with self._lock:
            samples = self._under_way.pop(program.key).samples
        for number, sample in enumerate(samples):
            judged = Judged(
                *sample,
                **verdict._asdict(),
                judge=program.judge,
                is_cached=is_cached or number > 0,
                num_tries=num_tries,
            )
            self._write(judged)

    def _run(self, task: Task) -> Verdict:
        judge = self._judges[task.problem.language]
        try:
            return judge.judge(task.problem, task.answer)
        except (SandboxError, OSError) as error:
            return Verdict(
                State.HARNESS_ERROR, f"{type(error).__name__}: {error}"[-_MAX_DETAIL_CHARS:]
            )
        except Exception:  # noqa: BLE001 - a fault of ours must not end a run of thousands; the state says whose it is
            return Verdict(State.HARNESS_ERROR, traceback.format_exc()[-_MAX_DETAIL_CHARS:])


def judge_digest(judge: Judge, code: str) -> str:
    """Return the digest of all but the program that decides a verdict."""
    parts = (judge.language, judge.toolchain().version, code)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
