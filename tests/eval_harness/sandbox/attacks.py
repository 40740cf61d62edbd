"""Programs that attack their sandbox, and what must come of each.

Each is a Python program; `HOST` in it is a dictionary that says where things of the host are. What
an attack managed to do it prints as `BREACH`; that is the one word that must never be seen.
"""

from __future__ import annotations

HELP = """
import ctypes, errno, os, resource, signal, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)

def breach(text):
    os.write(1, ("BREACH " + text + "\\n").encode())

def refused(text, function, *args):
    try:
        function(*args)
    except (OSError, ValueError, MemoryError) as error:
        return
    breach(text)

def syscall(text, *args):
    if libc.syscall(*args) >= 0:
        breach(text)
    elif ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS, errno.EACCES, errno.ESRCH):
        breach(text + ": " + os.strerror(ctypes.get_errno()))
"""

ATTACKS = {
    "fork bomb": """
while True:
    try:
        os.fork()
    except OSError:
        pass
""",
    "fork bomb that hides in sessions": """
while True:
    try:
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    except OSError:
        pass
""",
    "memory bomb": """
kept = []
while True:
    kept.append(bytearray(os.urandom(1 << 20)))
""",
    "memory bomb of many processes": """
for _ in range(8):
    if os.fork() == 0:
        kept = bytearray(os.urandom(1 << 20)) * 60
        time.sleep(2)
        os._exit(0)
for _ in range(8):
    os.wait()
""",
    "disk fill": """
for number in range(100000):
    with open(str(number), "wb") as file:
        for _ in range(8):
            file.write(bytes(1 << 20))
""",
    "disk fill of removed files": """
kept = []
for number in range(500):
    file = open("gone", "wb")
    os.unlink("gone")
    for _ in range(8):
        file.write(bytes(1 << 20))
    file.flush()
    kept.append(file)
""",
    "disk fill of empty files": """
for number in range(10 ** 7):
    os.close(os.open(f"{number % 97}x{number}", os.O_CREAT | os.O_WRONLY))
""",
    "one large file": """
with open("large", "wb") as file:
    refused("a file beyond the limit", file.truncate, 1 << 40)
    for _ in range(1 << 20):
        file.write(bytes(1 << 20))
        file.flush()
    breach("a file beyond the limit")
""",
    "output flood": """
while True:
    os.write(1, b"x" * (1 << 20))
""",
    "error flood": """
while True:
    os.write(2, b"x" * (1 << 20))
""",
    "network": """
import _socket
for family, kind in ((2, 1), (2, 2), (10, 1), (1, 1), (1, 2), (16, 3), (17, 3), (38, 5), (40, 1)):
    refused(f"a socket of family {family}", _socket.socket, family, kind)
refused("a TCP connection", socket.create_connection, ("127.0.0.1", HOST["tcp_port"]), 5)
refused("a look-up", socket.getaddrinfo, "example.org", 80)
refused("a pair of datagram sockets", socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM)
left, right = socket.socketpair()
for address in (HOST["unix_socket"], "\\0" + HOST["abstract_socket"]):
    refused("a connection of a pair's end", left.connect, address)
    refused("a message to another socket", left.sendto, b"x", address)
""",
    "ptrace": """
for pid in (HOST["victim"], HOST["harness"], os.getppid(), 1):
    for request in (16, 0x4206):
        syscall("ptrace", 101, request, pid, 0, 0)
    buffer = ctypes.create_string_buffer(8)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
    syscall("process_vm_readv", 310, pid, vector, 1, vector, 1, 0)
    syscall("pidfd_open", 434, pid, 0)
    syscall("kcmp", 312, os.getpid(), pid, 0, 0, 0)
""",
    "signals": """
for pid in (HOST["victim"], HOST["harness"], os.getppid(), 1, -HOST["victim"], -1):
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM):
        try:
            os.kill(pid, number)
        except OSError:
            pass
""",
    "signals to all that it can count to": """
for pid in range(2, 70000):
    if pid != os.getpid():
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
""",
    "limits and priorities of others": """
for pid in (HOST["victim"], HOST["harness"], os.getppid()):
    for change in (
        lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)),
        lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
        lambda: os.sched_setaffinity(pid, {0}),
    ):
        try:
            change()
        except OSError:
            pass
""",
    "own limits": """
for kind in (resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC,
             resource.RLIMIT_NOFILE, resource.RLIMIT_CORE):
    refused("a raised limit", resource.setrlimit, kind, (resource.RLIM_INFINITY,) * 2)
signal.signal(signal.SIGXCPU, signal.SIG_IGN)
while True:
    pass
""",
    "daemon": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        os.closerange(0, 100)
        os.execv(sys.executable, [sys.executable, "-IS", "-c", "import time; time.sleep(99)",
                                  HOST["token"]])
    os._exit(0)
os.wait()
time.sleep(0.2)
""",
    "daemon that keeps the output open": """
if os.fork() == 0:
    os.setsid()
    libc.prctl(36, 1, 0, 0, 0)
    if os.fork() == 0:
        while True:
            time.sleep(1)
os._exit(0)
""",
    "symbolic and hard links": """
os.symlink(HOST["secret"], "out")
os.symlink("/etc/passwd", "passwd")
os.symlink("/", "folder")
os.mkdir("below")
os.symlink("..", "below/up")
refused("a file of the host, read through a link", open, "out")
refused("a file of the host, written through a link", open, "out", "w")
refused("a hard link", os.link, HOST["secret"], "hard")
refused("a rename", os.rename, HOST["secret"], "moved")
""",
    "proc": """
for pid in ("self", "thread-self", "1", HOST["victim"], HOST["harness"], os.getppid()):
    for name in ("root" + HOST["secret"], "cwd/.." + HOST["secret"], "environ", "mem", "maps"):
        path = f"/proc/{pid}/{name}"
        if pid in ("self", "thread-self") and name in ("environ", "mem", "maps"):
            continue
        refused(path, open, path, "rb")
    refused("a score for killing", open, f"/proc/{pid}/oom_score_adj", "w")
for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/self/exe",
             "/proc/sys/vm/drop_caches", "/sys/fs/cgroup/memory/tasks", "/dev/mem", "/dev/kmsg"):
    refused(path, open, path, "r+b")
""",
    "files of the host": """
for path in (HOST["secret"], "/etc/shadow", "/etc/gshadow", "/var/spool/cron/root", "/proc/kcore",
             "/var/log/dpkg.log", HOST["tests"]):
    refused(path, open, path)
for path in (HOST["folder"], "/root", "/home", "/var"):
    refused(path, os.listdir, path)
for path in (HOST["secret"], HOST["folder"] + "/new", "/usr/new", "/etc/new", "/dev/shm/new",
             "/tmp/new", "/new", sys.executable):
    refused(path, open, path, "w")
for change in (
    lambda: os.truncate(HOST["secret"], 0),
    lambda: open(os.open(HOST["secret"], os.O_RDONLY | os.O_TRUNC)),
    lambda: os.unlink(HOST["secret"]),
    lambda: os.mkdir(HOST["folder"] + "/new"),
    lambda: os.mkfifo(HOST["folder"] + "/new"),
    lambda: os.rmdir(HOST["folder"] + "/empty"),
    lambda: os.symlink("x", HOST["folder"] + "/new"),
):
    refused("a change on the host", change)
for change in (
    lambda: os.chmod(HOST["secret"], 0o777),
    lambda: os.utime(HOST["secret"], (0, 0)),
    lambda: os.setxattr(HOST["secret"], "user.x", b"x"),
    lambda: os.chmod(HOST["folder"], 0),
):
    try:
        change()  # whoever runs the harness looks whether anything changed
    except OSError:
        pass
""",
    "system calls": """
at = ctypes.create_string_buffer(b"x")
for name, number, *args in (
    ("mount", 165, b"none", b"/", b"tmpfs", 0, 0), ("umount", 166, b"/proc", 2),
    ("unshare", 272, 0x10000000), ("unshare", 272, 0x40000000), ("setns", 308, 0, 0),
    ("clone", 56, 0x10000011, 0, 0, 0, 0), ("clone", 56, 0x40000011, 0, 0, 0, 0),
    ("clone", 56, 0x20000011, 0, 0, 0, 0), ("clone3", 435, at, 0), ("chroot", 161, b"/"),
    ("pivot_root", 155, b"/", b"/"), ("bpf", 321, 0, at, 0), ("keyctl", 250, 0, -3, 0),
    ("add_key", 248, b"user", b"x", b"x", 1, -3), ("request_key", 249, b"user", b"x", 0, 0),
    ("userfaultfd", 323, 0), ("io_uring_setup", 425, 1, at), ("io_uring_enter", 426, 0, 0, 0, 0),
    ("perf_event_open", 298, at, 0, -1, -1, 0), ("memfd_create", 319, b"x", 0),
    ("fanotify_init", 300, 0, 0), ("name_to_handle_at", 303, -100, b"/", at, at, 0),
    ("open_by_handle_at", 304, -100, at, 0), ("fsopen", 430, b"tmpfs", 0),
    ("open_tree", 428, -100, b"/", 1), ("kexec_load", 246, 0, 0, 0, 0),
    ("init_module", 175, at, 1, b""), ("reboot", 169, 0xfee1dead, 672274793, 0, 0),
    ("swapon", 167, b"/x", 0), ("syslog", 103, 3, at, 1), ("quotactl", 179, 0, 0, 0, 0),
    ("shmget", 29, 0, 4096, 0o1600), ("msgget", 68, 0, 0o1600), ("semget", 64, 0, 1, 0o1600),
    ("mq_open", 240, b"x", 66, 0o600, 0), ("iopl", 172, 3), ("acct", 163, b"/x"),
    ("settimeofday", 164, at, 0), ("sethostname", 170, at, 1), ("personality", 135, 0x0040000),
    ("ioctl TIOCSTI", 16, 0, 0x5412, at), ("a call of tomorrow", 700),
    ("x32", 0x40000000 | 41, 2, 1, 0),
):
    syscall(name, number, *args)
""",
    "privileges": """
for change in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]),
               lambda: os.mknod("null", 0o020666, os.makedev(1, 3)), lambda: os.chown(".", 0, 0),
               lambda: os.nice(-5)):
    if os.getuid() != 0:
        before = os.getuid(), os.stat(".").st_uid
        try:
            change()
        except OSError:
            pass
        if (os.getuid(), os.stat(".").st_uid) != before or os.path.exists("null"):
            breach("a privilege")
text = open("/proc/self/status").read()
for line in ("NoNewPrivs:\\t1", "Seccomp:\\t2"):
    if line not in text:
        breach(line + " is not so: " + text)
if int(text.split("CapEff:")[1].split()[0], 16) & ~4:  # to read toolchains in the home of root
    breach("capabilities: " + text)
""",
    "removal of its folder": """
import shutil
os.mkdir("x")
os.chmod("x", 0)
here = os.getcwd()
shutil.rmtree(here, ignore_errors=True)
for change in (lambda: os.rmdir(here), lambda: os.rename(here, here + "2"),
               lambda: os.rmdir(os.path.dirname(here)), lambda: os.chmod(here, 0)):
    try:
        change()
    except OSError:
        pass
""",
    "folder that is hard to remove": """
os.mkdir("locked")
open("locked/file", "w").close()
os.chmod("locked", 0)
os.mkdir(b"\\xff\\n")
for number in range(3000):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
    if number % 500 == 0:
        open("f" * 200, "w").close()
        os.mkfifo("p")
os.symlink("loop", "loop")
""",
    "deep recursion": """
import gc
gc.disable()
deep = iter(())
for _ in range(300_000):
    deep = map(int, deep)
next(deep)
""",
    "closing of every descriptor": """
os.closerange(0, 1024)
os._exit(7)
""",
    "writing to every descriptor": """
for fd in range(3, 1024):
    try:
        os.write(fd, b"BREACH")
        breach(f"descriptor {fd} is open")
    except OSError:
        pass
""",
    "sleep": """
time.sleep(1000)
""",
    "stop": """
os.kill(os.getpid(), signal.SIGSTOP)
""",
}

EXPECTED = {
    "memory bomb": {"memory_limit", "exited"},
    "disk fill": {"output_limit", "memory_limit", "exited"},
    "disk fill of removed files": {"output_limit", "memory_limit", "exited"},
    "disk fill of empty files": {"output_limit", "memory_limit", "cpu_limit"},
    "output flood": {"output_limit"},
    "error flood": {"output_limit"},
    "own limits": {"cpu_limit"},
    "deep recursion": {"signalled"},
    "sleep": {"wall_limit"},
    "stop": {"wall_limit"},
    "daemon": {"exited"},
    "daemon that keeps the output open": {"exited"},
}
"""How some must end; the others may end as they like."""
