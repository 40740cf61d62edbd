"""The process that candidates are forked from: it does nothing else, so that forks stay cheap.

A fork copies the table of all memory, its end clears it, and every page that either side writes to
in between is copied, too. So this process is an interpreter of its own with only those modules that
most programs import, and it has run a program before: what an interpreter learns about code, it
writes into memory that is then shared. Its forks are the worker's children, not its own.
"""

from __future__ import annotations

import _socket
import contextlib
import gc
import importlib
import json
import marshal
import os
import random
import signal
import struct
import sys
from typing import NamedTuple, NoReturn

from eval_harness.sandbox.inside import candidate, entering, kernel

_COMMON = (
    "abc collections collections.abc contextlib copy enum functools heapq io itertools json math "
    "operator random re string time types typing"
)
"""Not those with large libraries or much code: every fork pays for what is in memory, and only a
program that imports more pays for that."""
_GARBAGE_THRESHOLD = 10_000
BIND_NOW = "LD_BIND_NOW"
"""Tells the linker to look up every function now: forks need not."""
_LINK = 3
_MAX_FD = 256
"""No descriptor here is as high."""
_SEED = 0
_PID = struct.Struct("=i")
_END = struct.Struct("=i")
_MAX_PLAN_BYTES = 1 << 12


class Setting(NamedTuple):
    """What the worker tells it: descriptors, and how to fork."""

    folder: str
    control: int
    rules: int | None
    flags: int


def main(text: str) -> NoReturn:
    """Fork candidates for as long as the worker wants some."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    os.environ.pop(BIND_NOW, None)
    setting = Setting(*json.loads(text))
    for name in _COMMON.split():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    os.chdir(setting.folder)
    score_file = entering.score_file()
    candidate.prepare()
    random.seed(_SEED)  # programs that draw draw the same every time
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD)  # programs are short
    try:
        _fork_for_ever(setting, score_file, _socket.socket(fileno=setting.control))
    finally:
        os._exit(1)


def _fork_for_ever(setting: Setting, score_file: int | None, end: _socket.socket) -> NoReturn:
    room = _socket.CMSG_LEN(_END.size)
    known = b""
    plan: entering.Plan | None = None
    while True:
        text, passed, _, _ = end.recvmsg(_MAX_PLAN_BYTES, room)
        if not text:
            sys.exit()
        (link,) = _END.unpack(passed[0][2])
        if plan is None or text != known:
            plan, known = entering.Plan._make(marshal.loads(text)), text  # noqa: S302 - from us
            entering.prepare(plan)
        if score_file is not None:
            os.pwrite(score_file, b"1000", 0)
        pid = kernel.clone(setting.flags)
        if pid == 0:
            _become_candidate(setting, plan, link)
        if score_file is not None:
            os.pwrite(score_file, b"0", 0)
        os.close(link)
        end.send(_PID.pack(pid))


def _become_candidate(setting: Setting, plan: entering.Plan, link: int) -> NoReturn:
    """Restrict this fork and let it serve; none of its ancestors ever saw a problem."""
    try:
        os.setpgid(0, 0)
        os.dup2(1, 2)
        os.dup2(link, _LINK)
        entering.enter(plan, setting.rules)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # another user would have lost it
        os.closerange(_LINK + 1, _MAX_FD)
        candidate.serve(_LINK)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(1)
