"""Which system calls a process may make, by a seccomp filter in classic BPF.

A list of what is refused, not of what is allowed: the runtimes of fifteen languages need nearly
everything that is harmless. Calls newer than this list do not exist for a program.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import NamedTuple

from eval_harness.sandbox.inside import kernel

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _ANY_BIT, _GREATER, _AND, _RETURN = 0x20, 0x15, 0x45, 0x25, 0x54, 0x06
_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_ERROR = 0x00050000
_SET_FILTER = 1
_SPEC_ALLOW = 1 << 2
"""No costly mitigation for speculative stores: on older kernels a filter switched it on."""
_NEWEST = 461
"""The last call that we know, `lsm_list_modules` of Linux 6.8."""

_BOTH = {
    # Another process's memory, descriptors and signals.
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # Namespaces and mounts.
    "chroot": (161, 51),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "pivot_root": (155, 41),
    "setns": (308, 268),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # Parts of the kernel with a history, of use to no solution.
    "add_key": (248, 217),
    "bpf": (321, 280),
    "fanotify_init": (300, 262),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "perf_event_open": (298, 241),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
    "lookup_dcookie": (212, 18),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    # Memory that no limit on files or address space counts, or that outlives its maker.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "semget": (64, 190),
    "shmget": (29, 194),
    # The machine.
    "acct": (163, 89),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "init_module": (175, 105),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    # Network; socketpair has a rule of its own.
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "connect": (42, 203),
    "listen": (50, 201),
    "socket": (41, 198),
}
_X86_ONLY = {"iopl": 172, "ioperm": 173, "modify_ldt": 154, "uselib": 134}
_ABSENT = (
    "io_uring_enter io_uring_register io_uring_setup pidfd_open pidfd_getfd pidfd_send_signal"
    " memfd_create memfd_secret process_madvise process_mrelease userfaultfd"
)
_WITH_RULES = {
    "clone": (56, 220),
    "clone3": (435, 435),
    "ioctl": (16, 29),
    "personality": (135, 92),
    "socketpair": (53, 199),
}
_NAMESPACES = 0x5E020000
"""CLONE_NEW*, all but those of processes: the worker needs it, programs lack the capability."""
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_SOCK_STREAM, _SOCK_SEQPACKET = 1, 5

# What one process may do to another of the same user; refused where nothing else keeps them apart.
_ON_OTHERS_BY_FIRST = {
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "setpgid": (109, 154),
}
_ON_OTHERS_BY_SECOND = {"setpriority": (141, 140), "ioprio_set": (251, 30)}
_SIGNALS = {"kill": (62, 129), "tgkill": (234, 131), "rt_tgsigqueueinfo": (297, 240)}
_SIGNALS_BY_THREAD = {"tkill": (200, 130), "rt_sigqueueinfo": (129, 138)}
_TRUNCATING = {"truncate": (76, 45), "openat": (257, 56), "openat2": (437, 437)}
_OPEN_X86 = 2
_ABI_THAT_KNOWS_TRUNCATION = 3
_ABI_THAT_SCOPES_SIGNALS = 6
_OF_FILES = {
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "fremovexattr": (199, 16),
    "fsetxattr": (190, 7),
    "lremovexattr": (198, 15),
    "lsetxattr": (189, 6),
    "removexattr": (197, 14),
    "setxattr": (188, 5),
    "utimensat": (280, 88),
}
_OF_FILES_X86 = {
    "chmod": 90,
    "chown": 92,
    "futimesat": 261,
    "lchown": 94,
    "utime": 132,
    "utimes": 235,
}


class _Instruction(NamedTuple):
    code: int
    operand: int
    if_true: int = 0
    if_false: int = 0


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def base_filter() -> bytes:
    """Return the filter of the worker and of all that it starts."""
    code = _head()
    code += [_Instruction(_GREATER, _NEWEST, 0, 1), _return_error(errno.ENOSYS)]
    absent = set(_ABSENT.split())
    for name, call in _known(_BOTH).items():
        code += _refuse(call, errno.ENOSYS if name in absent else errno.EPERM)
    if kernel.MACHINE == "x86_64":
        for call in _X86_ONLY.values():
            code += _refuse(call, errno.EPERM)
    calls = _known(_WITH_RULES)
    code += _refuse(calls["clone3"], errno.ENOSYS)  # its flags lie in memory; libc then uses clone
    code += _refuse_bits(calls["clone"], 0, _NAMESPACES)
    code += _refuse_unless(calls["personality"], 0, (0, 0xFFFFFFFF))
    code += _refuse_if(calls["ioctl"], 1, (_TIOCSTI, _TIOCLINUX))
    code += _refuse_unless(calls["socketpair"], 0, (1,))  # AF_UNIX
    code += _only_streams(calls["socketpair"])
    return _assemble([*code, _Instruction(_RETURN, _ALLOW)])


def same_user_filter(*, own_pid: int, landlock_abi: int) -> bytes:
    """Return the filter of a program that runs as the user whose other processes it must not harm.

    Args:
        own_pid: The program's process; the only one it may signal, unless Landlock keeps its
            signals within its own descent.
        landlock_abi: What Landlock of this version does not cover, the filter does.
    """
    code = _head()
    for call in _known(_ON_OTHERS_BY_FIRST).values():
        code += _refuse_unless(call, 0, (0, own_pid))
    for call in _known(_ON_OTHERS_BY_SECOND).values():
        code += _refuse_unless(call, 1, (0, own_pid))
    if landlock_abi < _ABI_THAT_SCOPES_SIGNALS:
        for call in _known(_SIGNALS).values():
            code += _refuse_unless(call, 0, (0, own_pid))
        for call in _known(_SIGNALS_BY_THREAD).values():
            code += _refuse_unless(call, 0, (own_pid,))
    if landlock_abi < _ABI_THAT_KNOWS_TRUNCATION:
        code += _refuse_truncation()
    x86 = tuple(_OF_FILES_X86.values()) if kernel.MACHINE == "x86_64" else ()
    for call in (*_known(_OF_FILES).values(), *x86):
        code += _refuse(call, 0)  # linkers insist on success; Landlock does not cover these
    return _assemble([*code, _Instruction(_RETURN, _ALLOW)])


def install(program: bytes) -> None:
    """Put this process, and all that it starts, under a filter; there is no way back.

    Raises:
        OSError: The kernel refused.
    """
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    described = _Program(len(program) // 8, program)
    address = ctypes.addressof(described)
    try:
        kernel.syscall(kernel.SECCOMP, _SET_FILTER, _SPEC_ALLOW, address)
    except OSError:  # a kernel before 4.17
        kernel.syscall(kernel.SECCOMP, _SET_FILTER, 0, address)


def _known(calls: dict[str, tuple[int, int]]) -> dict[str, int]:
    column = 0 if kernel.MACHINE == "x86_64" else 1
    return {name: numbers[column] for name, numbers in calls.items()}


def _head() -> list[_Instruction]:
    """Kill what uses another machine's calls; load the call's number."""
    return [
        _Instruction(_LOAD, 4),
        _Instruction(_EQUAL, _AUDIT_ARCH[kernel.MACHINE], 1, 0),
        _Instruction(_RETURN, _KILL),
        _Instruction(_LOAD, 0),
    ]


def _return_error(code: int) -> _Instruction:
    return _Instruction(_RETURN, _ERROR | code)


def _refuse(call: int, code: int) -> list[_Instruction]:
    return [_Instruction(_EQUAL, call, 0, 1), _return_error(code)]


def _for_call(call: int, body: list[_Instruction]) -> list[_Instruction]:
    """Run a body that may end with the call allowed; the number is loaded again after it."""
    return [_Instruction(_EQUAL, call, 0, len(body)), *body]


def _refuse_bits(call: int, argument: int, bits: int) -> list[_Instruction]:
    body = [
        _Instruction(_LOAD, 16 + 8 * argument),
        _Instruction(_ANY_BIT, bits, 0, 1),
        _return_error(errno.EPERM),
        _Instruction(_LOAD, 0),
    ]
    return _for_call(call, body)


def _refuse_if(call: int, argument: int, values: tuple[int, ...]) -> list[_Instruction]:
    body = [_Instruction(_LOAD, 16 + 8 * argument)]
    for value in values:
        body += [_Instruction(_EQUAL, value, 0, 1), _return_error(errno.EPERM)]
    return _for_call(call, [*body, _Instruction(_LOAD, 0)])


def _refuse_unless(call: int, argument: int, values: tuple[int, ...]) -> list[_Instruction]:
    body = [_Instruction(_LOAD, 16 + 8 * argument)]
    left = len(values)
    for value in values:
        body.append(_Instruction(_EQUAL, value, left, 0))
        left -= 1
    return _for_call(call, [*body, _return_error(errno.EPERM), _Instruction(_LOAD, 0)])


def _refuse_truncation() -> list[_Instruction]:
    """Refuse to shorten files by name, also by opening them for reading."""
    calls = _known(_TRUNCATING)
    code = _refuse(calls["truncate"], errno.EPERM) + _refuse(calls["openat2"], errno.ENOSYS)
    opening = [(calls["openat"], 2)]
    if kernel.MACHINE == "x86_64":
        opening.append((_OPEN_X86, 1))
    for call, argument in opening:
        body = [
            _Instruction(_LOAD, 16 + 8 * argument),
            _Instruction(_AND, os.O_TRUNC | os.O_ACCMODE),
            _Instruction(_EQUAL, os.O_TRUNC | os.O_RDONLY, 0, 1),
            _return_error(errno.EPERM),
            _Instruction(_LOAD, 0),
        ]
        code += _for_call(call, body)
    return code


def _only_streams(call: int) -> list[_Instruction]:
    """Allow pairs of connected sockets only: a datagram socket can be pointed elsewhere later.

    Those that keep packets apart are how Rust's standard library starts processes.
    """
    body = [
        _Instruction(_LOAD, 16 + 8),
        _Instruction(_AND, 0xF),
        _Instruction(_EQUAL, _SOCK_STREAM, 2, 0),
        _Instruction(_EQUAL, _SOCK_SEQPACKET, 1, 0),
        _return_error(errno.EPERM),
        _Instruction(_LOAD, 0),
    ]
    return _for_call(call, body)


def _assemble(code: list[_Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", c, t, f, k) for c, k, t, f in code)
