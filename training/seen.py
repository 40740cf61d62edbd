"""Which documents did a step see? Exact, whatever the run went through.

A run writes down where each step's rows begin, and cuts that back where it goes back itself; the
rows name their documents. Rows, and the copy of the corpus they were drawn from, may have been
deleted: they are drawn again, for they depend on recipe and corpus alone.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from fimble.errors import InputError
from fimble.files import sha256_of
from training.examples.background import build_epoch
from training.examples.documents import Documents, write_documents
from training.examples.shards import EpochPlan, EpochRows, is_built
from training.feed import describe, documents_path, epoch_folder
from training.run_log import place_of_step
from training.run_record import corpus_digest, read_record

if TYPE_CHECKING:
    from pathlib import Path

    from training.recipe import PretrainRecipe
    from training.run_record import RunRecord

_LOG = logging.getLogger(__name__)


class StepDocuments(NamedTuple):
    """What one step was trained on."""

    step: int
    epoch: int
    row: int
    """First row of the epoch's reading order."""
    num_rows: int
    documents: list[dict[str, object]]
    """`doc_id`, `project`, `path` and `language` of each, by `doc_id`."""


def documents_of_step(run: Path, step: int) -> StepDocuments:
    """Return the documents that a step saw, over all devices.

    Args:
        run: Folder of the run.
        step: Its number, from 1.

    Raises:
        InputError: There is no such run or step, or the corpus it needs has changed or is gone.
    """
    record = read_record(run)
    recipe = record.typed_recipe
    epoch, row = place_of_step(run, step)
    num_rows = recipe.batch.rows
    rows = _rows(run, record, recipe, epoch)
    documents = Documents(documents_path(run, "train"))
    seen = [describe(documents, doc_id) for doc_id in rows.documents(row, row + num_rows)]
    return StepDocuments(step, epoch, row, num_rows, seen)


def _rows(run: Path, record: RunRecord, recipe: PretrainRecipe, epoch: int) -> EpochRows:
    """Return the rows of an epoch, drawn again where they are gone."""
    documents, folder = documents_path(run, "train"), epoch_folder(run, epoch)
    if not documents.exists():
        if corpus_digest(recipe) != record.corpus_sha256:
            raise InputError(f"{recipe.corpus} is not the corpus that {run} was trained on")
        write_documents(recipe.corpus, "train", documents)
    if not is_built(folder):
        if sha256_of(recipe.tokenizer) != record.tokenizer_sha256:
            raise InputError(f"{recipe.tokenizer} is not the vocabulary of {run}")
        _LOG.warning("the rows of epoch %d are gone; drawing them again", epoch)
        build_epoch(EpochPlan(recipe, documents, folder, epoch))
    return EpochRows(folder, seed=recipe.seed, epoch=epoch)
