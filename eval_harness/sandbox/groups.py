"""Control groups for workers: version 1, version 2, or none, as the machine allows."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from eval_harness.sandbox.inside.groups import JOIN

_CONTROLLERS = ("memory", "pids", "cpuacct")
_PREFIX = "fimble-sandbox-"
_LEAF = f"{_PREFIX}harness"
_NAME = re.compile(rf"{_PREFIX}(\d+)-(\d+)-\d+")


@dataclass(frozen=True, slots=True)
class GroupFolders:
    """Folders of one worker's control group, by controller, or `unified`."""

    folders: dict[str, Path]

    def open(self) -> dict[str, int]:
        """Return a descriptor of each folder, and below `join NAME` one of its list of processes.

        Who joins in a namespace of control groups could not open the list of version 2: it lies
        outside of what such a process may move within. What counts is where it was opened.
        """
        opened: dict[str, int] = {}
        for name, path in self.folders.items():
            opened[name] = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            opened[f"{JOIN}{name}"] = os.open(path / "cgroup.procs", os.O_WRONLY)
        return opened

    def remove(self) -> None:
        """Remove the group; its processes must have ended."""
        for path in self.folders.values():
            with contextlib.suppress(OSError):
                path.rmdir()


def parents() -> dict[str, Path]:
    """Return the folders below which we may make groups; empty where we may not.

    Version 1 needs all three controllers; version 2 a folder that was delegated to this user, as
    `systemd-run --user --scope -p Delegate=yes` does.
    """
    paths = _own_paths()
    if all(name in paths for name in _CONTROLLERS):
        chosen = {name: paths[name] for name in _CONTROLLERS}
    elif "unified" in paths and (delegated := _delegated(paths["unified"])):
        chosen = {"unified": delegated}
    else:
        return {}
    return chosen if all(os.access(path, os.W_OK) for path in chosen.values()) else {}


def make_group(parent_folders: dict[str, Path], index: int) -> GroupFolders | None:
    """Make the group of one worker; None where the machine refuses.

    Args:
        parent_folders: From `parents`.
        index: Of the worker.
    """
    name = f"{_PREFIX}{os.getpid()}-{start_time(os.getpid())}-{index}"
    group = GroupFolders({kind: path / name for kind, path in parent_folders.items()})
    try:
        for path in group.folders.values():
            path.mkdir()
    except OSError:
        group.remove()
        return None
    return group if group.folders else None


def sweep(parent_folders: dict[str, Path]) -> None:
    """Remove groups that a harness left which was killed together with its workers."""
    for parent in parent_folders.values():
        for path in parent.glob(f"{_PREFIX}*"):
            match = _NAME.fullmatch(path.name)
            if match and start_time(int(match[1])) != int(match[2]):
                with contextlib.suppress(OSError):
                    path.rmdir()


def start_time(pid: int) -> int:
    """Return when a process started, in ticks since the machine did; 0 where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


def _own_paths() -> dict[str, Path]:
    """Return the folder of each hierarchy that this process is in."""
    try:
        own = Path("/proc/self/cgroup").read_text().splitlines()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return {}
    roots: dict[str, tuple[str, str]] = {}
    for line in mounts:
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        root, point = fields.split()[3:5]
        if kind == "cgroup2":
            roots["unified"] = (root, point)
        elif kind == "cgroup":
            roots |= {name: (root, point) for name in options.split(",") if name in _CONTROLLERS}
    found: dict[str, Path] = {}
    for line in own:
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(",") if controllers else ["unified"]:
            if name in roots:
                root, point = roots[name]
                below = path.removeprefix(root) if root != "/" else path
                found[name] = Path(point) / below.lstrip("/")
    return found


def _delegated(own: Path) -> Path | None:
    """Return the version 2 folder whose children may limit memory and processes, if there is one.

    No process may be in a folder whose children have controllers: we move ourselves down first,
    once.

    Args:
        own: The folder of this process.
    """
    folder = own.parent if own.name == _LEAF else own
    try:
        offered = set((folder / "cgroup.controllers").read_text().split())
        if not {"memory", "pids"} <= offered:
            return None
        if not {"memory", "pids"} <= set((folder / "cgroup.subtree_control").read_text().split()):
            _move_down(folder)
    except OSError:
        return None
    return folder


def _move_down(folder: Path) -> None:
    """Let the children of our group have controllers; if others are in it, all stays as it was.

    Raises:
        OSError: They cannot have them.
    """
    leaf = folder / _LEAF
    leaf.mkdir(exist_ok=True)
    try:
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
        (folder / "cgroup.subtree_control").write_text("+memory +pids")
    except OSError:
        with contextlib.suppress(OSError):
            (folder / "cgroup.procs").write_text(str(os.getpid()))
            leaf.rmdir()
        raise
