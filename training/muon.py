"""Muon that takes matrices of one shape together.

PyTorch's own takes one after the other: some 3,000 small kernels a step for a model of 84 matrices,
during which a card waits for the processor. Stacked by shape they are some hundred. What is
computed is the same, and so is the state in checkpoints.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks";
`torch.optim.Muon`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor


class StackedMuon(torch.optim.Muon):
    """`torch.optim.Muon` with Nesterov's momentum and the original adjustment of learning rates."""

    @torch.no_grad()
    # pyrefly: ignore[missing-override-decorator] - typing has it from Python 3.12 on
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step.

        Args:
            closure: Computes the loss anew, as PyTorch's optimisers may be asked to; its value is
                returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            for stack in _by_shape(parameters):
                self._step_together(stack, group)
        return loss

    def _step_together(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Update parameters that have one shape, or its transposed."""
        gradients = [_gradient(parameter) for parameter in parameters]
        momenta = [self._momentum(parameter) for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        updates = torch._foreach_lerp(gradients, momenta, group["momentum"])  # noqa: SLF001
        wide = torch.stack([_wide(update).bfloat16() for update in updates])
        orthogonal = orthogonalised(
            wide, group["ns_coefficients"], num_steps=group["ns_steps"], epsilon=group["eps"]
        )
        for parameter, update in zip(parameters, orthogonal, strict=True):
            rows, columns = parameter.shape
            step = group["lr"] * max(1, rows / columns) ** 0.5
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update if rows <= columns else update.T, alpha=-step)

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return state["momentum_buffer"]


def orthogonalised(
    matrices_KRC: Tensor,
    coefficients: tuple[float, float, float],
    *,
    num_steps: int,
    epsilon: float,
) -> Tensor:
    """Return the matrices with all singular values near 1, by Newton and Schulz's iteration.

    Args:
        matrices_KRC: (K, R, C) bfloat16, R <= C.
        coefficients: Of the quintic polynomial.
        num_steps: Iterations.
        epsilon: Least norm to divide by.
    """
    a, b, c = coefficients
    norms_K11 = torch.linalg.matrix_norm(matrices_KRC, keepdim=True)
    x_KRC = matrices_KRC / norms_K11.clamp(min=epsilon)
    for _ in range(num_steps):
        gram_KRR = x_KRC @ x_KRC.mT
        update_KRR = torch.baddbmm(gram_KRR, gram_KRR, gram_KRR, beta=b, alpha=c)
        x_KRC = torch.baddbmm(x_KRC, update_KRR, x_KRC, beta=a)
    return x_KRC


def _by_shape(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """Return parameters of like shape together, transposed ones too."""
    stacks: dict[tuple[int, ...], list[Tensor]] = {}
    for parameter in parameters:
        stacks.setdefault(tuple(sorted(parameter.shape)), []).append(parameter)
    return list(stacks.values())


def _wide(matrix: Tensor) -> Tensor:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
