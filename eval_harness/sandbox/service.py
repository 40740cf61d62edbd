"""A resident compiler: one command that lives in a worker and answers line by line."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from eval_harness.sandbox.inside import frames
from eval_harness.sandbox.job import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eval_harness.sandbox.job import Job
    from eval_harness.sandbox.process import WorkerProcess

_FOREVER_S = 1e8


class Holder(Protocol):
    """Who has a worker."""

    worker: WorkerProcess


_Held = TypeVar("_Held", bound=Holder)


class ResidentService(Generic[_Held]):
    """Starts with the first question, and anew after it died; threads take turns."""

    def __init__(
        self, start: Callable[[], _Held], discard: Callable[[_Held], None], job: Job
    ) -> None:
        """Remember what to start.

        Args:
            start: Makes a worker.
            discard: Ends it.
            job: The command, its files, and what it may read.
        """
        self._start = start
        self._discard = discard
        self._job = job
        self._lock = threading.Lock()
        self._holder: _Held | None = None

    def ask(self, question: Mapping[str, object], *, wall_s: float) -> dict[str, object]:
        """Return the answer to one question.

        Raises:
            SandboxError: It died or did not answer in time; the next question starts it anew.
        """
        with self._lock:
            deadline_s = time.monotonic() + wall_s
            holder = self._holder = self._holder or self._begin()
            try:
                holder.worker.say(json.dumps(question).encode() + b"\n")
                answer: dict[str, object] = json.loads(holder.worker.read_line(deadline_s))
            except (SandboxError, ValueError) as error:
                self._end()
                raise SandboxError(str(error)) from error
            return answer

    def close(self) -> None:
        """End it."""
        with self._lock:
            self._end()

    def _begin(self) -> _Held:
        job = self._job
        holder = self._start()
        limits = replace(job.limits, cpu_s=_FOREVER_S, wall_s=_FOREVER_S)
        meta = {
            "argv": job.argv,
            "env": dict(job.env),
            "readable": [str(path) for path in job.readable],
            "files": list(job.files),
            "executables": sorted(job.executables),
        }
        body = frames.pack(meta, list(job.files.values()))
        try:
            holder.worker.become_service({"kind": "service", **asdict(limits)}, body)
        except SandboxError:
            self._discard(holder)
            raise
        return holder

    def _end(self) -> None:
        if self._holder:
            self._discard(self._holder)
        self._holder = None
