"""A run: ask a model, judge what it says, and go on where an earlier start was cut short."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

from eval_harness.model_sources import open_model
from eval_harness.plan import Phase
from eval_harness.records import ANSWERS, Answer, problems_document, read_problems
from eval_harness.run_manifest import (
    num_samples_of,
    prompts_digest,
    record_marks,
    start_or_continue,
)
from eval_harness.session import Session
from fimble.errors import (
    EngineOverloadedError,
    EngineUnavailableError,
    FimbleError,
    InputError,
)
from fimble.locks import try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eval_harness.models import Model
    from eval_harness.plan import Plan
    from eval_harness.session import Question

LOCK = ".running"
WAITS_S = (0.5, 2.0, 8.0, 30.0)
"""Before a question is asked again that the engine could not take."""


def run(plan: Plan) -> None:
    """Do what is still to be done of a run.

    Raises:
        InputError: The folder holds another run, another process writes it, or nothing isolates.
        EngineError: The model cannot be asked; the same command goes on later.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.callback(os.close, _locked(plan.out))
        asyncio.run(_run(plan))


def _locked(out: Path) -> int:
    descriptor = os.open(out / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    if not try_lock(descriptor):
        os.close(descriptor)
        raise InputError(f"another process is writing the run in {out}")
    return descriptor


async def _run(plan: Plan) -> None:
    if plan.phase is Phase.JUDGE:
        if not (plan.out / ANSWERS).exists():
            raise InputError(f"{plan.out} holds no answers to judge; leave out --only judge")
        if plan.corpus:
            _mark(plan)
        with Session(plan, read_problems(plan.out), num_samples_of(plan.out)) as session:
            session.judge_earlier_answers()
            await asyncio.to_thread(session.finish)
        return
    model = await open_model(plan.model)
    try:
        await _claim(plan, model)
        with Session(plan, plan.asked(), num_samples_of(plan.out)) as session:
            session.judge_earlier_answers()
            await _ask_all(plan, model, session)
            await asyncio.to_thread(session.finish)
    finally:
        await model.close()


def _mark(plan: Plan) -> None:
    """Bring the marks of a run that exists up to what a corpus knows."""
    marked = {(asked.suite, asked.problem): asked for asked in plan.asked()}
    known = [(asked.suite, asked.problem) for asked in read_problems(plan.out)]
    if set(known) != set(marked):
        raise InputError(
            f"{plan.out} holds other problems than the suites named here; name them as the command "
            "did that asked them"
        )
    problems = problems_document(marked[each] for each in known)
    record_marks(plan.out, problems, corpus=plan.corpus)


async def _claim(plan: Plan, model: Model) -> None:
    """Make the folder the home of this run, or see that it is."""
    identity = await model.identity()
    problems = problems_document(plan.asked())
    inputs = {
        "suites": {suite.name: suite.digest for suite in plan.suites},
        "num_problems": sum(len(suite.problems) for suite in plan.suites),
        "model": identity._asdict(),
        "sampling": asdict(plan.model.sampling),
        "bits_per_byte": plan.wants_bits,
        "prompts": prompts_digest(),
    }
    if context := {suite.name: suite.context for suite in plan.suites if suite.context}:
        inputs["context"] = context
    start_or_continue(plan.out, inputs, problems, num_samples=plan.num_samples, corpus=plan.corpus)


async def _ask_all(plan: Plan, model: Model, session: Session) -> None:
    """Ask what is not answered, so many questions at a time as suit the model."""
    questions = session.unanswered()
    progress = _Progress(session.num_samples, session.num_samples - len(questions))
    waiting = iter(questions)
    num_askers = min(plan.concurrency or model.concurrency, max(1, len(questions)))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(num_askers):
                group.create_task(_ask_some(plan, model, session, waiting, progress))
    except* FimbleError as errors:
        raise errors.exceptions[0] from None
    finally:
        progress.end()


async def _ask_some(
    plan: Plan, model: Model, session: Session, waiting: Iterator[Question], progress: _Progress
) -> None:
    for question in waiting:
        session.add(await _answered(plan, model, question))
        progress.step()


async def _answered(plan: Plan, model: Model, question: Question) -> Answer:
    """Return a model's answer; an engine that is busy or away is asked again for a while."""
    sample, problem = question
    for wait_s in (*WAITS_S, None):
        try:
            said = await model.answer(sample.suite, problem, sample.number)
            logprob = None
            if plan.wants_bits and sample.number == 0:
                logprob = await model.logprob(problem)
            return Answer(*sample, *said, canonical_logprob=logprob)
        except (EngineOverloadedError, EngineUnavailableError):
            if wait_s is None:
                raise
            await asyncio.sleep(wait_s)
    raise AssertionError


class _Progress:
    """A counter on standard error, where somebody watches."""

    def __init__(self, total: int, done: int) -> None:
        self._total = total
        self._done = done
        self._is_shown = sys.stderr.isatty()

    def step(self) -> None:
        """Count one answer."""
        self._done += 1
        if self._is_shown:
            sys.stderr.write(f"\r{self._done:,} of {self._total:,} answers")
            sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._is_shown:
            sys.stderr.write("\n")
