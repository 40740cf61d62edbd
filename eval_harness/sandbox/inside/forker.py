"""The worker's side of the process that candidates are forked from (`origin`)."""

from __future__ import annotations

import json
import marshal
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING

from eval_harness.sandbox.inside import kernel, origin
from eval_harness.sandbox.inside.processes import Helper

if TYPE_CHECKING:
    from eval_harness.sandbox.inside.entering import Plan
    from eval_harness.sandbox.inside.restrict import Isolation

_PID = struct.Struct("=i")
_ROOT = os.path.abspath(__file__).removesuffix("/eval_harness/sandbox/inside/forker.py")
_START = (
    f"import sys; sys.path.append({_ROOT!r}); "
    "from eval_harness.sandbox.inside.origin import main; main(sys.argv[1])"
)


class ForkerGoneError(Exception):
    """It was ended; a new one is needed."""


class Forker(Helper):
    """Starts candidates."""

    def __init__(self, isolation: Isolation, rules: int | None) -> None:
        """Start the process that forks.

        Args:
            isolation: What the worker offers.
            rules: Landlock's, for its forks.
        """
        self.output, output_end = os.pipe()
        """What candidates print; nobody reads it: it is only counted."""
        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        flags = kernel.CLONE_PARENT | (kernel.CLONE_NEWPID if isolation.has_namespaces else 0)
        super().__init__(kernel.clone())
        if self.pid == 0:
            try:
                # Of the worker's streams it keeps the one for complaints.
                os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
                os.dup2(output_end, 1)
                for fd in (theirs.fileno(), *(() if rules is None else (rules,))):
                    os.set_inheritable(fd, True)  # noqa: FBT003 - takes no names
                told = json.dumps((isolation.folder, theirs.fileno(), rules, flags))
                python = (sys.executable, "-s", "-P", "-S", "-B", "-c", _START, told)
                environment = {**os.environ, origin.BIND_NOW: "1"}
                os.execve(python[0], python, environment)  # noqa: S606 - no shell on purpose
            finally:
                os._exit(1)
        theirs.close()
        os.close(output_end)
        self._plan: Plan | None = None
        self._plan_text = b""

    def begin(self, plan: Plan, link: int) -> None:
        """Begin a candidate.

        Args:
            plan: What it gives up.
            link: Its end of the connection with the examiner.

        Raises:
            ForkerGoneError: There is nobody who would.
        """
        if plan is not self._plan:
            self._plan, self._plan_text = plan, marshal.dumps(tuple(plan))
        try:
            socket.send_fds(self._end, [self._plan_text], [link])
        except OSError as error:
            raise ForkerGoneError from error

    def begun(self) -> int:
        """Return the process of the candidate that was begun.

        Raises:
            ForkerGoneError: It does not answer.
        """
        try:
            answer = self._end.recv(_PID.size)
        except OSError as error:
            raise ForkerGoneError from error
        if len(answer) != _PID.size:
            raise ForkerGoneError
        return int(_PID.unpack(answer)[0])

    def close(self) -> None:
        """End it, and give up what its forks have printed."""
        self.end()
        self._end.close()
        os.close(self.output)
