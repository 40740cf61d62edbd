"""The state that forks for Python programs start from: modules read, rules made."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from eval_harness.sandbox.inside import kernel, restrict

if TYPE_CHECKING:
    from eval_harness.sandbox.inside.examiner import Examiner
    from eval_harness.sandbox.inside.keeper import Ends
    from eval_harness.sandbox.inside.restrict import Isolation

_COMMON = (
    "abc array ast base64 bisect cmath collections collections.abc contextlib copy dataclasses "
    "datetime decimal enum fractions functools hashlib heapq inspect io itertools json keyword "
    "linecache math numbers operator pprint queue random re statistics string struct textwrap time "
    "traceback types typing unicodedata uuid warnings zlib"
)
_LINK = 3
_READABLE = (sys.base_prefix,)


class Zygote:
    """Made with the first Python job of a worker."""

    def __init__(self, isolation: Isolation) -> None:
        """Import what programs import, and make the rules that all of them are under."""
        for name in _COMMON.split():
            with suppress(ImportError):
                importlib.import_module(name)
        from eval_harness.sandbox.inside import candidate, examiner

        self._candidate = candidate
        self._examiners = examiner
        self._isolation = isolation
        self._examiner: Examiner | None = None
        self._rules = None
        self._null = os.open("/dev/null", os.O_RDONLY)
        os.chdir(isolation.folder)
        if isolation.landlock:
            self._rules = isolation.landlock.rule_set(
                readable=_READABLE, writable=(isolation.folder,)
            )
        all(map(restrict.is_open_to_all, _READABLE))  # so that forks need not look
        candidate.prepare()
        gc.collect()
        gc.freeze()

    def examiner(self, limits: dict[str, Any]) -> Examiner:
        """Return the process that runs tests; started anew after it was ended."""
        if self._examiner is None:
            uid = self._isolation.uid
            isolation = replace(self._isolation, uid=None if uid is None else uid + 1)
            self._examiner = self._examiners.start(isolation, self._rules, limits)
        return self._examiner

    def end_examiner(self) -> None:
        """End it: it may be busy for ever, or hold too much."""
        if self._examiner:
            self._examiner.close()
        self._examiner = None

    @property
    def lasting_processes(self) -> frozenset[int]:
        """Processes that outlive a job."""
        return frozenset({self._examiner.pid} if self._examiner else ())

    def become_candidate(self, limits: dict[str, Any], ends: Ends) -> NoReturn:
        """Restrict this fork of the worker and let it serve; it never saw a problem."""
        try:
            os.setsid()
            for target, fd in enumerate((self._null, ends.stdout, ends.stderr)):
                os.dup2(fd, target)
            os.dup2(ends.worker.fileno(), _LINK)
            restrict.enter(self._isolation, limits, self._rules, _READABLE)
            restrict.limit_address_space(limits["address_space_bytes"] or limits["memory_bytes"])
            kernel.close_from(_LINK + 1)
            self._candidate.serve(_LINK)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
            os._exit(1)
