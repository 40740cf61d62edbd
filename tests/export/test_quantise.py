from __future__ import annotations

import numpy as np
import pytest

from training.export.quantise import Quantised, as_floats, quantise, stacked, unpacked

SHAPES = [(1, 1), (3, 127), (2, 128), (5, 129), (4, 512), (7, 300)]


def random_matrix(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(rows * 1000 + columns).normal(size=(rows, columns)).astype("f4")


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_eight_bits_round_to_at_most_half_a_scale(rows: int, columns: int) -> None:
    weight = random_matrix(rows, columns)
    quantised = quantise(weight, bits=8)
    step = np.repeat(quantised.scales, 128, axis=1)[:, :columns]
    # The largest weight of a block may be clipped by what float16 takes off the scale.
    assert np.all(np.abs(quantised.dequantised() - weight) <= step * 0.5625)
    assert np.abs(quantised.levels).max() == 127


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_packing_loses_nothing(rows: int, columns: int, bits: int) -> None:
    quantised = quantise(random_matrix(rows, columns), bits=bits)
    packed = quantised.packed()
    assert packed.shape == (rows, -(-columns // 128), 128 * bits // 8)
    back = unpacked(packed, quantised.scales, columns=columns, block_size=128)
    assert back.bits == bits
    np.testing.assert_array_equal(back.levels, quantised.levels)


def test_packed_bytes_are_those_that_the_kernel_reads() -> None:
    levels = np.array([[-8, 7, 0, 1]], np.int8)
    scales = np.ones((1, 1), np.float32)
    four = Quantised(levels=levels, scales=scales, bits=4, block_size=4)
    eight = Quantised(levels=levels, scales=scales, bits=8, block_size=4)
    assert four.packed().tolist() == [[[0xF0, 0x98]]]  # low half first, 8 is zero
    assert eight.packed().tolist() == [[[120, 135, 128, 129]]]  # 128 is zero


def test_padding_of_the_last_block_is_zero() -> None:
    packed = quantise(np.ones((1, 3), np.float32), bits=8).packed()
    assert packed[0, 0, :3].tolist() == [255, 255, 255]
    assert set(packed[0, 0, 3:].tolist()) == {128}


@pytest.mark.parametrize("bits", [8, 4])
def test_scales_fit_into_float16(bits: int) -> None:
    scales = quantise(random_matrix(64, 512) * 0.02, bits=bits).scales
    np.testing.assert_array_equal(scales.astype(np.float16).astype(np.float32), scales)


@pytest.mark.parametrize("bits", [8, 4])
def test_a_block_of_zeros_stays_zero(bits: int) -> None:
    weight = random_matrix(2, 256)
    weight[0, :128] = 0
    back = quantise(weight, bits=bits).dequantised()
    assert not back[0, :128].any()
    assert np.isfinite(back).all()


def test_four_bits_use_every_level_and_beat_the_plain_scale() -> None:
    weight = random_matrix(64, 512)
    quantised = quantise(weight, bits=4)
    assert set(np.unique(quantised.levels)) == set(range(-8, 8))
    blocks = weight.reshape(64, 4, 128)
    plain = np.abs(blocks).max(axis=2, keepdims=True) / 7
    rounded = np.clip(np.rint(blocks / plain), -8, 7) * plain
    plain_error = np.square(rounded - blocks).sum()
    assert np.square(quantised.dequantised() - weight).sum() < 0.9 * plain_error


def test_quantising_what_was_dequantised_changes_nothing() -> None:
    once = quantise(random_matrix(64, 512) * 0.02, bits=8)
    twice = quantise(once.dequantised(), bits=8)
    np.testing.assert_array_equal(twice.levels, once.levels)
    np.testing.assert_array_equal(twice.scales, once.scales)


def test_stacking_equals_quantising_the_stack() -> None:
    parts = [random_matrix(3, 256), random_matrix(5, 256)]
    together = stacked([quantise(part, bits=8) for part in parts])
    np.testing.assert_array_equal(
        as_floats(together), quantise(np.concatenate(parts), bits=8).dequantised()
    )
    np.testing.assert_array_equal(as_floats(stacked(list(parts))), np.concatenate(parts))
