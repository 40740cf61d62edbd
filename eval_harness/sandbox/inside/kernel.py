"""System calls that Python has no function for.

A fork pays for every page of memory that it writes to, and even to look at an object is to write to
its page. So all calls go through one function, with whole numbers, and what they point to is made
once, before the forks.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal

MACHINE = platform.machine()
_NUMBERS = {
    "x86_64": {"clone": 56, "capset": 126, "prctl": 157, "seccomp": 317},
    "aarch64": {"clone": 220, "capset": 91, "prctl": 167, "seccomp": 277},
}
"""What existed before 2011; later calls have the same number everywhere."""
_OWN = _NUMBERS.get(MACHINE, _NUMBERS["x86_64"])
_CLONE, _CAPSET, _PRCTL, SECCOMP = (_OWN[name] for name in ("clone", "capset", "prctl", "seccomp"))
_CLOSE_RANGE = 436
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
_LANDLOCK_RESTRICT_SELF = 446

CLONE_PARENT = 0x00008000
CLONE_NEWPID = 0x20000000
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
_AMBIENT_RAISE = 2
CAPABILITY_READ = 1 << 2
"""CAP_DAC_READ_SEARCH: read what modes forbid; other rules still hold."""
_SECUREBITS_ALL_LOCKED = 0xEF
"""No root by uid, no fix-up at setuid, no ambient capabilities; `keep caps` off; all locked."""
_CAPABILITY_VERSION_3 = 0x20080522
_MAX_FD = 0xFFFFFFFF
_SIGCHLD = int(signal.SIGCHLD)

# Holds the interpreter while it runs: in the child of `clone` nobody else could give it back.
_call = ctypes.PyDLL(None, use_errno=True).syscall
_call.argtypes = (ctypes.c_long,) * 7
_call.restype = ctypes.c_long

_capability_header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
_HEADER = ctypes.addressof(_capability_header)
_capability_words = {
    kept: (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0) for kept in (0, CAPABILITY_READ)
}
_WORDS = {kept: ctypes.addressof(words) for kept, words in _capability_words.items()}


def is_supported() -> bool:
    """Return whether we know this machine's system calls."""
    return os.uname().sysname == "Linux" and MACHINE in _NUMBERS


def syscall(call: int, *args: int) -> int:
    """Make a system call with numbers and addresses.

    Raises:
        OSError: The kernel refused.
    """
    result = _call(call, *args, *_ZEROS[len(args) :])
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


_ZEROS = (0,) * 6


def prctl(option: int, value: int = 0, second: int = 0) -> None:
    """Change an attribute of this process.

    Raises:
        OSError: The kernel refused.
    """
    syscall(_PRCTL, option, value, second)


def restrict_self(rules: int) -> None:
    """Put this process, and all that it starts, under rules of Landlock; there is no way back.

    It needs `no new privileges`.

    Raises:
        OSError: The kernel refused.
    """
    syscall(_LANDLOCK_RESTRICT_SELF, rules)


def clone(flags: int = 0) -> int:
    """Fork, into new namespaces where `flags` names some; returns 0 in the child.

    Cheaper than `os.fork`, whose hooks we do not need: there is one thread, and the state of
    `random` stays as it was, so that a program draws the same numbers each time it is run.
    """
    return syscall(_CLONE, flags | _SIGCHLD)


def close_from(first: int) -> None:
    """Close every file descriptor from `first` on."""
    try:
        syscall(_CLOSE_RANGE, first, _MAX_FD)
    except OSError:  # a kernel before 5.9
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def drop_capabilities(kept: int = 0) -> None:
    """Give up every capability; `no new privileges` must be set, so that none comes back.

    A user that is root in its namespace would get them back with the next program it starts: there
    the kernel's rule for root goes first.

    Args:
        kept: What to keep, in programs started from here too: nothing, or `CAPABILITY_READ`.
    """
    if os.geteuid() == 0:
        prctl(PR_SET_SECUREBITS, _SECUREBITS_ALL_LOCKED)
    syscall(_CAPSET, _HEADER, _WORDS[kept])
    if kept:
        prctl(PR_CAP_AMBIENT, _AMBIENT_RAISE, kept.bit_length() - 1)
