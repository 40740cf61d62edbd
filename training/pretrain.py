"""Pretraining: one flat loop from rows of tokens to a model folder.

The clock decides: a schedule in seconds ends its decay before the deadline, whatever the speed of
the machine. A schedule in steps is bit-exact: killed and resumed, it gives the same weights.

Run on one device by `fimble train RECIPE --out DIR`, on several by `torchrun` with the same module.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import nn

from fimble.clock import SystemClock
from fimble.config import read_toml
from fimble.errors import FimbleError
from fimble.files import write_json
from training.devices import Devices
from training.examples.shards import EpochRows, build_epoch, epoch_summary, write_documents
from training.model import (
    TrainingForward,
    flops_per_token,
    new_model,
    peak_flops,
)
from training.optimiser import Optimisers, is_over, lr_factor
from training.origin import write_origin
from training.recipe import PretrainRecipe
from training.validation import measure, newline_ids, validation_rows

if TYPE_CHECKING:
    from torch import Tensor

    from fimble.clock import Clock

CHECKPOINT = "checkpoint.pt"


class NotFiniteError(FimbleError):
    """The loss is not a finite number; the run stops instead of writing a broken model."""


class Position(NamedTuple):
    """How far a run has come: all that a resume needs besides weights and optimiser."""

    step: int = 0
    epoch: int = 0
    row: int = 0
    """Rows of the epoch that were read, over all devices."""
    elapsed_s: float = 0.0
    """Seconds of training, without pauses between runs."""


def pretrain(recipe: PretrainRecipe, out: Path, *, clock: Clock | None = None) -> Path:
    """Train a model and return its Hugging Face folder; goes on where an earlier run ended.

    Args:
        recipe: The run.
        out: Folder for rows, checkpoint, `log.jsonl`, `scores.json` and `model/`.
        clock: The run's time.

    Raises:
        NotFiniteError: The loss became NaN or infinite.
    """
    run = _Run(recipe, out, clock or SystemClock())
    try:
        run.train()
        return run.finish()
    finally:
        run.close()


class _Run:
    """State of one process of a run."""

    def __init__(self, recipe: PretrainRecipe, out: Path, clock: Clock) -> None:
        self.recipe, self.out, self.clock = recipe, out, clock
        self.devices = Devices.start()
        self.rows_dir = out / "rows"
        self.documents = out / "rows" / "train.arrow"
        self.held_out = out / "rows" / "validation.arrow"
        if self.devices.is_first:
            write_documents(recipe.corpus, "train", self.documents)
            write_documents(recipe.corpus, "validation", self.held_out)
        self.tokenizer = Tokenizer.from_file(str(recipe.tokenizer))
        vocab_size = self.tokenizer.get_vocab_size()
        self.flops_per_token = flops_per_token(recipe.model, vocab_size)
        self.model = new_model(recipe.model, vocab_size, seed=recipe.seed)
        nn.Module.to(self.model, self.devices.device)
        self.optimisers = Optimisers(self.model, recipe.optimiser)
        self.position = Position()
        self.scores: dict[str, float] = {}
        self.started_ms = 0.0
        self._builder: subprocess.Popen[bytes] | None = None
        self._resume()

    def train(self) -> None:
        """Run the loop to the end of the schedule."""
        recipe = self.recipe
        forward = TrainingForward(self.model, is_compiled=recipe.compile)
        self._measurements = self._validation_rows() if self.devices.is_first else []
        next_measure_s = recipe.validation.every_s
        next_checkpoint_s = self.position.elapsed_s + recipe.checkpoint_every_s
        epoch_rows = self._open_epoch(self.position.epoch)
        self._start_clock()
        while True:
            step, epoch, row, _ = self.position
            elapsed_s = self.devices.broadcast(self._elapsed_s())
            if is_over(recipe.schedule, step=step, elapsed_s=elapsed_s):
                break
            if row + recipe.batch.rows > len(epoch_rows):
                epoch, row = epoch + 1, 0
                epoch_rows = self._open_epoch(epoch)
            factor = lr_factor(recipe.schedule, step=step, elapsed_s=elapsed_s)
            sums = self._step(forward, epoch_rows, row, factor)
            self.position = Position(step + 1, epoch, row + recipe.batch.rows, elapsed_s)
            self._log(sums, factor, epoch_rows)
            if elapsed_s >= next_measure_s:
                next_measure_s = elapsed_s + recipe.validation.every_s
                self._measure()
            if elapsed_s >= next_checkpoint_s:
                next_checkpoint_s = elapsed_s + recipe.checkpoint_every_s
                self._checkpoint()

    def finish(self) -> Path:
        """Write checkpoint, scores and the model folder."""
        folder = self.out / "model"
        if self.devices.is_first:
            self._checkpoint()
            self._measure()
            self.model.config.use_cache = True
            nn.Module.to(self.model, torch.bfloat16)
            self.model.save_pretrained(folder)
            self.tokenizer.save(str(folder / "tokenizer.json"))
            write_origin(folder, self.recipe, self.scores)
        self.devices.barrier()
        return folder

    def close(self) -> None:
        """Leave the other processes, and end those that build an epoch which nobody will read."""
        if self._builder is not None and self._builder.poll() is None:
            os.killpg(self._builder.pid, signal.SIGTERM)
            self._builder.wait()
        self.devices.close()

    def _step(self, forward: TrainingForward, rows: EpochRows, start: int, factor: float) -> Tensor:
        """Take one step; return (4,) sums: nll, tokens, middle nll, middle tokens."""
        batch, devices = self.recipe.batch, self.devices
        mine = batch.rows // devices.count
        first = start + devices.index * mine
        num_micro = -(-mine // batch.micro_rows)
        sums = torch.zeros(4, device=devices.device)
        for at in range(first, first + mine, batch.micro_rows):
            ids = torch.from_numpy(
                rows.rows(at, min(at + batch.micro_rows, first + mine)).astype("int64")
            )
            with self._autocast():
                on_device = ids.to(devices.device, non_blocking=True)
                parts = forward.loss(on_device, self.recipe.optimiser.middle_weight)
            (parts.weighted / num_micro).backward()
            sums += torch.stack(tuple(part.float() for part in parts[1:]))
        devices.average_gradients(self.model)
        self.optimisers.step(factor)
        return devices.sum(sums)

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        is_cuda = self.devices.device.type == "cuda"
        return torch.autocast("cuda", torch.bfloat16) if is_cuda else contextlib.nullcontext()

    def _open_epoch(self, epoch: int) -> EpochRows:
        """Return the rows of an epoch, and have the next one built meanwhile."""
        if self.devices.is_first:
            if self._builder is not None and self._builder.wait() != 0:
                raise FimbleError(
                    f"building the rows of epoch {epoch} failed; see its message above"
                )
            build_epoch(self.recipe, self.documents, self._epoch_dir(epoch), epoch)
            self._write_log({"epoch": epoch, **epoch_summary(self._epoch_dir(epoch))})
            self._builder = self._build_in_background(epoch + 1)
        self.devices.barrier()
        return EpochRows(self._epoch_dir(epoch), seed=self.recipe.seed, epoch=epoch)

    def _build_in_background(self, epoch: int) -> subprocess.Popen[bytes]:
        self.out.mkdir(parents=True, exist_ok=True)
        plan = self.out / "rows" / "next.pickle"
        arguments = (self.recipe, self.documents, self._epoch_dir(epoch), epoch)
        plan.write_bytes(pickle.dumps(arguments))
        command = [sys.executable, "-m", "training.examples.background", str(plan)]
        return subprocess.Popen(command, start_new_session=True)  # a group that can be ended whole

    def _epoch_dir(self, epoch: int) -> Path:
        return self.rows_dir / f"epoch-{epoch:04}"

    def _elapsed_s(self) -> float:
        return (self.clock.monotonic_ms() - self.started_ms) / 1000

    def _start_clock(self) -> None:
        self.started_ms = self.clock.monotonic_ms() - self.position.elapsed_s * 1000

    def _log(self, sums: Tensor, factor: float, rows: EpochRows) -> None:
        """Write a line for the first ten steps, then every tenth; stop at a loss that is none."""
        position = self.position
        if position.step > 10 and position.step % 10:
            return
        nll, tokens, middle_nll, middle_tokens = sums.tolist()
        if not nll < float("inf"):
            batch = self.recipe.batch.rows
            documents = rows.documents(position.row - batch, position.row)
            raise NotFiniteError(
                f"the loss of step {position.step} is {nll}; its rows hold documents {documents}"
            )
        elapsed_s = self._elapsed_s()
        tokens_per_s = position.step * self.recipe.batch.rows * self.recipe.model.context_tokens
        tokens_per_s /= max(elapsed_s, 1e-9)
        peak = peak_flops(self.devices.device) * self.devices.count
        self._write_log(
            {
                "step": position.step,
                "epoch": position.epoch,
                "elapsed_s": round(elapsed_s, 2),
                "loss": nll / tokens,
                "middle_loss": middle_nll / max(middle_tokens, 1),
                "middle_share": middle_tokens / tokens,
                "lr_factor": factor,
                "tokens_per_s": round(tokens_per_s),
                "mfu": tokens_per_s * self.flops_per_token / peak,
            }
        )

    def _validation_rows(self) -> list[Any]:
        return validation_rows(
            self.held_out,
            self.recipe.tokenizer,
            self.recipe.validation,
            context_tokens=self.recipe.model.context_tokens,
        )

    def _measure(self) -> None:
        """Measure on held-out text and write `scores.json` and a line of the log."""
        if not self.devices.is_first or not self._measurements:
            return
        scores = measure(
            self.model, self._measurements, vocab_newline_ids=newline_ids(self.tokenizer)
        )
        means = {name: round(value, 4) for name, value in scores.items() if name.endswith("mean")}
        self._write_log({"step": self.position.step, "scores": means})
        self.scores = scores
        write_json(self.out / "scores.json", {"step": self.position.step, **scores})

    def _write_log(self, line: dict[str, object]) -> None:
        if self.devices.is_first:
            with (self.out / "log.jsonl").open("a") as file:
                file.write(f"{json.dumps(line)}\n")

    def _checkpoint(self) -> None:
        """Write everything that a resume needs, whole."""
        if not self.devices.is_first:
            return
        aside = self.out / f"{CHECKPOINT}.part"
        state = {
            "position": tuple(self.position),
            "model": self.model.state_dict(),
            "optimisers": self.optimisers.state_dict(),
        }
        torch.save(state, aside)
        aside.replace(self.out / CHECKPOINT)

    def _resume(self) -> None:
        path = self.out / CHECKPOINT
        if path.exists():
            state = torch.load(path, map_location=self.devices.device, weights_only=True)
            self.position = Position(*state["position"])
            self.model.load_state_dict(state["model"])
            self.optimisers.load_state_dict(state["optimisers"])


if __name__ == "__main__":  # torchrun starts processes by module
    pretrain(read_toml(PretrainRecipe, Path(sys.argv[1])), Path(sys.argv[2]))
