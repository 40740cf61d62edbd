"""The rows that a run reads, step by step; epochs are drawn while the one before is read."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from fimble.errors import FimbleError
from training.examples.background import start_epoch
from training.examples.documents import Documents, write_documents
from training.examples.shards import EpochPlan, EpochRows, epoch_summary, is_built
from training.progress import Place, next_row

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np

    from training.devices import Devices
    from training.meters import Meter
    from training.progress import Skip
    from training.recipe import PretrainRecipe


class RowFeed:
    """Where each step's rows lie."""

    def __init__(self, recipe: PretrainRecipe, out: Path, devices: Devices, meter: Meter) -> None:
        """Copy the documents of the corpus, unless that was done before.

        Args:
            recipe: The run.
            out: Its folder.
            devices: Of the run.
            meter: Is told how long rows were waited for.

        Raises:
            ConfigError: There is no corpus.
        """
        self._recipe, self._folder, self._devices = recipe, out / "rows", devices
        self._meter = meter
        self.documents = documents_path(out, "train")
        self.held_out = documents_path(out, "validation")
        if devices.is_first:
            write_documents(recipe.corpus, "train", self.documents)
            write_documents(recipe.corpus, "validation", self.held_out)
        self._builder: subprocess.Popen[bytes] | None = None
        self._building = -1
        self._open_epoch = -1
        self._rows: EpochRows

    def place(self, place: Place, skips: Iterable[Skip]) -> Place:
        """Return where the next step's rows begin, and open their epoch.

        Args:
            place: Where the rows of the step before ended.
            skips: What is left out.
        """
        while True:
            self.open(place.epoch)
            left_out = [(skip.start, skip.stop) for skip in skips if skip.epoch == place.epoch]
            row = next_row(place.row, self._recipe.batch.rows, left_out)
            if row + self._recipe.batch.rows <= len(self._rows):
                return Place(place.epoch, row)
            if place.row == 0 and not left_out:
                raise FimbleError(
                    f"an epoch has {len(self._rows)} rows, a step takes "
                    f"{self._recipe.batch.rows}: the corpus is too small for batch.rows"
                )
            place = Place(place.epoch + 1, 0)

    def open(self, epoch: int) -> EpochRows:
        """Return the rows of an epoch; draw them if need be, and the next ones meanwhile."""
        if epoch == self._open_epoch:
            return self._rows
        with self._meter.waiting():
            if self._devices.is_first:
                self._build_now(epoch)
                self._build_in_background(epoch + 1)
            self._devices.barrier()
        self._rows = self.opened(epoch)
        self._open_epoch = epoch
        return self._rows

    def rows(self, epoch: int, start: int, stop: int) -> np.ndarray:
        """Return rows `start` to `stop` of an epoch's reading order, (R, T) uint16."""
        with self._meter.waiting():
            return self.open(epoch).rows(start, stop)

    def opened(self, epoch: int) -> EpochRows:
        """Return the rows of an epoch that was drawn before."""
        return EpochRows(self._epoch_folder(epoch), seed=self._recipe.seed, epoch=epoch)

    def summary(self, epoch: int) -> dict[str, int]:
        """Return the counts of an epoch, see `epoch_summary`."""
        return epoch_summary(self._epoch_folder(epoch))

    def described(self, skip: Skip) -> list[dict[str, object]]:
        """Return what is known of the documents in some rows, without their texts."""
        documents = Documents(self.documents)
        ids = self.opened(skip.epoch).documents(skip.start, skip.stop)
        return [describe(documents, doc_id) for doc_id in ids]

    def close(self) -> None:
        """End the processes that draw an epoch which nobody will read."""
        if self._builder is None:
            return
        if self._builder.poll() is None:
            os.killpg(self._builder.pid, signal.SIGTERM)
        with self._builder:  # waits, and closes the pipe
            self._builder = None

    def _build_now(self, epoch: int) -> None:
        """Wait until an epoch is there, whoever builds it."""
        if is_built(self._epoch_folder(epoch)):
            return
        if self._building != epoch:
            self._build_in_background(epoch)
        if self._builder is None or self._builder.wait() != 0:
            raise FimbleError(f"drawing the rows of epoch {epoch} failed; see its message above")

    def _build_in_background(self, epoch: int) -> None:
        """Have an epoch built by another process, which never loads what training needs."""
        if is_built(self._epoch_folder(epoch)) or self._building == epoch:
            return
        self.close()
        self._builder = start_epoch(self._plan(epoch))
        self._building = epoch

    def _plan(self, epoch: int) -> EpochPlan:
        return EpochPlan(self._recipe, self.documents, self._epoch_folder(epoch), epoch)

    def _epoch_folder(self, epoch: int) -> Path:
        return epoch_folder(self._folder.parent, epoch)


def documents_path(out: Path, split: str) -> Path:
    """Return where a run keeps the documents of a split."""
    return out / "rows" / f"{split}.arrow"


def epoch_folder(out: Path, epoch: int) -> Path:
    """Return where a run keeps the rows of an epoch."""
    return out / "rows" / f"epoch-{epoch:04}"


def describe(documents: Documents, doc_id: int) -> dict[str, object]:
    """Return number, project, path and language of a document."""
    origin = documents.origin(doc_id)._asdict()
    del origin["text"]
    return origin
