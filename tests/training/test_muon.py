from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from training.muon import StackedMuon, orthogonalised

SHAPES = [(32, 32), (16, 32), (32, 16), (96, 32), (32, 96), (32, 32), (96, 32)]


def steps(
    optimiser_type: type[torch.optim.Muon], parameters: list[torch.nn.Parameter]
) -> dict[str, Any]:
    optimiser = optimiser_type(parameters, lr=0.02, weight_decay=0.05, adjust_lr_fn="original")
    for number in range(6):
        generator = torch.Generator().manual_seed(number)
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        if number == 3:
            parameters[2].grad = None
        if number == 4:
            parameters[0].grad = torch.zeros_like(parameters[0])
        optimiser.step()
    return optimiser.state_dict()


def test_matrices_taken_together_learn_as_those_taken_one_by_one() -> None:
    generator = torch.Generator().manual_seed(9)
    ours = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    theirs = copy.deepcopy(ours)
    before = [parameter.detach().clone() for parameter in ours]
    state, expected_state = steps(StackedMuon, ours), steps(torch.optim.Muon, theirs)
    for parameter, expected, start in zip(ours, theirs, before, strict=True):
        assert (expected - start).abs().mean() > 0.005
        # Both iterate in bfloat16; sums in another order move the last of its eight bits.
        torch.testing.assert_close(parameter, expected, rtol=0, atol=2e-3)
        assert (parameter - expected).abs().mean() < 0.02 * (expected - start).abs().mean()
    assert state.keys() == expected_state.keys()
    torch.testing.assert_close(state["state"], expected_state["state"])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_singular_values_come_near_one(scale: float) -> None:
    generator = torch.Generator().manual_seed(1)
    matrices = scale * torch.randn(3, 24, 64, generator=generator)
    defaults = StackedMuon([torch.nn.Parameter(torch.zeros(2, 2))]).defaults
    made = orthogonalised(
        matrices.bfloat16(), defaults["ns_coefficients"], num_steps=5, epsilon=1e-7
    )
    values = torch.linalg.svdvals(made.float())
    assert 0.5 < float(values.min()) <= float(values.max()) < 1.3
    aligned = torch.einsum("krc,krc->k", made.float(), matrices)
    assert bool((aligned > 0).all())


def test_a_matrix_of_zeros_stays() -> None:
    made = orthogonalised(
        torch.zeros(1, 4, 8).bfloat16(), (3.4445, -4.7750, 2.0315), num_steps=5, epsilon=1e-7
    )
    assert not bool(made.any())
