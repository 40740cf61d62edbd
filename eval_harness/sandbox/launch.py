"""How a worker is started in each tier."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from eval_harness.sandbox.inside.landlock import SYSTEM_FOLDERS, SYSTEM_SETTINGS

IMAGE_VARIABLE = "FIMBLE_SANDBOX_IMAGE"
ENGINE_VARIABLE = "FIMBLE_SANDBOX_ENGINE"
_PACKAGE = Path(__file__).resolve().parent / "inside"
_ROOT = _PACKAGE.parents[2]
_INTERPRETER = Path(sys.executable).resolve()
_PREFIX = Path(sys.base_prefix).resolve()
_INSIDE = "/job"
"""A file system in memory, within the isolation."""
_FILE_SYSTEM_BYTES = 1 << 30
_ROOTS_HOME = "/root"
_SECONDS_TO_END = 30
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
"""Of workers: sets have the same order every time, so that verdicts do not differ by it."""
_NOBODY = "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
_NOGROUP = "nogroup:x:65534:\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One way to start workers."""

    tier: str
    folder: str
    """Where jobs have their folder, as the worker sees it; `{}` is the worker's own folder."""
    is_own_file_system: bool
    may_use_namespaces: bool
    is_restricted: bool = True
    max_landlock_abi: int = 1 << 10
    """Older kernels have less; tests ask for what these would do."""
    is_bound_to_readable: bool = True
    """A worker sees the paths it was started with; others need other workers."""

    def argv(self, own_folder: Path, readable: tuple[str, ...], name: str) -> list[str]:
        """Return the command of a worker.

        Args:
            own_folder: On the host, for what the worker needs there.
            readable: Paths of toolchains.
            name: Unique on this machine.
        """
        if self.tier == "bubblewrap":
            return [*_bubblewrap(own_folder, readable), *_python(str(_INTERPRETER), str(_ROOT))]
        if self.tier == "container":
            return [*_container(own_folder, readable, name), *_python("python3", "/harness")]
        return _python(str(_INTERPRETER), str(_ROOT))

    def end(self, name: str) -> None:
        """End what outlives a worker that was killed: a container does not end with its client.

        Args:
            name: As it was started.
        """
        program = container_program()
        if self.tier == "container" and program:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    [program, "rm", "--force", name],
                    capture_output=True,
                    timeout=_SECONDS_TO_END,
                    check=False,
                )


LAUNCHES = {
    "bubblewrap": Launch(
        tier="bubblewrap",
        folder=f"{_INSIDE}/work",
        is_own_file_system=True,
        may_use_namespaces=True,
    ),
    "landlock": Launch(
        tier="landlock",
        folder="{}/work",
        is_own_file_system=False,
        may_use_namespaces=False,
        is_bound_to_readable=False,
    ),
    "container": Launch(
        tier="container",
        folder=f"{_INSIDE}/work",
        is_own_file_system=True,
        may_use_namespaces=False,
    ),
    "none": Launch(
        tier="none",
        folder="{}/work",
        is_own_file_system=False,
        may_use_namespaces=False,
        is_restricted=False,
        is_bound_to_readable=False,
    ),
}


def container_program() -> str | None:
    """Return the engine that is asked for, else `podman` or `docker`, whichever is there."""
    if wanted := os.environ.get(ENGINE_VARIABLE):
        return shutil.which(wanted)
    return shutil.which("podman") or shutil.which("docker")


def _python(interpreter: str, root: str) -> list[str]:
    start = (
        f"import sys; sys.path.append({root!r}); "
        "from eval_harness.sandbox.inside.worker import main; main(sys.argv[1])"
    )
    return [interpreter, "-s", "-P", "-S", "-B", "-c", start]


def _bubblewrap(own_folder: Path, readable: tuple[str, ...]) -> list[str]:
    for name, text in (("passwd", _NOBODY), ("group", _NOGROUP)):
        (own_folder / name).write_text(text)
    user = [] if os.geteuid() == 0 else ["--unshare-user"]
    command = ["bwrap", *user, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    command += ["--unshare-cgroup-try", "--cap-add", "ALL", "--hostname", "sandbox"]
    for folder in SYSTEM_FOLDERS:
        path = Path(folder)
        if path.is_symlink():
            command += ["--symlink", str(path.readlink()), folder]
        elif path.is_dir():
            command += ["--ro-bind", folder, folder]
    seen = (*SYSTEM_SETTINGS, "/sys/devices/system/cpu", "/sys/devices/system/node")
    bound = (*seen, "/sys/kernel/mm/transparent_hugepage", str(_PREFIX), str(_PACKAGE), *readable)
    outside = [
        path for path in dict.fromkeys(bound)
        if not path.startswith(tuple(f"{folder}/" for folder in SYSTEM_FOLDERS))
    ]  # fmt: skip
    # Folders that bubblewrap makes on the way to a path are closed to the jobs' users otherwise.
    parents = {str(parent) for path in outside for parent in Path(path).parents[:-1]}
    for parent in sorted(parents):
        command += ["--perms", "0755", "--dir", parent]
    for path in outside:
        command += ["--ro-bind-try", path, path]
    for name in ("passwd", "group"):
        command += ["--ro-bind", str(own_folder / name), f"/etc/{name}"]
    command += ["--proc", "/proc", "--dev", "/dev"]
    command += ["--size", str(_FILE_SYSTEM_BYTES), "--tmpfs", _INSIDE, "--dir", f"{_INSIDE}/work"]
    return [*command, "--chdir", "/", "--remount-ro", "/"]


def _container(own_folder: Path, readable: tuple[str, ...], name: str) -> list[str]:
    program = container_program() or "docker"
    image = os.environ.get(IMAGE_VARIABLE, "python:3.11-slim")
    command = [program, "run", "--rm", "--interactive", "--pull", "never", "--name", name]
    for variable, value in ENVIRONMENT.items():
        command += ["--env", f"{variable}={value}"]
    command += ["--network", "none", "--read-only", "--cap-drop", "ALL", "--user", "65534:65534"]
    command += ["--security-opt", "no-new-privileges", "--pids-limit", "512", "--ipc", "none"]
    size = f"rw,exec,nosuid,nodev,mode=1777,size={_FILE_SYSTEM_BYTES}"
    command += ["--tmpfs", f"{_INSIDE}:{size}"]
    command += ["--volume", f"{_PACKAGE}:/harness/eval_harness/sandbox/inside:ro"]
    if within := [path for path in readable if path.startswith(f"{_ROOTS_HOME}/")]:
        command += ["--volume", f"{_open_home(own_folder, within)}:{_ROOTS_HOME}:ro"]
    for path in readable:
        command += ["--volume", f"{path}:{path}:ro"]
    return [*command, image]


def _open_home(own_folder: Path, within: list[str]) -> Path:
    """Return a folder that stands for root's home, with places for what is mounted in it.

    The image's own is closed to all but root, and so would be the toolchains within it.
    """
    home = own_folder / "home"
    for path in within:
        place = home / Path(path).relative_to(_ROOTS_HOME)
        if Path(path).is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
    for folder in (home, *(each for each in home.rglob("*") if each.is_dir())):
        folder.chmod(0o755)
    return home
