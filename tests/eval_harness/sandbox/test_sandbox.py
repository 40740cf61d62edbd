"""What a sandbox promises to those who use it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eval_harness.sandbox import groups, tiers
from eval_harness.sandbox.inside import seccomp
from eval_harness.sandbox.job import MIB, Ended, Job, Limits, SandboxError
from eval_harness.sandbox.tiers import TIERS, available_tiers, describe_tier, open_sandbox
from fimble.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from eval_harness.sandbox.job import Sandbox

REPOSITORY = Path(__file__).resolve().parents[3]
PYTHON = os.path.realpath(sys.executable)
PREFIX = Path(sys.base_prefix)


def python_job(code: str, **fields: object) -> Job:
    given = {"readable": (PREFIX,), **fields}
    return Job(argv=(PYTHON, "-I", "-S", "-c", code), **given)  # type: ignore[arg-type]


def test_a_harness_moves_down_in_a_delegated_group_once(tmp_path: Path) -> None:
    """On plain files that look like a folder of version 2."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("")
    leaf = tmp_path / "fimble-sandbox-harness"
    assert groups._delegated(tmp_path) == tmp_path
    assert (leaf / "cgroup.procs").read_text() == str(os.getpid())
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids"
    (tmp_path / "cgroup.subtree_control").write_text("memory pids\n")  # as the kernel says it
    assert groups._delegated(leaf) == tmp_path  # the second sandbox of a process
    assert [path.name for path in leaf.iterdir()] == ["cgroup.procs"]
    (tmp_path / "cgroup.controllers").write_text("cpu\n")
    assert groups._delegated(tmp_path) is None
    assert groups._delegated(tmp_path / "nowhere") is None


def test_a_harness_goes_back_where_others_are_in_its_group(tmp_path: Path) -> None:
    """The kernel refuses controllers then, as a folder in the place of the file does here."""
    (tmp_path / "cgroup.subtree_control").mkdir()
    with pytest.raises(OSError, match="subtree_control"):
        groups._move_down(tmp_path)
    assert (tmp_path / "cgroup.procs").read_text() == str(os.getpid())


def test_a_job_gets_its_files_and_input_and_its_outputs_come_back(sandbox: Sandbox) -> None:
    script = "cat; cat 'in/é 🎉.txt'; ./run; echo no >&2; echo new > made; exit 3"
    outcome = sandbox.run(
        Job(
            argv=("/bin/sh", "-c", script),
            files={"in/é 🎉.txt": b"a\r\n", "run": b"#!/bin/sh\necho ran", "empty": b""},
            executables=frozenset({"run"}),
            stdin="héllo\n".encode(),
            env={"X": "1"},
            collect=("made", "in", "empty", "missing"),
        )
    )
    assert (outcome.ended, outcome.exit_code) == (Ended.EXITED, 3)
    assert outcome.stdout == "héllo\na\r\nran\n".encode()
    assert outcome.stderr == b"no\n"
    assert outcome.files == {"made": b"new\n", "in/é 🎉.txt": b"a\r\n", "empty": b""}
    assert outcome.cpu_ms > 0
    assert outcome.wall_ms > 0


def test_the_environment_is_what_the_job_says(sandbox: Sandbox) -> None:
    outcome = sandbox.run(Job(argv=("/usr/bin/env",), env={"X": "1", "HOME": "/elsewhere"}))
    names = {line.partition(b"=")[0] for line in outcome.stdout.splitlines()}
    assert names == {b"PATH", b"HOME", b"TMPDIR", b"X"}
    assert b"HOME=/elsewhere\n" in outcome.stdout


def test_large_input_arrives_whole(sandbox: Sandbox) -> None:
    outcome = sandbox.run(Job(argv=("/usr/bin/wc", "-c"), stdin=b"x" * 3_000_000))
    assert outcome.stdout == b"3000000\n"


def test_a_program_that_is_not_there_is_said_to_be(sandbox: Sandbox) -> None:
    outcome = sandbox.run(Job(argv=("/nowhere/compiler",)))
    assert outcome.exit_code == 127
    assert b"/nowhere/compiler" in outcome.stderr


def test_a_signal_is_told_from_an_exit(sandbox: Sandbox) -> None:
    outcome = sandbox.run(Job(argv=("/bin/sh", "-c", "kill -SEGV $$")))
    assert (outcome.ended, outcome.exit_code) == (Ended.SIGNALLED, -signal.SIGSEGV)


def test_files_of_a_job_stay_below_its_folder(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="does not name a file below"):
        sandbox.run(Job(argv=("/bin/true",), files={"../out": b""}))
    assert sandbox.run(Job(argv=("/bin/true",))).exit_code == 0


def test_readable_paths_can_be_read_and_nothing_beside_them(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "yes").mkdir()
    (tmp_path / "yes" / "file").write_text("toolchain\n")
    (tmp_path / "no").write_text("secret\n")
    script = f"cat {tmp_path}/yes/file; cat {tmp_path}/no; echo x > {tmp_path}/yes/file"
    outcome = sandbox.run(Job(argv=("/bin/sh", "-c", script), readable=(tmp_path / "yes",)))
    assert outcome.stdout == b"toolchain\n"
    assert (tmp_path / "yes" / "file").read_text() == "toolchain\n"
    outcome = sandbox.run(Job(argv=("/bin/sh", "-c", script)))
    assert outcome.stdout == b""


def test_cpu_time_of_all_processes_counts(sandbox: Sandbox) -> None:
    code = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        while time.process_time() < 0.3:
            pass
        os._exit(0)
for _ in range(4):
    os.wait()
"""
    outcome = sandbox.run(python_job(code))
    assert outcome.ended is Ended.EXITED
    assert 1200 <= outcome.cpu_ms < 2500
    limits = Limits(cpu_s=0.6, wall_s=60)
    assert sandbox.run(python_job(code, limits=limits)).ended is Ended.CPU_LIMIT


def test_sleeping_is_not_cpu_time(sandbox: Sandbox) -> None:
    limits = Limits(cpu_s=0.5)
    outcome = sandbox.run(python_job("import time; time.sleep(1)", limits=limits))
    assert outcome.ended is Ended.EXITED
    assert outcome.wall_ms >= 1000


def test_memory_below_the_limit_is_granted(sandbox: Sandbox) -> None:
    code = "import os; kept = bytearray(os.urandom(1 << 20)) * 150; print(len(kept))"
    allowed = Limits(memory_bytes=256 * MIB)
    assert sandbox.run(python_job(code, limits=allowed)).stdout == b"157286400\n"
    denied = sandbox.run(python_job(code, limits=Limits(memory_bytes=64 * MIB)))
    assert denied.stdout == b""


def test_threads_share_a_sandbox(sandbox: Sandbox) -> None:
    found: dict[int, bytes] = {}

    def work(number: int) -> None:
        for _ in range(3):
            found[number] = sandbox.run(Job(argv=("/bin/echo", str(number)))).stdout

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"{number}\n".encode() for number in range(6)}


SERVICE = """
import json, os, sys
for line in sys.stdin:
    question = json.loads(line)
    if question.get("die"):
        os._exit(1)
    if question.get("sleep"):
        import time
        time.sleep(100)
    print(json.dumps({"double": question["n"] * 2, "pid": os.getpid(), "was": os.listdir()}),
          flush=True)
"""


def test_a_service_answers_dies_and_starts_again(sandbox: Sandbox) -> None:
    job = Job(
        argv=(PYTHON, "-I", "-S", "service.py"),
        files={"service.py": SERVICE.encode()},
        readable=(PREFIX,),
    )
    service = sandbox.service(job)
    first = service.ask({"n": 21}, wall_s=60)
    assert (first["double"], first["was"]) == (42, ["service.py"])
    assert service.ask({"n": 1}, wall_s=60)["pid"] == first["pid"]
    with pytest.raises(SandboxError, match="has ended"):
        service.ask({"die": True}, wall_s=60)
    assert service.ask({"n": 2}, wall_s=60)["double"] == 4
    with pytest.raises(SandboxError, match="does not answer"):
        service.ask({"sleep": True}, wall_s=0.3)
    assert service.ask({"n": 3}, wall_s=60)["double"] == 6
    service.close()


def test_a_tier_says_what_holds_in_it() -> None:
    for tier in TIERS:
        if not available_tiers()[tier]:
            holds = describe_tier(tier)
            assert holds["seccomp"] is True
            assert holds["landlock"] or holds["namespaces"]


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("no-such-engine", "there is no `no-such-engine`, which FIMBLE_SANDBOX_ENGINE asks for"),
        (shutil.which("false"), f"{shutil.which('false')} has no image"),
    ],
    ids=["missing", "there"],
)
def test_the_engine_that_is_asked_for_is_the_one_that_is_taken(
    engine: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIMBLE_SANDBOX_ENGINE", engine)
    assert tiers._why_no_container().startswith(said)


def test_no_isolation_only_if_one_says_so() -> None:
    with pytest.raises(InputError, match="--unsafe"):
        open_sandbox("none")
    with pytest.raises(InputError, match="there is no tier 'chroot'"):
        open_sandbox("chroot")
    unsafe = open_sandbox("none", is_unsafe_allowed=True)
    assert unsafe.run(Job(argv=("/bin/echo", "hi"))).stdout == b"hi\n"
    limited = unsafe.run(
        Job(argv=("/bin/sh", "-c", "while :; do :; done"), limits=Limits(cpu_s=0.5))
    )
    assert limited.ended is Ended.CPU_LIMIT
    unsafe.close()


def test_the_filters_are_programs_that_the_kernel_takes() -> None:
    for program in (
        seccomp.base_filter(),
        seccomp.same_user_filter(own_pid=1, landlock_abi=1),
        seccomp.same_user_filter(own_pid=1, landlock_abi=7),
    ):
        assert len(program) % 8 == 0
        assert len(program) // 8 < 4096


HARNESS = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from eval_harness.sandbox.job import Job, Limits
from eval_harness.sandbox.tiers import open_sandbox
sandbox = open_sandbox(sys.argv[2])
sleep = "sleep " + sys.argv[3]
script = f"setsid {sleep} & echo started > file; {sleep}; true"
job = Job(argv=("/bin/sh", "-c", script))
service = sandbox.service(Job(argv=("/bin/sh", "-c", f"read x; echo {{}}; {sleep}; true")))
service.ask({}, wall_s=60)
threads = [threading.Thread(target=sandbox.run, args=(job,)) for _ in range(2)]
for thread in threads:
    thread.start()
print(sandbox.folder, flush=True)
for thread in threads:
    thread.join()
"""


@pytest.mark.parametrize("tier", TIERS)
def test_a_harness_that_is_killed_leaves_nothing(tier: str) -> None:
    if available_tiers()[tier]:
        pytest.skip(f"{tier}: {available_tiers()[tier]}")
    seconds = f"1{os.getpid():07}.{time.monotonic_ns()}"  # a name for the processes
    command = [sys.executable, "-c", HARNESS, str(REPOSITORY), tier, seconds]
    harness = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert harness.stdout
    folder = harness.stdout.readline().strip()
    assert Path(folder).is_dir()
    assert _wait_until(lambda: len(_sleeping(seconds)) == 2 * 2 + 1), _sleeping(seconds)
    harness.kill()
    harness.wait()
    harness.stdout.close()
    assert _wait_until(lambda: not _sleeping(seconds)), _sleeping(seconds)
    assert folder not in Path("/proc/self/mountinfo").read_text()
    with contextlib.closing(open_sandbox(tier)):
        assert not Path(folder).exists()
    assert _wait_until(lambda: not _groups_of(harness.pid)), _groups_of(harness.pid)


def test_a_worker_that_is_killed_is_replaced(sandbox: Sandbox) -> None:
    job = Job(argv=("/bin/echo", "still here"))
    sandbox.run(job)
    for slot in list(sandbox._idle):  # type: ignore[attr-defined]  # there is no other way to it
        slot.worker._process.kill()
    assert sandbox.run(job).stdout == b"still here\n"


def test_closing_leaves_no_folder_and_no_group() -> None:
    groups_before = _groups_of(os.getpid())
    before = set(Path(tempfile.gettempdir()).glob("fimble-sandbox-*"))
    for tier in TIERS:
        if not available_tiers()[tier]:
            sandbox = open_sandbox(tier)
            sandbox.run(Job(argv=("/bin/sh", "-c", "mkdir -p a/b; chmod 0 a; echo x > c")))
            sandbox.close()
    assert set(Path(tempfile.gettempdir()).glob("fimble-sandbox-*")) <= before
    assert _groups_of(os.getpid()) == groups_before


def test_toolchains_in_the_home_of_root_can_be_used(sandbox: Sandbox, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "tools").mkdir(parents=True)
    (home / "tools" / "run").write_text("#!/bin/sh\necho tool\n")
    (home / "tools" / "run").chmod(0o755)
    home.chmod(0o700)
    job = Job(argv=(str(home / "tools" / "run"),), readable=(home / "tools",))
    assert sandbox.run(job).stdout == b"tool\n"


def _groups_of(pid: int) -> list[Path]:
    """Return what the next start leaves of the control groups of a harness."""
    groups.sweep(groups.parents())
    name = f"fimble-sandbox-{pid}-*"
    return [path for parent in groups.parents().values() for path in parent.glob(name)]


def _sleeping(seconds: str) -> list[int]:
    """Return the processes that sleep this long."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cmdline").read_bytes() == f"sleep\0{seconds}\0".encode():
                    found.append(int(entry.name))
    return found


def _wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
