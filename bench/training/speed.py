"""How fast does a model train, against a plain loop over the same model on the same device?

    python -m bench.training.speed training/recipes/fimble-60m.toml --steps 20

The plain loop is what one writes first: the whole model compiled, its own loss, AdamW, gradients
accumulated, the loss read at every step. Ours is `training.learner` as a run uses it, with Muon.
Both take turns; printed are the median of the rounds and their ratio. Rows are random tokens: the
time to draw them is not in it (see `training.feed`, which draws beside the training).
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from fimble.clock import SystemClock
from fimble.config import read_toml
from training.devices import Devices
from training.learner import Learner
from training.model import flops_per_token, new_model, peak_flops
from training.progress import Place
from training.recipe import PretrainRecipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.feed import RowFeed

_WARM_UP_STEPS = 5


class RandomRows:
    """Stands for `training.feed.RowFeed`: rows of random tokens, held in memory."""

    def __init__(self, recipe: PretrainRecipe, vocab_size: int) -> None:
        shape = (recipe.batch.rows, recipe.model.context_tokens)
        self._rows = np.random.default_rng(0).integers(64, vocab_size, shape, dtype=np.uint16)

    def rows(self, _epoch: int, start: int, stop: int) -> np.ndarray:
        """Return rows of the one batch that there is."""
        return self._rows[start:stop]


def main() -> None:
    """Print tokens/s and MFU of both, and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--vocab-size", type=int, default=16384)
    parser.add_argument("--steps", type=int, default=20, help="in one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--micro-rows", type=int, default=0, help="in place of the recipe's")
    arguments = parser.parse_args()
    recipe = read_toml(PretrainRecipe, arguments.recipe)
    if arguments.micro_rows:
        recipe = replace(recipe, batch=replace(recipe.batch, micro_rows=arguments.micro_rows))
    devices, clock = Devices.start(), SystemClock()
    loops = {
        "plain": plain_loop(recipe, arguments.vocab_size, devices),
        "ours": our_loop(recipe, arguments.vocab_size, devices),
    }
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for step in loops.values():
        timed(step, _WARM_UP_STEPS, devices, clock)
    for _ in range(arguments.rounds):
        for name, step in loops.items():
            seconds = timed(step, arguments.steps, devices, clock)
            tokens = arguments.steps * recipe.batch.rows * recipe.model.context_tokens
            rates[name].append(tokens / seconds)
    flops, peak = flops_per_token(recipe.model, arguments.vocab_size), peak_flops(devices.device)
    print(f"| {recipe.name} | tokens/s | MFU | least | most |\n|---|---|---|---|---|")
    for name, found in rates.items():
        rate = statistics.median(found)
        cells = (name, f"{rate:,.0f}", f"{rate * flops / peak:.1%}")
        print("|", " | ".join((*cells, f"{min(found):,.0f}", f"{max(found):,.0f}")), "|")
    ratio = statistics.median(rates["ours"]) / statistics.median(rates["plain"])
    print(f"ours / plain: {ratio:.2f}")


def timed(step: Callable[[], None], num_steps: int, devices: Devices, clock: SystemClock) -> float:
    """Return the seconds that some steps take, until the device has done them."""
    started_ms = clock.monotonic_ms()
    for _ in range(num_steps):
        step()
    if devices.device.type == "cuda":
        torch.cuda.synchronize()
    return (clock.monotonic_ms() - started_ms) / 1000


def our_loop(recipe: PretrainRecipe, vocab_size: int, devices: Devices) -> Callable[[], None]:
    """Return one step of ours."""
    learner = Learner(recipe, vocab_size, devices)
    feed = cast("RowFeed", RandomRows(recipe, vocab_size))

    def step() -> None:
        learner.step(feed, Place(0, 0), 1.0)

    return step


def plain_loop(recipe: PretrainRecipe, vocab_size: int, devices: Devices) -> Callable[[], None]:
    """Return one step of a loop without any care."""
    model = new_model(recipe.model, vocab_size, seed=0)
    torch.nn.Module.to(model, devices.device)
    compiled = torch.compile(model) if recipe.compile else model
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.optimiser.adamw_lr, fused=devices.device.type == "cuda"
    )
    feed = RandomRows(recipe, vocab_size)
    batch, autocast = recipe.batch, devices.device.type == "cuda"

    def step() -> None:
        for at in range(0, batch.rows, batch.micro_rows):
            rows = feed.rows(0, at, at + batch.micro_rows).astype("int64")
            ids = torch.from_numpy(rows).to(devices.device)
            with torch.autocast(devices.device.type, torch.bfloat16, enabled=autocast):
                loss = compiled(input_ids=ids, labels=ids).loss
            (loss * batch.micro_rows / batch.rows).backward()
        optimiser.step()
        optimiser.zero_grad()
        loss.item()

    return step


if __name__ == "__main__":
    main()
