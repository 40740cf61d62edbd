"""A run's weights in a few small files, for machines between which little can be carried.

    python -m training.compact RUN_DIR OUT_DIR [--weights bf16|int8]

A checkpoint of 66.5M parameters has 575 MB: weights in float32, momentum, variance. Without what
the optimisers know, and with weights in bfloat16, byte by byte through zstd, it has some 93 MB; in
int8 (blocks of 128, as the embedded engine has them) some 64 MB. The optimisers forget within 20
steps in any case (their betas are 0.95 and below), so a run that begins with such a folder needs a
short warm-up and nothing else. The place in the data comes along.

    compact.json     what follows, and in which order
    run.json         of the run
    piece-00.bin...  at most 16 MiB each
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from fimble.errors import ConfigError, InputError
from fimble.files import write_json, write_whole
from training.export.quantise import BLOCK_SIZE, Quantised, quantise
from training.guard import GuardState
from training.progress import (
    CHECKPOINT_NAME,
    Checkpoint,
    Ledger,
    Position,
    Skip,
    Snapshot,
    load_checkpoint,
)
from training.run_record import RUN_NAME

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST_NAME = "compact.json"
PIECE_BYTES = 16 << 20
_LEVEL = 3
"""Of zstd; 9 takes five times as long to save 2%."""


class Stored(StrEnum):
    """How weights are stored."""

    BF16 = "bf16"
    INT8 = "int8"


class _Part(NamedTuple):
    """A row of bytes of a tensor."""

    raw_bytes: int
    packed_bytes: int


def write_compact(run: Path, out: Path, stored: Stored) -> int:
    """Write the compact form of a run's checkpoint; return its bytes.

    Args:
        run: Folder of the run.
        out: Folder to write.
        stored: How to store the weights; vectors are always exact.

    Raises:
        InputError: `run` holds no checkpoint.
    """
    path = run / CHECKPOINT_NAME
    if not path.exists():
        raise InputError(f"there is no {CHECKPOINT_NAME} in {run}")
    snapshot, ledger = load_checkpoint(path, "cpu")
    out.mkdir(parents=True, exist_ok=True)
    codec = pa.Codec("zstd", compression_level=_LEVEL)
    data = bytearray()
    tensors: list[dict[str, Any]] = []
    for name, weight in snapshot.weights.items():
        parts = []
        for raw in _rows_of_bytes(weight.float(), stored):
            packed = codec.compress(raw, asbytes=True)
            parts.append(_Part(len(raw), len(packed)))
            data += packed
        tensors.append({"name": name, "shape": list(weight.shape), "parts": parts})
    for number, start in enumerate(range(0, len(data), PIECE_BYTES)):
        write_whole(out / f"piece-{number:02}.bin", bytes(data[start : start + PIECE_BYTES]))
    shutil.copyfile(run / RUN_NAME, out / RUN_NAME)
    manifest: dict[str, object] = {
        "stored": str(stored),
        "position": snapshot.position,
        "skips": ledger.skips,
        "num_pieces": -(-len(data) // PIECE_BYTES),
        "tensors": tensors,
    }
    write_json(out / MANIFEST_NAME, manifest)
    return len(data)


def is_compact(folder: Path) -> bool:
    """Return whether a folder is one of `write_compact`."""
    return (folder / MANIFEST_NAME).exists()


def read_compact(folder: Path, device: torch.device | str) -> Checkpoint:
    """Return what a folder of `write_compact` holds, without anything of the optimisers.

    Raises:
        ConfigError: A piece is missing or cut short.
    """
    manifest = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    data = b"".join(_piece(folder, number) for number in range(manifest["num_pieces"]))
    expected = sum(part[1] for tensor in manifest["tensors"] for part in tensor["parts"])
    if len(data) != expected:
        raise ConfigError(f"the pieces in {folder} have {len(data)} bytes, not {expected}")
    stored, place = Stored(manifest["stored"]), 0
    weights: dict[str, Tensor] = {}
    for tensor in manifest["tensors"]:
        rows = []
        for raw_bytes, packed_bytes in tensor["parts"]:
            packed = data[place : place + packed_bytes]
            rows.append(pa.Codec("zstd").decompress(packed, raw_bytes, asbytes=True))
            place += packed_bytes
        weights[tensor["name"]] = _tensor(rows, tuple(tensor["shape"]), stored).to(device)
    snapshot = Snapshot(Position(*manifest["position"]), weights, {}, GuardState(), 0)
    return Checkpoint(snapshot, Ledger(skips=tuple(Skip(*skip) for skip in manifest["skips"])))


def _piece(folder: Path, number: int) -> bytes:
    path = folder / f"piece-{number:02}.bin"
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def _rows_of_bytes(weight: Tensor, stored: Stored) -> list[bytes]:
    """Return a tensor as rows of bytes that are alike and so compress well."""
    if weight.ndim < 2:
        return [weight.numpy().tobytes()]
    if stored is Stored.INT8:
        matrix = quantise(weight.numpy(), bits=8)
        return [matrix.levels.tobytes(), matrix.scales.astype(np.float16).tobytes()]
    halves = weight.to(torch.bfloat16).contiguous().view(torch.uint8).numpy().reshape(-1, 2)
    return [halves[:, 0].tobytes(), halves[:, 1].tobytes()]


def _tensor(rows: list[bytes], shape: tuple[int, ...], stored: Stored) -> Tensor:
    """Return the tensor that `_rows_of_bytes` took apart, in float32."""
    if len(shape) < 2:
        return torch.from_numpy(np.frombuffer(rows[0], np.float32).reshape(shape).copy())
    if stored is Stored.INT8:
        matrix = Quantised(
            levels=np.frombuffer(rows[0], np.int8).reshape(shape),
            scales=np.frombuffer(rows[1], np.float16).reshape(shape[0], -1).astype(np.float32),
            bits=8,
            block_size=BLOCK_SIZE,
        )
        return torch.from_numpy(matrix.dequantised())
    halves = np.stack([np.frombuffer(row, np.uint8) for row in rows], axis=-1)
    return torch.from_numpy(halves).view(torch.bfloat16).reshape(shape).float()


def main(arguments: list[str]) -> None:
    """Write a compact folder and print its size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Stored, choices=list(Stored), default=Stored.BF16)
    chosen = parser.parse_args(arguments)
    num_bytes = write_compact(chosen.run, chosen.out, chosen.weights)
    sys.stdout.write(f"{num_bytes / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main(sys.argv[1:])
