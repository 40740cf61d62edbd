"""What one start of a run holds open: the files it appends to, the judges, the sandbox."""

from __future__ import annotations

import gc
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple, Self

from eval_harness.judging import JudgingQueue, Task
from eval_harness.languages.language import Toolchain
from eval_harness.languages.registry import judge_for
from eval_harness.plan import Phase
from eval_harness.records import (
    ANSWERS,
    VERDICTS,
    Answer,
    Asked,
    Judged,
    Log,
    Sample,
    read_answers,
    read_verdicts,
)
from eval_harness.run_manifest import record_judging
from eval_harness.sandbox.tiers import open_sandbox
from eval_harness.verdict import NOT_JUDGED, State, Verdict
from eval_harness.verdict_cache import VerdictCache, code_digest
from fimble.errors import InputError
from fimble.paths import cache_dir

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eval_harness.languages.language import Judge
    from eval_harness.plan import Plan
    from eval_harness.problem import Problem
    from eval_harness.sandbox.job import Sandbox


class Question(NamedTuple):
    """One answer that is still to be given."""

    sample: Sample
    problem: Problem


class Session:
    """One start of a run.

    Args:
        plan: What is asked for.
        problems: Those of the run.
        num_samples: Answers to each problem; more than the plan says where an earlier one did.
    """

    def __init__(self, plan: Plan, problems: Iterable[Asked], num_samples: int) -> None:
        self._plan = plan
        self._asked: dict[Sample, Asked] = {
            Sample(asked.suite, asked.problem.language, asked.problem.problem_id, number): asked
            for asked in problems
            for number in range(num_samples)
        }
        self._queue: JudgingQueue | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._answers: Log[Answer] = Log(self._plan.out / ANSWERS)
            stack.callback(self._answers.close)
            self._verdicts: Log[Judged] = Log(self._plan.out / VERDICTS)
            stack.callback(self._verdicts.close)
            if self._plan.phase is not Phase.GENERATE:
                self._queue = self._open_queue(stack)
            gc.collect()
            gc.freeze()  # thousands of problems stay: do not look at them again and again
            stack.callback(gc.unfreeze)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def num_samples(self) -> int:
        """Number of all answers of the run, given or not."""
        return len(self._asked)

    def unanswered(self) -> list[Question]:
        """Return what no earlier start has answered, in the order of the problems."""
        done = read_answers(self._plan.out)
        return [
            Question(sample, asked.problem)
            for sample, asked in self._asked.items()
            if sample not in done
        ]

    def add(self, answer: Answer) -> None:
        """Write an answer down, and judge it soon."""
        self._answers.append(answer)
        self._judge(answer)

    def judge_earlier_answers(self) -> None:
        """Judge what earlier starts have not, could not, or did with other toolchains."""
        if self._queue is None:
            return
        verdicts = read_verdicts(self._plan.out)
        for sample, answer in read_answers(self._plan.out).items():
            old = verdicts.get(sample)
            if sample in self._asked and (old is None or not self._is_valid(old)):
                self._judge(answer)

    def finish(self) -> None:
        """Wait for every verdict; what looks like a flake runs again, alone."""
        if self._queue is not None:
            self._queue.finish()

    def _is_valid(self, old: Judged) -> bool:
        assert self._queue is not None
        return old.state not in NOT_JUDGED and old.judge == self._queue.digest(old.language)

    def _judge(self, answer: Answer) -> None:
        problem = self._asked[answer.sample].problem
        if self._queue is not None and problem.tests:
            self._queue.submit(Task(answer.sample, problem, answer.text))

    def _open_queue(self, stack: ExitStack) -> JudgingQueue | None:
        """Return the queue, or None where no problem has tests."""
        languages = sorted({a.problem.language for a in self._asked.values() if a.problem.tests})
        if not languages:
            return None
        plan = self._plan
        sandbox = open_sandbox(plan.tier, is_unsafe_allowed=plan.is_unsafe_allowed)
        stack.callback(sandbox.close)
        judges = {language: _judge_of(language, sandbox) for language in languages}
        for judge in judges.values():
            stack.callback(judge.close)
        code = code_digest()
        toolchains = {name: _described(judge.toolchain()) for name, judge in judges.items()}
        judging = {"sandbox": sandbox.tier, "code": code, "toolchains": toolchains}
        record_judging(plan.out, judging)
        cache = stack.enter_context(VerdictCache(cache_dir() / "verdicts"))
        queue = JudgingQueue(
            judges,
            cache,
            code=f"{sandbox.tier}/{code}",
            num_threads=plan.workers,
            write=self._verdicts.append,
        )
        return stack.enter_context(queue)


def _described(toolchain: Toolchain) -> str:
    return toolchain.version or f"missing: {toolchain.install or ', '.join(toolchain.missing)}"


def _judge_of(language: str, sandbox: Sandbox) -> Judge:
    try:
        return judge_for(language, sandbox)
    except InputError as error:
        return _NoJudge(language, str(error))


class _NoJudge:
    """Stands for a language that nobody here can judge."""

    def __init__(self, language: str, why: str) -> None:
        self.language = language
        self._why = why

    def toolchain(self) -> Toolchain:
        """Return that there is none."""
        return Toolchain("", (self.language,))

    def judge(self, problem: Problem, answer: str) -> Verdict:
        """Say that this is no fault of the answer."""
        del problem, answer
        return Verdict(State.TOOLCHAIN_MISSING, self._why)

    def close(self) -> None:
        """Nothing is open."""
