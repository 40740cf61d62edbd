"""The state that forks for Python programs start from: modules read, rules made."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from eval_harness.sandbox.inside import kernel, restrict
from eval_harness.sandbox.inside.forker import Forker

if TYPE_CHECKING:
    from eval_harness.sandbox.inside.examiner import Examiner
    from eval_harness.sandbox.inside.restrict import Isolation

_COMMON = (
    "abc array ast bisect collections collections.abc contextlib copy dataclasses datetime decimal "
    "enum fractions functools heapq io itertools json linecache math operator random re statistics "
    "string struct textwrap time traceback types typing warnings"
)
"""Not those with large libraries: what is in memory, every fork pays for."""
_GARBAGE_THRESHOLD = 10_000
_LINK = 3
_PLAN_S = 1.0
_READABLE = (sys.base_prefix,)


class Helpers(NamedTuple):
    """Processes that outlive a job."""

    examiner: Examiner
    forker: Forker


class Zygote:
    """Made with the first Python job of a worker."""

    def __init__(self, isolation: Isolation) -> None:
        """Import what programs import, and make the rules that all of them are under."""
        for name in _COMMON.split():
            with suppress(ImportError):
                importlib.import_module(name)
        from eval_harness.sandbox.inside import candidate, examiner

        self._candidate = candidate
        self._start_examiner = examiner.start
        self._isolation = isolation
        self._helpers: Helpers | None = None
        self._plan: restrict.Plan
        self._planned: tuple[tuple[str, Any], ...] = ()
        self._planned_s = 0.0
        self._rules: int | None = None
        self._null = os.open("/dev/null", os.O_RDONLY)
        os.chdir(isolation.folder)
        if isolation.landlock:
            self._rules = isolation.landlock.rule_set(
                readable=_READABLE, writable=(isolation.folder,)
            )
            isolation.landlock.close()  # forks have less to close
        candidate.prepare()
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE_THRESHOLD)  # programs are short

    def helpers(self, limits: dict[str, Any]) -> Helpers:
        """Return who runs the tests and who forks; started anew after they were ended."""
        if self._helpers is None:
            uid = self._isolation.uid
            isolation = replace(self._isolation, uid=None if uid is None else uid + 1)
            flags = kernel.CLONE_NEWPID if self._isolation.has_namespaces else 0
            self._helpers = Helpers(
                self._start_examiner(isolation, self._rules, limits),
                Forker(self._become_candidate, flags, restrict.score_file),
            )
        return self._helpers

    def plan(self, limits: dict[str, Any]) -> restrict.Plan:
        """Return what a candidate gives up; made anew now and then, as others start processes."""
        key = tuple(limits.items())
        now_s = time.monotonic()
        if key != self._planned or now_s > self._planned_s + _PLAN_S:
            self._plan = restrict.plan(self._isolation, limits, _READABLE)
            self._planned, self._planned_s = key, now_s
        return self._plan

    def end_helpers(self) -> None:
        """End them: a job may keep one busy for ever."""
        for helper in self._helpers or ():
            helper.close()
        self._helpers = None

    def _become_candidate(self, plan: restrict.Plan, link: int, output: int) -> NoReturn:
        """Restrict this fork and let it serve; none of its ancestors ever saw a problem."""
        try:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setsid()
            for target, fd in enumerate((self._null, output, output, link)):
                os.dup2(fd, target)
            restrict.enter(plan, self._rules)
            kernel.close_from(_LINK + 1)
            self._candidate.serve(_LINK)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
            os._exit(1)
