"""The rules file: read, verified, and never older than what this machine has seen.

The last good file is kept in the state folder. It says which version was seen, and it goes on while
the file itself is missing or broken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fimble.errors import ConfigError, FimbleError
from fimble.files import write_whole
from fimble.paths import rollout_file, state_dir
from fimble.rollout import parse_rollout
from lsp_server.rollouts.signature import verified

if TYPE_CHECKING:
    from pathlib import Path

    from fimble.rollout import Rollout
    from fimble.settings import RolloutSettings

HALTED_SUFFIX = ".halted"
"""`rollout.toml.halted` beside the file means: on this machine no rule counts."""
LONGEST_BYTES = 1_000_000


class Read(NamedTuple):
    """What was read."""

    rollout: Rollout | None
    """The newest rules that were signed; None where there are none. They may have expired."""
    trouble: str = ""
    """Why the file itself does not count; empty where it does, or where there is none."""
    is_halted: bool = False


def path_of(settings: RolloutSettings) -> Path:
    """Return where the rules are; the file need not exist."""
    return rollout_file(settings.file)


def halted_path(file: Path) -> Path:
    """Return the file that says, by being there, that no rule counts on this machine."""
    return file.with_name(file.name + HALTED_SUFFIX)


def stamp(file: Path) -> tuple[object, ...]:
    """Return what changes when the rules do. Blocks for as long as two looks at the disk."""
    return _stamp(file), _stamp(halted_path(file))


def read_rules(settings: RolloutSettings) -> Read:
    """Return the rules in force, and keep them for the time when the file is missing. Blocks."""
    file = path_of(settings)
    is_halted = halted_path(file).exists()
    kept_at = state_dir() / "rollout.toml"
    kept = _kept(kept_at, settings.keys)
    before = kept[1] if kept else None
    try:
        data = _data(file)
        rollout = parse_rollout(verified(data, settings.keys, where=str(file)), where=str(file))
        _check_newer(file, rollout, before, is_same=bool(kept) and kept[0] == data)
    except FileNotFoundError:
        return Read(before, is_halted=is_halted)
    except (FimbleError, OSError) as error:
        return Read(before, str(error), is_halted=is_halted)
    if kept is None or kept[0] != data:
        try:
            write_whole(kept_at, data)
        except OSError as error:
            trouble = f"{error}; an older rules file would be accepted again"
            return Read(rollout, trouble, is_halted=is_halted)
    return Read(rollout, is_halted=is_halted)


def _check_newer(file: Path, rollout: Rollout, before: Rollout | None, *, is_same: bool) -> None:
    if before is None or is_same or rollout.rules_version > before.rules_version:
        return
    raise ConfigError(
        f"{file} has version {rollout.rules_version}, and this machine has seen version "
        f"{before.rules_version}; sign the rules with a version above that"
    )


def _kept(path: Path, keys: tuple[str, ...]) -> tuple[bytes, Rollout] | None:
    """Return the last good file; None where there is none that these keys have signed."""
    try:
        data = _data(path)
        return data, parse_rollout(verified(data, keys, where=str(path)), where=str(path))
    except (FimbleError, OSError):
        return None


def _data(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(LONGEST_BYTES + 1)
    if len(data) > LONGEST_BYTES:
        raise ConfigError(f"{path} has more than {LONGEST_BYTES} bytes")
    return data


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
