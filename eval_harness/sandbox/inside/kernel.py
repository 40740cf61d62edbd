"""System calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os
import platform
import signal

# Numbers differ by machine only for what existed before 2011; later ones are the same everywhere.
_NUMBERS = {
    "x86_64": {"clone": 56, "capset": 126, "seccomp": 317},
    "aarch64": {"clone": 220, "capset": 91, "seccomp": 277},
}
MACHINE = platform.machine()
CLOSE_RANGE = 436
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446

CLONE_NEWPID = 0x20000000
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
CAPABILITY_READ = 1 << 2
"""CAP_DAC_READ_SEARCH: read what modes forbid; other rules still hold."""
_AMBIENT_RAISE = 2
_SECUREBITS_ALL_LOCKED = 0xEF
"""No root by uid, no fix-up at setuid, no ambient capabilities; `keep caps` off; all locked."""
_CAPABILITY_VERSION_3 = 0x20080522

# Held while it runs: in the child of `clone` nobody else could give the interpreter lock back.
_libc = ctypes.PyDLL(None, use_errno=True)


def is_supported() -> bool:
    """Return whether we know this machine's system calls."""
    return os.uname().sysname == "Linux" and MACHINE in _NUMBERS


def number(name: str) -> int:
    """Return the number of one of the calls whose number depends on the machine."""
    return _NUMBERS[MACHINE][name]


def syscall(call: int, *args: object) -> int:
    """Make a system call.

    Raises:
        OSError: The kernel refused.
    """
    result = int(_libc.syscall(ctypes.c_long(call), *args))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def prctl(option: int, value: int = 0, second: int = 0) -> None:
    """Change an attribute of this process.

    Raises:
        OSError: The kernel refused.
    """
    zero = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(second), zero, zero) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def clone(flags: int = 0) -> int:
    """Fork, into new namespaces where `flags` names some; returns 0 in the child.

    Cheaper than `os.fork`, whose hooks we do not need: there is one thread, and the state of
    `random` stays as it was, so that a program draws the same numbers each time it is run.
    """
    zero = ctypes.c_ulong(0)
    wanted = ctypes.c_ulong(flags | int(signal.SIGCHLD))
    return syscall(number("clone"), wanted, zero, zero, zero, zero)


def close_from(first: int) -> None:
    """Close every file descriptor from `first` on."""
    try:
        syscall(CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(0xFFFFFFFF), ctypes.c_uint(0))
    except OSError:  # a kernel before 5.9
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def drop_capabilities(kept: int = 0) -> None:
    """Give up every capability; `no new privileges` must be set, so that none comes back.

    A user that is root in its namespace would get them back with the next program it starts: there
    the kernel's rule for root goes first.

    Args:
        kept: Bits of those to keep, in programs started from here too.
    """
    if os.geteuid() == 0:
        prctl(PR_SET_SECUREBITS, _SECUREBITS_ALL_LOCKED)
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    words = (ctypes.c_uint32 * 6)(kept, kept, kept)
    syscall(number("capset"), ctypes.byref(header), ctypes.byref(words))
    if kept:
        prctl(PR_CAP_AMBIENT, _AMBIENT_RAISE, kept.bit_length() - 1)
