"""What learns on one device: the model, its optimisers, and one step of both."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch
from torch import nn

from training.model import TrainingForward, new_model
from training.optimiser import Optimisers
from training.progress import Snapshot, copied, taken

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor
    from transformers import LlamaForCausalLM

    from training.devices import Devices
    from training.feed import RowFeed
    from training.guard import GuardState
    from training.progress import Place, Position
    from training.recipe import PretrainRecipe


class Learner:
    """A model in training; the same on every device."""

    model: LlamaForCausalLM

    def __init__(self, recipe: PretrainRecipe, vocab_size: int, devices: Devices) -> None:
        """Make a model with fresh weights."""
        self._recipe, self._devices = recipe, devices
        self._num_rows = devices.share(recipe.batch.rows)
        self.model = new_model(recipe.model, vocab_size, seed=recipe.seed)
        nn.Module.to(self.model, devices.device)
        self._optimisers = Optimisers(self.model, recipe.optimiser)
        self._forward = TrainingForward(self.model, is_compiled=recipe.compile)

    def step(self, feed: RowFeed, place: Place, lr_factor: float) -> Tensor:
        """Train on the rows of one step; return the (5,) values of a `StepReading`.

        Args:
            feed: Where the rows come from.
            place: Where those of this step begin; each device takes its share of them.
            lr_factor: Factor of the learning rates.
        """
        micro_rows, devices = self._recipe.batch.micro_rows, self._devices
        first = place.row + devices.index * self._num_rows
        stop = first + self._num_rows
        # Sums in the range of means: they are divided by the step's true weight below.
        scale = 1 / (self._num_rows * self._recipe.model.context_tokens)
        sums = torch.zeros(5, device=devices.device)
        for at in range(first, stop, micro_rows):
            rows = feed.rows(place.epoch, at, min(at + micro_rows, stop))
            ids = torch.from_numpy(rows.astype("int64")).to(devices.device, non_blocking=True)
            with self._autocast():
                parts = self._forward.loss(ids, self._recipe.optimiser.middle_weight)
            (parts.weighted_sum * scale).backward()
            sums += torch.stack(tuple(part.float() for part in parts[1:]))
        gradients = devices.sum_gradients(self.model)
        sums = devices.sum(sums)
        for gradient in gradients:
            gradient.div_(sums[0] * scale)
        norm = nn.utils.get_total_norm(gradients)
        self._optimisers.step(lr_factor)
        return torch.cat((sums[1:], norm.unsqueeze(0)))

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        is_cuda = self._devices.device.type == "cuda"
        return torch.autocast("cuda", torch.bfloat16) if is_cuda else contextlib.nullcontext()

    def snapshot(self, position: Position, guard: GuardState, *, log_bytes: int) -> Snapshot:
        """Return a copy of all that was learnt."""
        weights = {name: parameter.detach() for name, parameter in self.model.named_parameters()}
        return taken(
            position,
            weights=weights,
            optimisers=self._optimisers.state_dict(),
            guard=guard,
            log_bytes=log_bytes,
        )

    @torch.no_grad()
    def restore(self, snapshot: Snapshot) -> None:
        """Know what was known at a snapshot, which stays as it is.

        One without optimisers leaves them as they are.
        """
        for name, parameter in self.model.named_parameters():
            parameter.copy_(snapshot.weights[name])
        if snapshot.optimisers:
            self._optimisers.load_state_dict(copied(snapshot.optimisers))

    @property
    def is_finite(self) -> bool:
        """Whether every weight is a number."""
        return all(bool(parameter.isfinite().all()) for parameter in self.model.parameters())

    def save_model(self, folder: Path) -> None:
        """Write a Hugging Face folder with weights in bfloat16; training is over then."""
        self.model.config.use_cache = True
        nn.Module.to(self.model, torch.bfloat16)
        self.model.save_pretrained(folder)
