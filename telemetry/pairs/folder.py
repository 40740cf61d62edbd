"""The folder of examples: four files of JSON lines, and the manifest that vouches for them.

    pairs/train.jsonl, pairs/held_out.jsonl      prompt, chosen, rejected
    labels/train.jsonl, labels/held_out.jsonl    prompt, completion, label
    manifest.json                                parameters, counts, SHA-256 of each file

It appears whole: written aside, then renamed. The same examples give the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from typing import TYPE_CHECKING

from fimble.content import CONTENT_VERSION
from fimble.errors import InputError
from fimble.events import SCHEMA_VERSION
from fimble.files import sha256_of, write_json
from fimble.preferences import FORMAT_VERSION, KIND, write_examples
from telemetry.pairs.gather import num_users

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from fimble.preferences import Label, Pair
    from telemetry.pairs.gather import Examples, Gathered
    from telemetry.pairs.left import Left

MANIFEST_NAME = "manifest.json"


def check_target(folder: Path) -> None:
    """Make sure that a folder may be written.

    Raises:
        InputError: Something else is there.
    """
    if not folder.exists() or _is_ours(folder):
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise InputError(
            f"{folder} exists and holds no examples of `fimble telemetry pairs`; "
            "give a folder that is new, empty, or of an earlier run"
        )


def write_folder(
    folder: Path, gathered: Gathered, parameters: dict[str, object]
) -> dict[str, object]:
    """Write the folder, and return its manifest.

    Args:
        folder: See `check_target`.
        gathered: The examples.
        parameters: What they were chosen by.
    """
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    part = folder.absolute().with_name(f".{folder.absolute().name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    try:
        manifest = _write_files(part, gathered, parameters)
        _put_in_place(part, folder.absolute())
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def _write_files(
    part: Path, gathered: Gathered, parameters: dict[str, object]
) -> dict[str, object]:
    kinds: dict[str, Examples[Pair] | Examples[Label]] = {
        "pairs": gathered.pairs,
        "labels": gathered.labels,
    }
    entries: dict[str, object] = {}
    for kind, found in kinds.items():
        for name, examples in (("train", found.train), ("held_out", found.held_out)):
            path = part / kind / f"{name}.jsonl"
            write_examples(path, examples)
            entries[f"{kind}/{name}.jsonl"] = {
                "sha256": sha256_of(path),
                "size_bytes": path.stat().st_size,
                "num_examples": len(examples),
                "num_users": num_users(examples),
            }
    manifest: dict[str, object] = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "content_version": CONTENT_VERSION,
        "event_schema_version": SCHEMA_VERSION,
        "parameters": parameters,
        "num_suggestions": gathered.num_suggestions,
        "left_out": {k: _counts(found.left_out) for k, found in kinds.items()},
        "bad_lines": _counts(gathered.bad_lines),
        "models": {kind: _models(found) for kind, found in kinds.items()},
        "first_expires_ms": _first_expires_ms(kinds.values()),
        "files": entries,
    }
    write_json(part / MANIFEST_NAME, manifest)
    return manifest


def _put_in_place(part: Path, folder: Path) -> None:
    """Give the new folder its name; an earlier one is there until the instant before."""
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    try:
        table = json.loads((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(table, dict) and table.get("kind") == KIND


def _counts(counts: Mapping[Left, int] | Mapping[str, int]) -> dict[str, int]:
    return {str(name): count for name, count in sorted(counts.items())}


def _models(found: Examples[Pair] | Examples[Label]) -> dict[str, int]:
    """Return how many examples each model gave, by its digest."""
    both = (*found.train, *found.held_out)
    return _counts(Counter(each.origin.model_digest for each in both))


def _first_expires_ms(kinds: Iterable[Examples[Pair] | Examples[Label]]) -> int | None:
    """Return when the first user's consent ends."""
    both = (each for found in kinds for each in (*found.train, *found.held_out))
    times = (each.origin.expires_ms for each in both)
    return min((each for each in times if each is not None), default=None)
