"""One process of a pretraining run: one flat loop from rows of tokens to a model folder."""

from __future__ import annotations

import logging
import math
from collections import deque
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from fimble.errors import ConfigError
from fimble.files import write_json
from training.devices import Devices
from training.examples.shards import MAX_VOCABULARY
from training.feed import RowFeed
from training.guard import LossGuard, UnstableTrainingError
from training.learner import Learner
from training.meters import Meter
from training.model import flops_per_token
from training.optimiser import is_over, lr_factor
from training.origin import write_origin
from training.progress import (
    CHECKPOINT_NAME,
    Ledger,
    Place,
    Position,
    Skip,
    Snapshots,
    load_checkpoint,
    save_checkpoint,
)
from training.readings import PendingReading
from training.reporting import Reporter, check_trackers
from training.run_log import SPIKES_NAME, RunLog
from training.run_record import read_record, record_of, write_record
from training.start import read_start
from training.validation import Validation

if TYPE_CHECKING:
    from pathlib import Path

    from fimble.clock import Clock
    from training.guard import Spike
    from training.progress import Snapshot
    from training.readings import StepReading
    from training.recipe import PretrainRecipe
    from training.run_record import RunRecord
    from training.start import Start

_LOG = logging.getLogger(__name__)


class Run:
    """State of one process of a run."""

    def __init__(self, recipe: PretrainRecipe, out: Path, clock: Clock) -> None:
        check_trackers(recipe.report_to)
        self.recipe, self.out, self.clock = recipe, out, clock
        self.devices = Devices.start()
        out.mkdir(parents=True, exist_ok=True)
        self.record, start = self._recorded()
        self.tokenizer = Tokenizer.from_file(str(recipe.tokenizer))
        vocab_size = self.tokenizer.get_vocab_size()
        if vocab_size > MAX_VOCABULARY:
            raise ConfigError(
                f"{recipe.tokenizer} has {vocab_size} tokens; rows hold {MAX_VOCABULARY} at most"
            )
        self.learner = Learner(recipe, vocab_size, self.devices)
        self.meter = Meter(clock, self.devices, flops_per_token(recipe.model, vocab_size))
        self.feed = RowFeed(recipe, out, self.devices, self.meter)
        self._validation = self._validated() if self.devices.is_first else None
        self.reporter = Reporter(recipe, out) if self.devices.is_first else None
        self.log = RunLog(out, is_writer=self.devices.is_first, listener=self.reporter)
        self.position, self.ledger = Position(), Ledger()
        self.guard = LossGuard(recipe.guard)
        self.scores: dict[str, float] = {}
        self.snapshots = Snapshots()
        self._pending: deque[PendingReading] = deque()
        guarded = recipe.guard.patience_steps + recipe.guard.skip_before_steps
        self._places: deque[tuple[int, Place]] = deque(maxlen=guarded + 2)
        self._begin(start)

    def _validated(self) -> Validation:
        recipe = self.recipe
        return Validation(
            self.feed.held_out,
            recipe.tokenizer,
            recipe.validation,
            context_tokens=recipe.model.context_tokens,
        )

    def _recorded(self) -> tuple[RunRecord, Start | None]:
        """Return what this run is, written down, and what it begins with where that is another."""
        recipe, has_begun = self.recipe, (self.out / CHECKPOINT_NAME).exists()
        if recipe.start is None or has_begun:
            parent = read_record(self.out).parent if has_begun else None
            start = None
        else:
            start = read_start(recipe.start, recipe, self.devices.device)
            parent = start.parent
        record = record_of(recipe, parent)
        if self.devices.is_first:
            write_record(self.out, record)
        self.devices.barrier()
        return record, start

    def _begin(self, start: Start | None) -> None:
        """Go on from the run's own checkpoint, or begin with another run's, or anew."""
        path = self.out / CHECKPOINT_NAME
        if path.exists():
            snapshot, self.ledger = load_checkpoint(path, self.devices.device)
            self.log.forget_spikes(self.ledger.spike_bytes)
            self._restore(snapshot)
        else:
            if start is not None:
                self.learner.restore(start.checkpoint.snapshot)
                self.position = start.position(self.record)
                self.ledger = Ledger(skips=start.skips(self.record))
            self.log.forget_spikes(0)
            self.log.go_back(num_steps=0, log_bytes=0)
        self.snapshots.keep(self._snapshot())

    def train(self) -> None:
        """Run the loop to the end of the schedule."""
        recipe = self.recipe
        self._started_ms = self.clock.monotonic_ms() - self.position.elapsed_s * 1000
        measure_at_s = self.position.elapsed_s + recipe.validation.every_s
        save_at_s = self.position.elapsed_s + recipe.checkpoint_every_s
        self.meter.restart()
        self._metered_step = self.position.step
        while True:
            elapsed_s = self.devices.broadcast(self._elapsed_s())
            if is_over(recipe.schedule, step=self.position.step, elapsed_s=elapsed_s):
                if self._settle():
                    break
                continue
            self._take_step(elapsed_s)
            if self.position.step % recipe.guard.snapshot_steps == 0 and self._settle():
                self.snapshots.keep(self._snapshot())
                if elapsed_s >= save_at_s:
                    save_at_s = elapsed_s + recipe.checkpoint_every_s
                    self._save(self.snapshots.settled)
            if elapsed_s >= measure_at_s and self._settle():
                measure_at_s = elapsed_s + recipe.validation.every_s
                self._measure()

    def finish(self) -> Path:
        """Write checkpoint, scores and the model folder.

        Raises:
            UnstableTrainingError: The very last step broke the weights.
        """
        if not self.learner.is_finite:
            raise UnstableTrainingError(
                f"after step {self.position.step}, the last one, a weight is not a finite number; "
                "lower the learning rates"
            )
        folder = self.out / "model"
        if self.devices.is_first:
            self._save(self._snapshot())
            self._measure()
            self.learner.save_model(folder)
            self.tokenizer.save(str(folder / "tokenizer.json"))
            write_origin(folder, self.record, self.recipe, self.scores)
        self.devices.barrier()
        return folder

    def close(self) -> None:
        """Leave the other processes, and end those that serve this one."""
        self.feed.close()
        if self._validation is not None:
            self._validation.close()
        if self.reporter is not None:
            self.reporter.close()
        self.devices.close()

    def _take_step(self, elapsed_s: float) -> None:
        """Take one step, and look at the one before, which is done by now."""
        step, rows = self.position.step + 1, self.recipe.batch.rows
        behind = Place(self.position.epoch, self.position.row)
        place = self.feed.place(behind, self.ledger.skips)
        if step == 1 or place.epoch != behind.epoch:
            self.log.write({"epoch": place.epoch, **self.feed.summary(place.epoch)})
        self.log.note_step(place)
        self._places.append((step, place))
        factor = lr_factor(self.recipe.schedule, step=step - 1, elapsed_s=elapsed_s)
        values = self.learner.step(self.feed, place, factor)
        self.position = Position(step, place.epoch, place.row + rows, elapsed_s)
        self._pending.append(PendingReading(values, step=step, place=place, lr_factor=factor))
        # A card works on while the step before is looked at; a processor has nothing to gain.
        if len(self._pending) > (1 if self.devices.device.type == "cuda" else 0):
            self._judge()

    def _settle(self) -> bool:
        """Look at all steps that were taken; return False if the run went back over any of them."""
        while self._pending:
            if not self._judge():
                return False
        return True

    def _judge(self) -> bool:
        """Look at the oldest step not yet seen; return False if the run went back because of it."""
        pending = self._pending.popleft()
        reading = pending.wait()
        spike = self.guard.judge(pending.step, reading.loss, reading.gradient_norm)
        if spike is not None:
            self._go_back(spike)
            return False
        if pending.step <= 10 or pending.step % self.recipe.log_every_steps == 0:
            self._log_step(pending, reading)
        return True

    def _go_back(self, spike: Spike) -> None:
        """Return to a state from before a spike, and leave out the rows that may have caused it.

        Raises:
            UnstableTrainingError: That was done too often already.
        """
        guard, rows = self.recipe.guard, self.recipe.batch.rows
        first_step = spike.first_step - guard.skip_before_steps
        steps = {s: p for s, p in self._places if first_step <= s <= spike.last_step}
        skips = [Skip(place.epoch, place.row, place.row + rows) for place in steps.values()]
        is_last_straw = len(self.ledger.targets) >= guard.max_rollbacks
        snapshot = self.snapshots.go_back(first_step - 1, self.ledger.targets)
        went_back_to = None if is_last_straw else snapshot.position.step
        self._record_spike(spike, went_back_to, steps, skips)
        if is_last_straw:
            raise UnstableTrainingError(
                f"the loss of step {spike.last_step} is {spike.loss:.4g}, its gradient norm "
                f"{spike.gradient_norm:.4g} (usual loss {spike.usual_loss:.4g}), and the run went "
                f"back {guard.max_rollbacks} times already; {self.out / SPIKES_NAME} names the "
                "documents. Lower the learning rates, or raise guard.max_rollbacks"
            )
        self.ledger = Ledger(
            skips=(*self.ledger.skips, *skips),
            targets=(*self.ledger.targets, snapshot.position.step),
            spike_bytes=self.log.spike_bytes,
        )
        self._restore(snapshot)
        self._save(self.snapshots.settled)

    def _record_spike(
        self, spike: Spike, went_back_to: int | None, steps: dict[int, Place], skips: list[Skip]
    ) -> None:
        """Say what happened and which documents the steps in question saw."""
        if not self.devices.is_first:
            return
        _LOG.warning(
            "step %d: the loss is %.4g where %.4g is usual, the gradient norm %.4g; %s, see %s",
            *(spike.last_step, spike.loss, spike.usual_loss, spike.gradient_norm),
            f"going back to step {went_back_to}" if went_back_to is not None else "giving up",
            self.out / SPIKES_NAME,
        )
        seen = [
            {"step": step, **skip._asdict(), "documents": self.feed.described(skip)}
            for step, skip in zip(steps, skips, strict=True)
        ]
        line = {name: _or_text(value) for name, value in spike._asdict().items()}
        self.log.write_spike({**line, "went_back_to": went_back_to, "left_out": seen})

    def _restore(self, snapshot: Snapshot) -> None:
        """Be what the run was at a snapshot, its records too."""
        self.learner.restore(snapshot)
        self.position = snapshot.position
        self.guard = LossGuard(self.recipe.guard, snapshot.guard)
        self.log.go_back(num_steps=snapshot.position.step, log_bytes=snapshot.log_bytes)
        self._pending.clear()
        self._places.clear()
        self.meter.restart()
        self._metered_step = snapshot.position.step

    def _snapshot(self) -> Snapshot:
        return self.learner.snapshot(self.position, self.guard.state, log_bytes=self.log.log_bytes)

    def _save(self, snapshot: Snapshot) -> None:
        if self.devices.is_first:
            with self.meter.pause():
                save_checkpoint(self.out / CHECKPOINT_NAME, snapshot, self.ledger)

    def _elapsed_s(self) -> float:
        return (self.clock.monotonic_ms() - self._started_ms) / 1000

    def _log_step(self, pending: PendingReading, reading: StepReading) -> None:
        step_tokens = self.recipe.batch.rows * self.recipe.model.context_tokens
        before = self.record.parent.num_tokens if self.record.parent else 0
        num_metered = (pending.step - self._metered_step) * step_tokens
        self._metered_step = pending.step
        self.log.write(
            {
                "step": pending.step,
                "epoch": pending.place.epoch,
                "tokens": before + pending.step * step_tokens,
                "elapsed_s": round(self._elapsed_s(), 2),
                "loss": reading.loss,
                "middle_loss": reading.middle_nll / max(reading.middle_tokens, 1),
                "middle_share": reading.middle_tokens / reading.tokens,
                "gradient_norm": reading.gradient_norm,
                "lr_factor": pending.lr_factor,
                **self.meter.read(num_metered),
            }
        )

    def _measure(self) -> None:
        """Measure on held-out text and write `scores.json` and a line of the log."""
        if self._validation is None:
            return
        with self.meter.pause():
            scores = self._validation.scores(self.learner.model)
        means = {name: round(value, 4) for name, value in scores.items() if name.endswith("mean")}
        self.log.write({"step": self.position.step, "scores": means})
        self.scores = scores
        write_json(self.out / "scores.json", {"step": self.position.step, **scores})


def _or_text(value: float) -> float | str:
    """Return a number as JSON can hold it: what is not finite becomes a word."""
    return value if math.isfinite(value) else str(value)
