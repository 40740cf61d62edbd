"""Optimisers and the schedule of their learning rates.

Muon for the matrices of the blocks, AdamW for the embedding (which is the head) and the norms; or,
to compare, AdamW for all of them.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from training.muon import StackedMuon
from training.recipe import MatrixOptimiser, ScheduleUnit

if TYPE_CHECKING:
    from torch import nn

    from training.recipe import OptimiserConfig, ScheduleConfig


class Optimisers:
    """One optimiser or two, as one."""

    def __init__(self, model: nn.Module, config: OptimiserConfig) -> None:
        matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and ".layers." in n]
        chosen = {id(p) for p in matrices}
        groups: list[dict[str, Any]] = [
            {
                "params": [p for p in model.parameters() if id(p) not in chosen],
                "weight_decay": config.adamw_weight_decay,
            }
        ]
        self._parts: dict[str, torch.optim.Optimizer] = {}
        match config.matrices:
            case MatrixOptimiser.MUON:
                self._parts["muon"] = _muon(matrices, config)
            case MatrixOptimiser.ADAMW:
                decay = config.adamw_matrix_weight_decay
                groups.append({"params": matrices, "weight_decay": decay})
        self._parts["adamw"] = torch.optim.AdamW(
            groups,
            lr=config.adamw_lr,
            betas=(config.adamw_beta1, config.adamw_beta2),
            fused=next(model.parameters()).is_cuda,
        )
        self._lrs = {"muon": config.muon_lr, "adamw": config.adamw_lr}

    def step(self, factor: float) -> None:
        """Take one step with learning rates times `factor`, and drop the gradients."""
        for name, optimiser in self._parts.items():
            for group in optimiser.param_groups:
                group["lr"] = self._lrs[name] * factor
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` takes."""
        return {name: optimiser.state_dict() for name, optimiser in self._parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore momentum and variance."""
        for name, optimiser in self._parts.items():
            optimiser.load_state_dict(state[name])


def _muon(matrices: list[nn.Parameter], config: OptimiserConfig) -> StackedMuon:
    return StackedMuon(
        matrices,
        lr=config.muon_lr,
        weight_decay=config.muon_weight_decay,
        momentum=config.muon_momentum,
        adjust_lr_fn="original",
    )


def lr_factor(schedule: ScheduleConfig, *, step: int, elapsed_s: float) -> float:
    """Return the factor of the learning rates, 0..1.

    Args:
        schedule: The phases.
        step: Steps taken so far.
        elapsed_s: Seconds of training so far; used where the schedule counts seconds.
    """
    done = elapsed_s if schedule.unit is ScheduleUnit.SECONDS else float(step)
    warmup = min(1.0, (step + 1) / schedule.warmup_steps) if schedule.warmup_steps else 1.0
    decay = schedule.total * schedule.decay_share
    left = max(0.0, schedule.total - done)
    return min(warmup, left / decay if decay and left < decay else 1.0)


def is_over(schedule: ScheduleConfig, *, step: int, elapsed_s: float) -> bool:
    """Return whether training has reached its end."""
    done = elapsed_s if schedule.unit is ScheduleUnit.SECONDS else float(step)
    return done >= schedule.total
