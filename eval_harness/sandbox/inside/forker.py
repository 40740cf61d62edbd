"""The process that candidates are forked from: it does nothing else, so that forks stay cheap.

After a fork, every page that either side writes to is copied. The worker writes to hundreds while
it watches a job; this process to a few. Its forks are the worker's children, not its own.
"""

from __future__ import annotations

import marshal
import os
import signal
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from eval_harness.sandbox.inside import kernel
from eval_harness.sandbox.inside.restrict import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    Become = Callable[[Plan, int, int], NoReturn]

_PID = struct.Struct("=i")
_MAX_PLAN_BYTES = 1 << 12


class ForkerGoneError(Exception):
    """It was ended; a new one is needed."""


class Forker:
    """The worker's side."""

    def __init__(self, become: Become, flags: int, score_file: Callable[[], int | None]) -> None:
        """Start it.

        Args:
            become: What its forks do, with their plan, their link and the end of their output.
            flags: Namespaces of its forks.
            score_file: Opens what sets a process's rank among those to be killed.
        """
        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.pid = kernel.clone()
        if self.pid == 0:
            try:
                kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
                self._end.close()
                _serve(theirs, become, flags | kernel.CLONE_PARENT, score_file())
            finally:
                os._exit(1)
        theirs.close()
        self._plan: Plan | None = None
        self._plan_text = b""

    def fork(self, plan: Plan, link: int, output: int) -> int:
        """Return the process of a new candidate.

        Args:
            plan: What it gives up.
            link: Its end of the connection with the examiner.
            output: Where its output goes.

        Raises:
            ForkerGoneError: It does not answer.
        """
        if plan is not self._plan:
            self._plan, self._plan_text = plan, marshal.dumps(tuple(plan))
        try:
            socket.send_fds(self._end, [self._plan_text], [link, output])
            answer = self._end.recv(_PID.size)
        except OSError as error:
            raise ForkerGoneError from error
        if len(answer) != _PID.size:
            raise ForkerGoneError
        return int(_PID.unpack(answer)[0])

    def close(self) -> None:
        """End it."""
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self._end.close()


def _serve(end: socket.socket, become: Become, flags: int, score_file: int | None) -> NoReturn:
    known = b""
    plan: Plan | None = None
    while True:
        text, (link, output), _, _ = socket.recv_fds(end, _MAX_PLAN_BYTES, 2)
        if plan is None or text != known:
            plan, known = Plan._make(marshal.loads(text)), text  # noqa: S302 - from us
        if score_file is not None:
            os.pwrite(score_file, b"1000", 0)
        pid = kernel.clone(flags)
        if pid == 0:
            become(plan, link, output)
        if score_file is not None:
            os.pwrite(score_file, b"0", 0)
        os.close(link)
        os.close(output)
        end.send(_PID.pack(pid))
