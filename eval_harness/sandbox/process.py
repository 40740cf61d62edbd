"""One worker, seen from the harness."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from eval_harness.sandbox.inside import frames
from eval_harness.sandbox.job import SandboxError
from eval_harness.sandbox.launch import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_START_S = 30.0
_GRACE_S = 30.0
"""What a worker may take beyond a job's own limit before we give it up."""
_CHUNK_BYTES = 1 << 16
_KEPT_BYTES = 2000
"""Of what a worker or a resident process writes to standard error."""


class Answers(NamedTuple):
    """What a worker and a job's keeper said."""

    worker: frames.Frame
    keeper: frames.Frame | None
    """None where the job was ended before it could say anything."""


class WorkerProcess:
    """A worker that runs one job at a time; not to be shared by threads."""

    def __init__(
        self,
        argv: Sequence[str],
        settings: Mapping[str, object],
        *,
        descriptors: Sequence[int] = (),
    ) -> None:
        """Start it.

        Args:
            argv: The command, but for the settings.
            settings: What the worker is told.
            descriptors: Files that it inherits.

        Raises:
            SandboxError: It did not start.
        """
        try:
            self._process = subprocess.Popen(
                [*argv, json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=descriptors,
                start_new_session=True,
                env={"PATH": os.environ.get("PATH", os.defpath), **ENVIRONMENT},
            )
        except OSError as error:
            raise SandboxError(f"the sandbox did not start: {error}") from error
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        self._input = self._process.stdin.fileno()
        self._output = self._process.stdout.fileno()
        self._errors = self._process.stderr
        self._line = bytearray()
        self._frames = bytearray()
        """What the worker has said and nobody has asked for yet."""
        self._said = b""
        try:
            self.holds: dict[str, Any] = self._read(time.monotonic() + _START_S).meta["holds"]
        except SandboxError:
            self.close()
            raise

    def run(self, message: bytes, *, wall_s: float) -> Answers:
        """Run one job.

        Args:
            message: Its kind and limits as one frame, and its content as another.
            wall_s: Limit of the job itself.

        Raises:
            SandboxError: The worker broke; it is of no more use.
        """
        deadline_s = time.monotonic() + wall_s + _GRACE_S
        try:
            frames.write_fd(self._input, message)
        except OSError as error:
            raise SandboxError(f"the sandbox's worker has ended: {self._last_words()}") from error
        keeper: frames.Frame | None = None
        while True:
            frame = self._read(deadline_s)
            if frame.meta["from"] == "worker":
                return Answers(frame, keeper)
            keeper = frame

    def become_service(self, head: Mapping[str, object], body: bytes) -> None:
        """Hand this worker's standard input and output to one command.

        Raises:
            SandboxError: It has ended.
        """
        self.say(frames.pack(head) + body)

    def say(self, data: bytes) -> None:
        """Write to the worker, or to the command it became.

        Raises:
            SandboxError: It has ended.
        """
        try:
            frames.write_fd(self._input, data)
        except OSError as error:
            raise SandboxError(f"the resident process has ended: {self._last_words()}") from error

    def read_line(self, deadline_s: float) -> bytes:
        """Return one line of the command that this worker became.

        Raises:
            SandboxError: It ended, or the time is over.
        """
        errors = self._errors.fileno()
        while b"\n" not in self._line:
            wait_s = max(0.0, deadline_s - time.monotonic())
            ready = select.select([self._output, errors], [], [], wait_s)[0]
            if not ready:
                raise SandboxError("the resident process does not answer")
            if errors in ready:
                self._said = (self._said + os.read(errors, 1 << 16))[-_KEPT_BYTES:]
            if self._output in ready:
                part = os.read(self._output, 1 << 20)
                if not part:
                    raise SandboxError(f"the resident process has ended: {self._last_words()}")
                self._line += part
        line, _, rest = bytes(self._line).partition(b"\n")
        self._line = bytearray(rest)
        return line

    def close(self) -> bool:
        """End the worker; it ends and removes what is left of a job.

        Returns:
            Whether it ended by itself, and did not have to be killed.
        """
        process = self._process
        assert process.stdin
        assert process.stdout
        assert process.stderr
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        process.stderr.close()
        return process.returncode != -signal.SIGKILL

    def _read(self, deadline_s: float) -> frames.Frame:
        def read_exactly(size: int) -> bytes:
            while len(self._frames) < size:
                wait_s = max(0.0, deadline_s - time.monotonic())
                if not select.select([self._output], [], [], wait_s)[0]:
                    raise SandboxError("the sandbox's worker does not answer")
                part = os.read(self._output, max(_CHUNK_BYTES, size - len(self._frames)))
                if not part:
                    raise frames.EndOfStreamError
                self._frames += part
            data = bytes(self._frames[:size])
            del self._frames[:size]
            return data

        try:
            return frames.read(read_exactly)
        except frames.EndOfStreamError as error:
            raise SandboxError(f"the sandbox's worker has ended: {self._last_words()}") from error

    def _last_words(self) -> str:
        fd = self._errors.fileno()
        if select.select([fd], [], [], 1.0)[0]:
            self._said = (self._said + os.read(fd, 1 << 16))[-_KEPT_BYTES:]
        return self._said.decode(errors="replace").strip() or "it said nothing"
