"""`fimble doctor`: what works on this machine, and what is missing, one fact a line."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING

from fimble.clock import SystemClock
from fimble.errors import FimbleError
from fimble.manifest import load_manifest
from fimble.paths import config_file, model_dir, spool_dir
from fimble.settings import Settings, TelemetryLevel, load_settings
from lsp_server.complete import complete
from lsp_server.documents import Document, Place

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from fimble.clock import Clock

SAMPLE = "def add(a: int, b: int) -> int:\n    "
OLDEST_NEOVIM = (0, 12)
NVIM_TIMEOUT_S = 10
OF_DEVELOPERS = frozenset({"dev", "docs"})
"""Extras for work on Fimble itself, which nobody else misses."""
_MEANING = {
    TelemetryLevel.OFF: "nothing is recorded",
    TelemetryLevel.METRICS: "outcomes and times are recorded on this machine; never code",
    TelemetryLevel.KEYS: "outcomes and times are recorded with a pseudonym; never code",
    TelemetryLevel.CONTENT: "the code around completions is recorded, too, in a store of its own",
}
_REQUIREMENT = re.compile(r"[\w.-]+")
_EXTRA = re.compile(r"""extra == ["'](\w+)["']""")
_VERSION = re.compile(r"v(\d+)\.(\d+)\S*")


class State(StrEnum):
    """How a fact bears on the user."""

    OK = "ok"
    ABSENT = "absent"
    """Something optional is not there."""
    BROKEN = "broken"
    """The editor install does not work with this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing about this machine."""

    name: str
    state: State
    detail: str
    remedy: str = ""
    """The command that helps; empty where nothing need be done."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the form of the report."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print the facts; return 0 if completions work in an editor."""
    facts = []
    for fact in _facts(SystemClock()):
        facts.append(fact)
        if not arguments.json:
            sys.stdout.write(f"{_line(fact)}\n")
            sys.stdout.flush()
    works = all(fact.state is not State.BROKEN for fact in facts)
    if arguments.json:
        rows = [{name: getattr(fact, name) for name in Fact.__slots__} for fact in facts]
        sys.stdout.write(f"{json.dumps({'works': works, 'facts': rows}, indent=2)}\n")
    return 0 if works else 1


def _facts(clock: Clock) -> Iterator[Fact]:
    yield _install()
    settings = Settings()
    try:
        settings = load_settings()
    except FimbleError as error:
        yield Fact(
            name="configuration",
            state=State.BROKEN,
            detail=str(error),
            remedy=f"correct or remove {config_file()}",
        )
    else:
        found = config_file().exists()
        detail = f"{config_file()}" if found else f"no file {config_file()}; the defaults hold"
        yield Fact(name="configuration", state=State.OK, detail=detail)
    yield _model(settings)
    yield _completion(settings, clock)
    yield from _recording(settings)
    yield from _extras()
    yield from _editors()


def _install() -> Fact:
    """Say whether every package of the editor install is there."""
    missing = _missing("")
    python = ".".join(map(str, sys.version_info[:3]))
    if missing:
        return Fact(
            name="install",
            state=State.BROKEN,
            detail=f"missing: {', '.join(missing)}",
            remedy="pip install fimble",
        )
    detail = f"fimble {metadata.version('fimble')} on Python {python}"
    return Fact(name="install", state=State.OK, detail=detail)


def _model(settings: Settings) -> Fact:
    if settings.engine.server_url:
        detail = f"whatever {settings.engine.server_url} serves"
        return Fact(name="model", state=State.OK, detail=detail)
    try:
        folder = model_dir(settings.engine.model or None)
        manifest = load_manifest(folder)
    except FimbleError as error:
        return Fact(
            name="model",
            state=State.BROKEN,
            detail=str(error),
            remedy="export FIMBLE_MODEL=/path/to/model/folder",
        )
    return Fact(
        name="model",
        state=State.OK,
        detail=f"{manifest.name}, digest {manifest.digest}, every file as listed, in {folder}",
    )


def _completion(settings: Settings, clock: Clock) -> Fact:
    """Ask for a real completion, as an editor would."""
    document = Document.of("file:///sample.py", "python", 0, SAMPLE)
    place = Place(1, len(SAMPLE) - SAMPLE.rindex("\n") - 1)
    try:
        done = asyncio.run(complete(document, place, settings, clock))
    except (FimbleError, ImportError) as error:
        address = settings.engine.server_url
        remedy = f"curl {address}/health" if address else "fimble serve"
        return Fact(name="completion", state=State.BROKEN, detail=str(error), remedy=remedy)
    return Fact(
        name="completion",
        state=State.OK,
        detail=f"{done.model} answered in {done.latency_ms:.0f} ms "
        f"({done.prompt_tokens} prompt tokens, {done.generated_tokens} generated)",
    )


def _recording(settings: Settings) -> Iterator[Fact]:
    level = settings.telemetry.level
    detail = f"level {level.value}: {_MEANING[level]}"
    yield Fact(name="telemetry", state=State.OK, detail=detail)
    if level is TelemetryLevel.OFF:
        return
    folder = spool_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\n")
    except OSError as error:
        yield Fact(
            name="spool",
            state=State.ABSENT,
            detail=f"cannot write to {folder}: {error.strerror}; completions work, unrecorded",
            remedy="export FIMBLE_DATA_DIR=/a/writable/folder",
        )
        return
    yield Fact(name="spool", state=State.OK, detail=f"{folder} can be written to")


def _extras() -> Iterator[Fact]:
    extras = metadata.metadata("fimble").get_all("Provides-Extra") or []
    for extra in (each for each in extras if each not in OF_DEVELOPERS):
        missing = _missing(extra)
        if missing:
            yield Fact(
                name=f"extra {extra}",
                state=State.ABSENT,
                detail=f"missing: {', '.join(missing)}",
                # Of this Python: another pip would install for another, and pipx' own has none.
                remedy=f"{shlex.quote(sys.executable)} -m pip install 'fimble[{extra}]'",
            )
        else:
            yield Fact(name=f"extra {extra}", state=State.OK, detail="every package is there")


def _missing(extra: str) -> list[str]:
    """Return the packages of an extra that are not installed; empty means the editor install."""
    missing = []
    for line in metadata.requires("fimble") or []:
        belongs_to = _EXTRA.search(line)
        match = _REQUIREMENT.match(line)
        assert match is not None, line
        name = match.group()
        if name == "fimble" or (belongs_to.group(1) if belongs_to else "") != extra:
            continue
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    return missing


def _editors() -> Iterator[Fact]:
    yield _neovim()
    for command, name in (("code", "VS Code"), ("hx", "Helix"), ("emacs", "Emacs")):
        path = shutil.which(command)
        if path is not None:
            yield Fact(name="editor", state=State.OK, detail=f"{name}: {path}")


def _neovim() -> Fact:
    path = shutil.which("nvim")
    wanted = ".".join(map(str, OLDEST_NEOVIM))
    if path is None:
        detail = f"Neovim: not found; {wanted} or later shows inline completions by itself"
        return Fact(name="editor", state=State.ABSENT, detail=detail)
    try:
        out = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=NVIM_TIMEOUT_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        detail = f"Neovim: {path} does not run: {error}"
        return Fact(name="editor", state=State.ABSENT, detail=detail)
    found = _VERSION.search(out)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    shown = found.group() if found else "of unknown version"
    if version < OLDEST_NEOVIM:
        detail = f"Neovim: {path} is {shown}; {wanted} or later has inline completion"
        return Fact(name="editor", state=State.ABSENT, detail=detail)
    return Fact(name="editor", state=State.OK, detail=f"Neovim: {path} is {shown}")


def _line(fact: Fact) -> str:
    remedy = f" -> {fact.remedy}" if fact.remedy else ""
    return f"{fact.state.value:<7} {fact.name:<14} {fact.detail}{remedy}"
