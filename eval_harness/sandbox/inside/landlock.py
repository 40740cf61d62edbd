"""Which files a process may touch, by the kernel's Landlock: needs no privilege.

Source: Linux kernel, Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import stat
from typing import TYPE_CHECKING

from eval_harness.sandbox.inside import kernel

if TYPE_CHECKING:
    from collections.abc import Iterable

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE = 1 << 14
_IOCTL_DEV = 1 << 15
_FILES_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP = 0b11
"""Bind and connect; from ABI 4 on."""
_SCOPE_SIGNALS = 0b10
_SCOPES = 0b01 | _SCOPE_SIGNALS
"""Abstract Unix sockets and signals; from ABI 6 on."""
READ = EXECUTE | READ_FILE | READ_DIR
_OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | _IOCTL_DEV
SCOPED_SIGNALS_ABI = 6
_ASK_VERSION = 1
_PATH_BENEATH = 1

SYSTEM_FOLDERS = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin")
_SETTINGS = (
    "/etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d /etc/alternatives /etc/nsswitch.conf "
    "/etc/localtime /etc/timezone /etc/locale.alias /etc/mime.types /etc/R /etc/mono /etc/perl "
    "/etc/php /etc/ssl/openssl.cnf /etc/java-8-openjdk /etc/java-11-openjdk /etc/java-17-openjdk "
    "/etc/java-21-openjdk /etc/java-25-openjdk"
)
SYSTEM_SETTINGS = tuple(_SETTINGS.split())
_FACTS = (
    "/proc/cpuinfo /proc/meminfo /proc/stat /proc/loadavg /proc/uptime /proc/version "
    "/proc/filesystems /proc/cgroups /proc/sys/vm /proc/sys/kernel /sys/devices/system/cpu "
    "/sys/devices/system/node /sys/kernel/mm/transparent_hugepage /dev/urandom /dev/random"
)
_READABLE = (*SYSTEM_FOLDERS, *SYSTEM_SETTINGS, "/etc/passwd", "/etc/group", *_FACTS.split())
_WRITABLE_DEVICES = ("/dev/null", "/dev/zero", "/dev/full")


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi() -> int:
    """Return the version that the kernel offers; 0 where there is none."""
    try:
        return kernel.syscall(kernel.LANDLOCK_CREATE_RULESET, 0, 0, _ASK_VERSION)
    except OSError:
        return 0


class Rules:
    """Makes rule sets; keeps the system's paths open, as they are the same in every job."""

    def __init__(self, version: int) -> None:
        self.abi = version
        self._files = max((v for k, v in _FILES_BY_ABI.items() if k <= self.abi), default=0)
        self._system = {
            path: fd for path in (*_READABLE, *_WRITABLE_DEVICES) if (fd := _open(path))
        }

    def rule_set(self, *, readable: Iterable[str], writable: Iterable[str]) -> int:
        """Return the descriptor of a rule set: the system's libraries, and what is named here.

        Raises:
            OSError: The kernel refused.
        """
        size = 8 if self.abi < 4 else 16 if self.abi < SCOPED_SIGNALS_ABI else 24
        scopes = _SCOPES if self.abi >= SCOPED_SIGNALS_ABI else 0
        attributes = _Attributes(self._files, _TCP if self.abi >= 4 else 0, scopes)
        rules = _create(attributes, size)
        for path, fd in self._system.items():
            writes = WRITE_FILE | _TRUNCATE if path in _WRITABLE_DEVICES else 0
            self._add(rules, fd, READ | writes)
        for path in readable:
            self._allow(rules, path, READ)
        for path in writable:
            self._allow(rules, path, self._files & ~_IOCTL_DEV)
        return rules

    def close(self) -> None:
        """Close the system's paths: rule sets that were made stay as they are."""
        for fd in self._system.values():
            os.close(fd)
        self._system = {}

    def allow_own_facts(self, rules: int) -> None:
        """Let a program read what `/proc` says of itself: runtimes size their heaps by it."""
        self._allow(rules, "/proc/self", READ_FILE | READ_DIR)

    def _allow(self, rules: int, path: str, access: int) -> None:
        fd = _open(path)
        if fd:
            self._add(rules, fd, access)
            os.close(fd)

    def _add(self, rules: int, fd: int, access: int) -> None:
        allowed = access & self._files
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            allowed &= _OF_A_FILE
        rule = _PathBeneath(allowed, fd)
        kernel.syscall(kernel.LANDLOCK_ADD_RULE, rules, _PATH_BENEATH, ctypes.addressof(rule))


def _create(attributes: _Attributes, size: int) -> int:
    return kernel.syscall(kernel.LANDLOCK_CREATE_RULESET, ctypes.addressof(attributes), size)


def _open(path: str) -> int:
    """Return a descriptor that only names a path; 0 where this machine has no such path."""
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return 0


def scope_signals() -> None:
    """Let this process signal itself and what it starts, and nothing else.

    Raises:
        OSError: The kernel refused, as all before ABI 6 do.
    """
    attributes = _Attributes(0, 0, _SCOPE_SIGNALS)
    rules = _create(attributes, ctypes.sizeof(attributes))
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.restrict_self(rules)
    os.close(rules)
