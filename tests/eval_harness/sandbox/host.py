"""A host with something to lose, and a look whether it lost it.

Started as a program by an ordinary user, runs every attack in one tier and prints what it found.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from eval_harness.sandbox.job import MIB, Job, Limits
from eval_harness.sandbox.launch import LAUNCHES
from eval_harness.sandbox.pool import WorkerPool
from eval_harness.sandbox.tiers import available_tiers

if __package__:
    from tests.eval_harness.sandbox.attacks import ATTACKS, EXPECTED, HELP
else:
    from attacks import ATTACKS, EXPECTED, HELP

if TYPE_CHECKING:
    from eval_harness.sandbox.job import Outcome, Sandbox

CONTENT = "the host's own words\n"
LIMITS = Limits(
    cpu_s=1,
    wall_s=60,
    memory_bytes=128 * MIB,
    processes=32,
    files_bytes=16 * MIB,
    folder_bytes=64 * MIB,
)
WAITING = replace(LIMITS, wall_s=2)
PYTHON = os.path.realpath(sys.executable)
_ENGINES = ("/var/lib/containers/", "/var/lib/docker/", "/run/docker/", "/run/netns/")
_PATIENCE_S = 10


class State(NamedTuple):
    """What an attack could have changed."""

    files: dict[str, tuple[str, int, float]]
    """Content, mode and time of change."""
    victim: tuple[int, tuple[int, int], int]
    """Priority, limit of CPU time, number of its processors."""
    mounts: str


class Host:
    """Files, sockets and a process of the host's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o777)
        (folder / "empty").mkdir()
        (folder / "secret").write_text(CONTENT)
        (folder / "secret").chmod(0o666)
        self.token = f"attack-{os.getpid()}-{os.urandom(6).hex()}"
        self._victim = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._unix = socket.socket(socket.AF_UNIX)
        self._unix.bind(str(folder / "socket"))
        (folder / "socket").chmod(0o777)
        self._abstract = socket.socket(socket.AF_UNIX)
        self._abstract.bind("\0" + self.token)
        for listener in (self._unix, self._abstract, self._tcp):
            listener.listen()
            listener.settimeout(0)
        self.before = self.state()

    def facts(self) -> dict[str, object]:
        """Return what attacks are told."""
        return {
            "secret": str(self.folder / "secret"),
            "folder": str(self.folder),
            "unix_socket": str(self.folder / "socket"),
            "abstract_socket": self.token,
            "tcp_port": self._tcp.getsockname()[1],
            "victim": self._victim.pid,
            "harness": os.getpid(),
            "token": self.token,
            "tests": str(Path(__file__).resolve()),
        }

    def state(self) -> State:
        """Return what must not change."""
        pid = self._victim.pid
        files: dict[str, tuple[str, int, float]] = {}
        for path in sorted(self.folder.rglob("*")):
            facts = path.lstat()
            content = path.read_text() if path.is_file() else ""
            files[path.name] = (content, facts.st_mode, facts.st_mtime)
        files["."] = ("", self.folder.stat().st_mode, 0.0)
        victim = (
            os.getpriority(os.PRIO_PROCESS, pid),
            resource.prlimit(pid, resource.RLIMIT_CPU),
            len(os.sched_getaffinity(pid)),
        )
        return State(files, victim, mounts())

    def damage(self) -> str:
        """Return what an attack has changed; empty where it changed nothing."""
        if self._victim.poll() is not None:
            return "the victim has ended"
        stat = Path(f"/proc/{self._victim.pid}/stat").read_text()
        if stat.rpartition(")")[2].split()[0] == "T":
            return "the victim is stopped"
        for listener in (self._unix, self._abstract, self._tcp):
            with contextlib.suppress(BlockingIOError):
                listener.accept()
                return f"somebody connected to {listener}"
        now = self.state()
        if now != self.before:
            return f"{self.before} became {now}"
        left = self.processes()
        return f"processes are left: {left}" if left else ""

    def processes(self) -> list[str]:
        """Return the processes of attacks, by the word in their commands."""
        found: list[str] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and entry.name != str(os.getpid()):
                with contextlib.suppress(OSError):
                    command = (entry / "cmdline").read_bytes()
                    if self.token.encode() in command and b"--tier" not in command:
                        found.append(command.replace(b"\0", b" ").decode(errors="replace"))
        return found

    def wait_for_no_process(self) -> list[str]:
        """Return what is left after a while."""
        deadline = time.monotonic() + _PATIENCE_S
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.processes()

    def close(self) -> None:
        """End the victim and close the sockets."""
        self._victim.kill()
        self._victim.wait()
        for listener in (self._unix, self._abstract, self._tcp):
            listener.close()


def mounts() -> str:
    """Return what is mounted, but for what a container engine mounts for a container that lives."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return "\n".join(line for line in lines if not line.split()[4].startswith(_ENGINES))


def attack(sandbox: Sandbox, host: Host, program: str, limits: Limits = LIMITS) -> Outcome:
    """Run an attack."""
    text = f"{HELP}\nHOST = {host.facts()!r}\n{program}"
    job = Job(
        argv=(PYTHON, "-I", "-S", "attack.py", host.token),
        files={"attack.py": text.encode()},
        readable=(Path(sys.base_prefix),),
        collect=("out", "passwd", "folder", "below"),
        limits=limits,
    )
    return sandbox.run(job)


def complaint(sandbox: Sandbox, host: Host, name: str) -> str:
    """Run an attack and then something harmless; return what is wrong."""
    waits = "wall_limit" in EXPECTED.get(name, ())
    outcome = attack(sandbox, host, ATTACKS[name], WAITING if waits else LIMITS)
    said = outcome.stdout + outcome.stderr
    if b"BREACH" in said:
        return said.decode(errors="replace")[:2000]
    expected = EXPECTED.get(name)
    if expected and outcome.ended not in expected:
        return f"it ended with {outcome.ended}, {outcome.exit_code}: {outcome.stderr[-500:]!r}"
    if len(outcome.stdout) + len(outcome.stderr) > LIMITS.output_bytes:
        return f"it wrote {len(outcome.stdout) + len(outcome.stderr)} bytes"
    if any(outcome.files.values()):
        return f"it brought back {outcome.files}"
    after = attack(sandbox, host, "print(sorted(os.listdir()))")
    if after.stdout != b"['attack.py']\n":
        return f"the next job found {after}"
    return host.damage()


def main() -> None:
    """Attack one tier with everything; print the complaints by attack, as JSON."""
    name, folder = sys.argv[1:3]
    tier, _, abi = name.partition(" ")
    if available_tiers()[tier]:
        sys.stdout.write(json.dumps({"missing": available_tiers()[tier]}))
        return
    host = Host(Path(folder))
    launch = LAUNCHES[tier]
    sandbox = WorkerPool(replace(launch, max_landlock_abi=int(abi)) if abi else launch)
    try:
        found = {name: complaint(sandbox, host, name) for name in ATTACKS}
    finally:
        sandbox.close()
        host.close()
    sys.stdout.write(json.dumps({"complaints": {n: text for n, text in found.items() if text}}))


if __name__ == "__main__":
    main()
