"""A sandbox of any tier: workers that are kept for the next job."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import secrets
import shutil
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval_harness.sandbox import groups
from eval_harness.sandbox.inside import frames
from eval_harness.sandbox.inside.folder import empty
from eval_harness.sandbox.job import Ended, Outcome, SandboxError
from eval_harness.sandbox.process import Answers, WorkerProcess
from eval_harness.sandbox.service import ResidentService

if TYPE_CHECKING:
    from eval_harness.sandbox.job import Job, Limits, Service
    from eval_harness.sandbox.launch import Launch

_PREFIX = "fimble-sandbox-"
_LOCK = "lock"
_FIRST_UID = 1 << 30
"""Users of jobs, where the harness is root: no account has such a number."""
_MAX_WORKERS = 256
_UIDS_PER_WORKER = 2
"""One for jobs, and the next for what holds the tests of Python problems."""
_MAX_IDLE = 12
"""Workers kept for later, of all toolchains together."""


class _Slot:
    """A worker and its place on the host."""

    def __init__(self, sandbox: WorkerPool, index: int, key: tuple[str, ...]) -> None:
        self.index = index
        self.key = key
        self._folder = sandbox.folder / str(index)
        (self._folder / "work").mkdir(parents=True, mode=0o700)
        self._folder.chmod(0o711)
        self._group = groups.make_group(sandbox.group_parents, index)
        launch = self._launch = sandbox.launch
        # A container that has ended keeps its name for a moment, and its worker's index is free.
        self._name = f"{_PREFIX}{os.getpid()}-{index}-{secrets.token_hex(4)}"
        descriptors = self._group.open() if self._group else {}
        settings = {
            "folder": launch.folder.format(self._folder),
            "is_restricted": launch.is_restricted,
            "may_use_namespaces": launch.may_use_namespaces,
            "is_own_file_system": launch.is_own_file_system,
            "max_landlock_abi": launch.max_landlock_abi,
            "core": _core(index),
            "uid": _uid(index) if os.geteuid() == 0 else None,
            "group": descriptors,
        }
        try:
            self.worker = WorkerProcess(
                launch.argv(self._folder, key[1:], self._name),
                settings,
                descriptors=tuple(descriptors.values()),
            )
        except SandboxError:
            launch.end(self._name)
            self._remove()
            raise
        finally:
            for fd in descriptors.values():
                os.close(fd)

    def close(self) -> None:
        """End the worker and remove its place."""
        if not self.worker.close():
            self._launch.end(self._name)
        self._remove()

    def _remove(self) -> None:
        if self._group:
            self._group.remove()
        _remove(self._folder)


class WorkerPool:
    """The sandbox of a tier; safe to use from several threads."""

    def __init__(self, launch: Launch) -> None:
        """Make the place for workers; they start with the first job.

        Args:
            launch: How workers of the tier start.
        """
        self.tier = launch.tier
        self.launch = launch
        root = Path(tempfile.gettempdir())
        _sweep(root)
        self.group_parents = groups.parents() if launch.tier != "container" else {}
        groups.sweep(self.group_parents)
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        self.folder.chmod(0o711)
        unlocked = self.folder / f"{_LOCK}.new"
        self._lock_file = unlocked.open("w")
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        unlocked.rename(self.folder / _LOCK)  # nobody sees it before it is locked
        self._lock = threading.Lock()
        self._used_cpu_ms = 0.0
        self._idle: list[_Slot] = []
        self._busy: set[_Slot] = set()
        self._services: list[Service] = []
        self._free_indices = set(range(_MAX_WORKERS))

    def run(self, job: Job) -> Outcome:
        """Run a job to its end; when this returns, no process and no file of it is left.

        Raises:
            SandboxError: The sandbox itself failed; says nothing about the job.
        """
        meta = {
            "argv": job.argv,
            "env": dict(job.env),
            "readable": [str(path) for path in job.readable],
            "files": list(job.files),
            "executables": sorted(job.executables),
            "collect": job.collect,
        }
        body = frames.pack(meta, [job.stdin, *job.files.values()])
        answers = self.ask("program", job.limits, body, tuple(map(str, job.readable)))
        return outcome(answers, job.limits)

    def ask(
        self, kind: str, limits: Limits, body: bytes, readable: tuple[str, ...] = ()
    ) -> Answers:
        """Have a worker do something; a worker that breaks is replaced once.

        Args:
            kind: `program` or `python`.
            limits: Of the job.
            body: As the kind's keeper reads it.
            readable: Paths that the job may read.

        Raises:
            SandboxError: The sandbox failed twice.
        """
        head = _head(kind, limits)
        key = (kind, *(sorted(set(readable)) if self.launch.is_bound_to_readable else ()))
        try:
            return self._ask_once(self._take(key), head + body, limits.wall_s)
        except SandboxError:  # it may have been ended from outside; a new one has not
            return self._ask_once(self._start(key), head + body, limits.wall_s)

    def service(self, job: Job) -> Service:
        """Start a resident process with the job's command, files and readable paths."""
        service = ResidentService(
            lambda: self._start(("service", *map(str, job.readable))), self._discard, job
        )
        with self._lock:
            self._services.append(service)
        return service

    def holds(self) -> dict[str, object]:
        """Return what isolates jobs here: start a worker and ask it.

        Raises:
            SandboxError: It did not start.
        """
        slot = self._take(("program",))
        self._give_back(slot)
        return dict(slot.worker.holds)

    def used_cpu_ms(self) -> float:
        """Return the CPU time of all jobs so far, and of the workers themselves."""
        return self._used_cpu_ms

    def close(self) -> None:
        """End every process and remove every folder."""
        with self._lock:
            slots = [*self._idle, *self._busy]
            services = list(self._services)
            self._idle.clear()
            self._services.clear()
            self._busy.clear()
        for service in services:
            service.close()
        for slot in slots:
            slot.close()
        _remove(self.folder)
        self._lock_file.close()

    def _ask_once(self, slot: _Slot, message: bytes, wall_s: float) -> Answers:
        try:
            answers = slot.worker.run(message, wall_s=wall_s)
            _check(answers)
        except BaseException:
            self._discard(slot)
            raise
        self._count(answers.worker.meta)
        self._give_back(slot)
        return answers

    def _take(self, key: tuple[str, ...]) -> _Slot:
        """Return a worker for a kind of jobs and what these may read."""
        with self._lock:
            for slot in self._idle:
                if slot.key == key:
                    self._idle.remove(slot)
                    self._busy.add(slot)
                    return slot
        return self._start(key)

    def _start(self, key: tuple[str, ...]) -> _Slot:
        with self._lock:
            if not self._free_indices:
                raise SandboxError(f"more than {_MAX_WORKERS} programs run at a time")
            index = min(self._free_indices)
            self._free_indices.remove(index)
        try:
            slot = _Slot(self, index, key)
        except BaseException:
            with self._lock:
                self._free_indices.add(index)
            raise
        with self._lock:
            self._busy.add(slot)
        return slot

    def _count(self, said: dict[str, Any]) -> None:
        with self._lock:
            self._used_cpu_ms += said["cpu_ms"] + said["worker_cpu_ms"]

    def _give_back(self, slot: _Slot) -> None:
        with self._lock:
            self._busy.discard(slot)
            self._idle.append(slot)
            spare = self._idle.pop(0) if len(self._idle) > _MAX_IDLE else None
        if spare:
            self._close_slot(spare)

    def _discard(self, slot: _Slot) -> None:
        with self._lock:
            self._busy.discard(slot)
        self._close_slot(slot)

    def _close_slot(self, slot: _Slot) -> None:
        slot.close()
        with self._lock:
            self._free_indices.add(slot.index)


@functools.cache
def _head(kind: str, limits: Limits) -> bytes:
    """Return what a worker must know of a job: not what is in it."""
    return frames.pack({"kind": kind, **asdict(limits)})


def outcome(answers: Answers, limits: Limits) -> Outcome:
    """Return what a job's answers mean."""
    said = answers.worker.meta
    stdout, stderr = answers.worker.blobs
    keeper = answers.keeper
    files = dict(zip(keeper.meta["files"], keeper.blobs, strict=True)) if keeper else {}
    exit_code = said["exit_code"] if said["exit_code"] is not None else -9
    ended = _ended(answers, exit_code, limits)
    return Outcome(
        ended=ended,
        exit_code=exit_code,
        stdout=stdout,
        stderr=stderr,
        files=files,
        cpu_ms=said["cpu_ms"],
        wall_ms=said["wall_ms"],
        peak_memory_bytes=said["peak_memory_bytes"],
    )


def _ended(answers: Answers, exit_code: int, limits: Limits) -> Ended:
    said = answers.worker.meta
    if said["ended"] in set(Ended):
        return Ended(said["ended"])
    if said["was_out_of_memory"] and exit_code != 0:
        return Ended.MEMORY_LIMIT
    if said["cpu_ms"] >= limits.cpu_s * 1000 or exit_code == -_SIGXCPU:
        return Ended.CPU_LIMIT
    if answers.keeper is not None and not answers.keeper.meta.get("is_whole", True):
        return Ended.OUTPUT_LIMIT
    return Ended.SIGNALLED if exit_code < 0 else Ended.EXITED


_SIGXCPU = 24


def _check(answers: Answers) -> None:
    """Tell our own failures from the end of a job that took its keeper along, out of memory.

    Raises:
        SandboxError: It was ours.
    """
    said = answers.worker.meta
    if said["error"] and not said["ended"] and not said["was_out_of_memory"]:
        raise SandboxError(f"the sandbox failed: {said['error']}")


def _core(index: int) -> int:
    """Return where the processes stay that take turns with each other: nobody then wakes a core."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    return cores[index % len(cores)]


def _uid(index: int) -> int:
    """Return the user of a worker's jobs: no other worker on this machine has the same."""
    return _FIRST_UID + ((os.getpid() % (1 << 22)) * _MAX_WORKERS + index) * _UIDS_PER_WORKER


def _sweep(root: Path) -> None:
    """Remove folders of a harness that was killed together with its workers."""
    for folder in root.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid != os.geteuid():
                continue
            with (folder / _LOCK).open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder whatever a job left in it."""
    with contextlib.suppress(OSError):
        empty(str(folder))
    shutil.rmtree(folder, ignore_errors=True)
