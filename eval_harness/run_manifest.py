"""`manifest.json` of a run: what decides its answers, and what they were judged with.

A folder holds one run. What decides the answers (`inputs`) must stay the same for as long as it
lives; toolchains, sandbox and versions may change, and verdicts that are out of date are renewed.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval_harness.records import MANIFEST, PROBLEMS
from fimble.errors import InputError
from fimble.files import write_json, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMAT_VERSION = 1
_PROMPT_CODE = (
    "fimble.fim",
    "fimble.context",
    "fimble.stops",
    "fimble.blocks",
    "fimble.begun",
    "fimble.nesting",
    "fimble.languages",
    "fimble.text",
    "eval_harness.prompts",
    "eval_harness.bodies",
    "eval_harness.asking",
)
_PACKAGES = ("fimble", "aiohttp", "onnxruntime", "tokenizers", "torch", "transformers")


def prompts_digest() -> str:
    """Return the digest of the code that makes prompts and says where answers end."""
    digest = hashlib.sha256()
    for name in _PROMPT_CODE:
        path = Path(str(importlib.import_module(name).__file__))
        digest.update(f"{name}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python, the system and the packages that take part."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def start_or_continue(
    folder: Path,
    inputs: Mapping[str, object],
    problems: bytes,
    *,
    num_samples: int,
    corpus: str,
) -> None:
    """Make a folder the home of a run, or check that it is the home of this very one.

    Args:
        folder: The folder; made where it is missing.
        inputs: Everything that decides the answers, as JSON holds it.
        problems: Content of `problems.jsonl`; of a run that goes on, marks may be new.
        num_samples: Answers that each problem is to get; a later command may ask for more.
        corpus: What the marks in `problems` were made from; empty where nothing was.

    Raises:
        InputError: It holds a run with other inputs, or something else.
    """
    old = _read(folder / MANIFEST)
    if old is None:
        write_whole(folder / PROBLEMS, problems)
        new = {"format_version": FORMAT_VERSION, "inputs": inputs, "corpus": corpus}
        _write(folder, new, num_samples)
        return
    if old.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{folder} holds a run of format {old.get('format_version')}; this release writes "
            f"{FORMAT_VERSION}: choose another --out"
        )
    if differing := list(_differences(old["inputs"], json.loads(json.dumps(inputs)))):
        raise InputError(
            f"{folder} holds a run with other inputs: {'; '.join(differing)}. "
            "Choose another --out, or the command that started it"
        )
    # The same problems; what is known about them may have grown.
    write_whole(folder / PROBLEMS, problems)
    _write(folder, {**old, "corpus": corpus}, max(num_samples, int(old["num_samples"])))


def num_samples_of(folder: Path) -> int:
    """Return how many answers each problem of a run is to get.

    Raises:
        InputError: There is no run in the folder.
    """
    table = _read(folder / MANIFEST)
    if table is None:
        raise InputError(f"{folder} holds no run")
    return int(table["num_samples"])


def record_marks(folder: Path, problems: bytes, *, corpus: str) -> None:
    """Note what a corpus knows of the problems of a run.

    Args:
        folder: Of the run.
        problems: New content of `problems.jsonl`: the same problems with other marks.
        corpus: What the marks were made from.
    """
    table = _read(folder / MANIFEST)
    assert table is not None
    write_whole(folder / PROBLEMS, problems)
    write_json(folder / MANIFEST, {**table, "corpus": corpus})


def record_judging(folder: Path, judging: Mapping[str, object]) -> None:
    """Note what the answers are judged with."""
    table = _read(folder / MANIFEST)
    assert table is not None
    write_json(folder / MANIFEST, {**table, "judging": judging})


def _write(folder: Path, table: Mapping[str, object], num_samples: int) -> None:
    write_json(folder / MANIFEST, {**table, "num_samples": num_samples, "versions": versions()})


def _read(path: Path) -> dict[str, Any] | None:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if not isinstance(table, dict) or "inputs" not in table:
        raise InputError(f"{path} is no manifest of a run; choose another --out")
    return table


def _differences(old: object, new: object, where: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    elif old != new:
        yield f"{where} was {_shown(old)} and is {_shown(new)}"


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
