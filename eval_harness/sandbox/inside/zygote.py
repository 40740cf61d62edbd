"""The processes that judge Python programs one after the other, and the rules for all of them."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from eval_harness.sandbox.inside import restrict
from eval_harness.sandbox.inside.forker import Forker

if TYPE_CHECKING:
    from eval_harness.sandbox.inside.entering import Plan
    from eval_harness.sandbox.inside.examiner import Examiner
    from eval_harness.sandbox.inside.restrict import Isolation

_COMMON = (
    "abc array ast bisect collections collections.abc contextlib copy dataclasses datetime decimal "
    "enum fractions functools heapq io itertools json linecache math operator random re statistics "
    "string struct textwrap time traceback types typing warnings"
)
"""What tests import: those who run them live on."""
_PLAN_S = 1.0
_READABLE = (sys.base_prefix,)


class Helpers(NamedTuple):
    """Processes that outlive a job."""

    examiner: Examiner
    forker: Forker


class Zygote:
    """Made with the first Python job of a worker."""

    def __init__(self, isolation: Isolation, core: int) -> None:
        """Import what tests import, and make the rules that all programs are under."""
        for name in _COMMON.split():
            with suppress(ImportError):
                importlib.import_module(name)
        from eval_harness.sandbox.inside import examiner

        self._start_examiner = examiner.start
        self._isolation = isolation
        self._helpers: Helpers | None = None
        self._plan: Plan
        self._planned: tuple[tuple[str, Any], ...] = ()
        self._planned_s = 0.0
        self._rules: int | None = None
        with suppress(OSError):  # it was taken away from us meanwhile
            os.sched_setaffinity(0, {core})
        os.chdir(isolation.folder)
        if isolation.landlock:
            self._rules = isolation.landlock.rule_set(
                readable=_READABLE, writable=(isolation.folder,)
            )
            isolation.landlock.close()  # forks have less to close
        gc.collect()
        gc.freeze()

    def helpers(self, limits: dict[str, Any]) -> Helpers:
        """Return who runs the tests and who forks; started anew after they were ended."""
        if self._helpers is None:
            uid = self._isolation.uid
            isolation = replace(self._isolation, uid=None if uid is None else uid + 1)
            self._helpers = Helpers(
                self._start_examiner(isolation, self._rules, limits),
                Forker(self._isolation, self._rules),
            )
        return self._helpers

    def plan(self, limits: dict[str, Any]) -> Plan:
        """Return what a candidate gives up; made anew now and then, as others start processes."""
        key = tuple(limits.items())
        now_s = time.monotonic()
        if key != self._planned or now_s > self._planned_s + _PLAN_S:
            self._plan = restrict.plan(self._isolation, limits, _READABLE)
            self._planned, self._planned_s = key, now_s
        return self._plan

    def silence(self) -> None:
        """End who runs the tests, without the answer that it would give."""
        if self._helpers:
            self._helpers.examiner.kill()

    def end_helpers(self) -> None:
        """End them."""
        for helper in self._helpers or ():
            helper.end()

    def replace_helpers(self) -> None:
        """Have others for the next job: this one may keep them busy for ever."""
        for helper in self._helpers or ():
            helper.close()
        self._helpers = None
