"""Block quantisation: every `block_size` neighbours in a row of a matrix share one scale.

Levels are signed integers around zero, so a weight is `level * scale` and nothing else. Scales are
rounded to float16 before the levels are chosen: they lose nothing that way, and GGUF's q8_0, whose
scales are float16, can hold exactly the weights that the embedded engine runs.

Shapes: N = rows (outputs), K = columns (inputs), G = blocks in a row, S = block size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
BLOCK_SIZE = 128
"""Columns that share a scale; ONNX Runtime's kernels are fastest at 128."""
_SCALE_FACTORS = (0.85, 0.9, 0.95, 1.0, 1.05)
"""Shares of the range to try at 4 bits: a smaller step that clips the largest weight often wins."""


class Quantisation(StrEnum):
    """How the matrices of an engine model are stored; the values stand in its manifest."""

    NONE = "none"
    INT8 = "int8-block128"
    INT4 = "int4-block128"

    @property
    def bits(self) -> int:
        """Bits of a level; 32 for floating point."""
        return {Quantisation.NONE: 32, Quantisation.INT8: 8, Quantisation.INT4: 4}[self]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantised:
    """A matrix of levels with the scales of its blocks."""

    levels: NDArray[np.int8]
    """(N, K)"""
    scales: Floats
    """(N, G), values that float16 holds exactly."""
    bits: int
    """8 or 4; a level lies in -(2^(bits-1)) to 2^(bits-1) - 1."""
    block_size: int

    def __post_init__(self) -> None:
        rows, columns = self.levels.shape
        assert self.scales.shape == (rows, -(-columns // self.block_size))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        rows, columns = self.levels.shape
        return rows, columns

    def dequantised(self) -> Floats:
        """Return the matrix as the engine multiplies with it, exact in float32."""
        scales_NK = np.repeat(self.scales, self.block_size, axis=1)
        return self.levels.astype(np.float32) * scales_NK[:, : self.levels.shape[1]]

    def packed(self) -> NDArray[np.uint8]:
        """Return the levels as `MatMulNBits` stores them: (N, G, bytes of a block), unsigned."""
        rows, columns = self.levels.shape
        blocks = self.scales.shape[1]
        padded_NK = np.zeros((rows, blocks * self.block_size), np.int8)
        padded_NK[:, :columns] = self.levels
        unsigned_NK = (padded_NK.astype(np.int16) + zero_point(self.bits)).astype(np.uint8)
        if self.bits == 4:
            unsigned_NK = unsigned_NK[:, 0::2] | (unsigned_NK[:, 1::2] << np.uint8(4))
        return unsigned_NK.reshape(rows, blocks, -1)

    def reordered(self, rows: NDArray[np.intp] | slice) -> Quantised:
        """Return a matrix of the given rows, in that order."""
        return replace(self, levels=self.levels[rows], scales=self.scales[rows])


Matrix = Quantised | Floats
"""A weight matrix, rows are outputs as in `torch.nn.Linear`."""


def zero_point(bits: int) -> int:
    """Return what is added to a level to store it unsigned."""
    return 1 << (bits - 1)


def quantise(weight_NK: Floats, *, bits: int, block_size: int = BLOCK_SIZE) -> Quantised:
    """Return `weight_NK` with a scale for every `block_size` columns of a row.

    At 8 bits the scale maps the largest magnitude to 127, the rounding error is at most half a
    scale. At 4 bits the weight of largest magnitude maps to -8, so that all 16 levels are used, and
    the scale with the smallest squared error of a few candidates is taken.
    """
    rows, columns = weight_NK.shape
    blocks = -(-columns // block_size)
    padded = np.zeros((rows, blocks * block_size), np.float32)
    padded[:, :columns] = weight_NK
    weight_NGS = padded.reshape(rows, blocks, block_size)
    scales_NG = _scales_8(weight_NGS) if bits == 8 else _scales_4(weight_NGS)
    levels_NGS = _levels(weight_NGS, scales_NG, bits)
    return Quantised(
        levels=np.ascontiguousarray(levels_NGS.reshape(rows, -1)[:, :columns]),
        scales=scales_NG,
        bits=bits,
        block_size=block_size,
    )


def unpacked(
    packed_NGB: NDArray[np.uint8], scales_NG: Floats, *, columns: int, block_size: int
) -> Quantised:
    """Return the matrix that `Quantised.packed` stored."""
    bits = packed_NGB.shape[2] * 8 // block_size
    flat = packed_NGB.reshape(packed_NGB.shape[0], -1)
    if bits == 4:
        flat = np.stack((flat & 0x0F, flat >> 4), axis=-1).reshape(flat.shape[0], -1)
    levels_NK = (flat[:, :columns].astype(np.int16) - zero_point(bits)).astype(np.int8)
    return Quantised(levels=levels_NK, scales=scales_NG, bits=bits, block_size=block_size)


def stacked(parts: list[Matrix]) -> Matrix:
    """Return the matrices below one another, so that one product replaces several."""
    quantised = [part for part in parts if isinstance(part, Quantised)]
    if not quantised:
        return np.concatenate([part for part in parts if not isinstance(part, Quantised)])
    assert len(quantised) == len(parts), "all parts of one product are stored alike"
    return Quantised(
        levels=np.concatenate([part.levels for part in quantised]),
        scales=np.concatenate([part.scales for part in quantised]),
        bits=quantised[0].bits,
        block_size=quantised[0].block_size,
    )


def as_floats(matrix: Matrix) -> Floats:
    """Return the matrix in float32."""
    return matrix.dequantised() if isinstance(matrix, Quantised) else matrix


def _scales_8(weight_NGS: Floats) -> Floats:
    return _as_float16(np.abs(weight_NGS).max(axis=2) / np.float32(127))


def _scales_4(weight_NGS: Floats) -> Floats:
    """Return the candidate scale with the smallest squared error, block by block.

    Source of the signed range: ggml's `quantize_row_q4_0_ref`.
    """
    largest = np.abs(weight_NGS).argmax(axis=2)[..., None]
    widest_NG = np.take_along_axis(weight_NGS, largest, axis=2)[..., 0] / np.float32(-8)
    best_NG = _as_float16(widest_NG)
    error_NG = np.full(best_NG.shape, np.inf, np.float32)
    for factor in _SCALE_FACTORS:
        scales_NG = _as_float16(widest_NG * np.float32(factor))
        rounded_NGS = _levels(weight_NGS, scales_NG, 4) * scales_NG[..., None]
        squares_NG = np.square(weight_NGS - rounded_NGS).sum(axis=2)
        is_better = squares_NG < error_NG
        best_NG = np.where(is_better, scales_NG, best_NG)
        error_NG = np.where(is_better, squares_NG, error_NG)
    return best_NG


def _levels(weight_NGS: Floats, scales_NG: Floats, bits: int) -> NDArray[np.int8]:
    limit = zero_point(bits)
    lowest = -limit if bits == 4 else 1 - limit
    divisors_NG1 = np.where(scales_NG == 0, 1, scales_NG)[..., None]
    return np.clip(np.rint(weight_NGS / divisors_NG1), lowest, limit - 1).astype(np.int8)


def _as_float16(scales: Floats) -> Floats:
    return scales.astype(np.float16).astype(np.float32)
