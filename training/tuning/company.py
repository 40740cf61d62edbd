"""A model for one repository: cleaned, learnt, compared on files that were held out, exported.

corpus/       what `fimble corpus build` makes of the repository, with its report
split/        the same files, some of them held out
data/         instruction examples and replayed middles
tuned/        the run, see `training.tuning.outcome`
decision.json before against after, in pairs
NAME/         the model folder that `fimble serve --model` takes, where the shape allows
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from fimble.errors import ConfigError, ModelFolderError
from fimble.files import write_json
from fimble.preferences import Split
from training.corpus.command import build_directory
from training.examples.documents import corpus_files
from training.export.engine_model import read_origin, write_engine_model
from training.export.weights import load_weights
from training.run_record import CARD_NAME
from training.tuning.data import SPLITS, build_data, examples_path
from training.tuning.gate import DECISION_NAME, Check, decide, note
from training.tuning.mining import rank
from training.tuning.outcome import read_run
from training.tuning.parent import find_parent
from training.tuning.recipe import DataRecipe, SftRecipe
from training.tuning.record import Task, read_examples
from training.tuning.scores import held_out_cases, summary
from training.tuning.sft import tune
from training.tuning.trainer import measured

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from training.tuning.gate import Decision
    from training.tuning.parent import ParentModel
    from training.tuning.recipe import CompanyRecipe
    from training.tuning.scores import CaseScore

_ALL = 1_000_000
"""More examples than any repository gives: nothing is left out for balance."""


def adapt(recipe: CompanyRecipe, out: Path) -> dict[str, Any]:
    """Tune a model on a repository, and return what it brought on held-out files.

    Raises:
        ConfigError: Too little of the repository is left, or the other code has no plain text.
        InputError: There is no such folder.
        ModelFolderError: The model cannot be loaded.
    """
    _check_general(recipe)
    card = build_directory(recipe.repository, out / "corpus", jobs=recipe.jobs)
    num_files = split_files(out / "corpus", out / "split", recipe)
    data = DataRecipe(
        corpus=out / "split",
        seed=recipe.seed,
        per_cell=_ALL,
        held_out_per_cell=_ALL,
        mining=recipe.mining,
    )
    build_data(data, out / "data")
    sft = SftRecipe(
        name=recipe.name,
        data=out / "data",
        model=recipe.model,
        method=recipe.method,
        seed=recipe.seed,
        replay_share=recipe.replay_share,
        held_out_cases=recipe.held_out_cases,
        max_bits_per_byte_rise=recipe.max_general_rise if recipe.general_data else 0.0,
        watched_data=recipe.general_data,
        adapter=recipe.adapter,
        learning=recipe.learning,
    )
    tuned = tune(sft, out / "tuned")
    parent = find_parent(recipe.model, out / "parent")
    record = _compare(recipe, parent, tuned, out)
    record |= {
        "files": {split.value: count for split, count in num_files.items()},
        "corpus_digest": card.digest,
        "exported": _export(recipe, tuned, out),
        "kept_share": read_run(out / "tuned").get("kept_share", 1.0),
    }
    write_json(out / DECISION_NAME, record)
    return record


def _check_general(recipe: CompanyRecipe) -> None:
    """Refuse other code that could not say what is forgotten, before anything is learnt."""
    if recipe.general_data is None:
        return
    held_out = examples_path(recipe.general_data, Split.HELD_OUT)
    if not read_examples(held_out, tasks=[Task.PLAIN]):
        raise ConfigError(
            f"general_data is {recipe.general_data}, whose {held_out.name} has no example of "
            f"{Task.PLAIN.value}; make it with `fimble tune data` and mining.plain_rate above 0"
        )


def split_files(corpus: Path, out: Path, recipe: CompanyRecipe) -> dict[Split, int]:
    """Write a corpus whose files, not projects, are held out; return how many each side has.

    A repository is one project, or its parts know each other: files are what can be held out. Near
    duplicates across the two sides are gone already.

    Raises:
        ConfigError: One side would be empty.
    """
    counts = dict.fromkeys(Split, 0)
    table = pa.concat_tables([pq.read_table(path) for path in corpus_files(corpus)])
    rows: list[dict[str, Any]] = sorted(table.to_pylist(), key=lambda r: (r["project"], r["path"]))
    limit = recipe.held_out_rate * 2**32
    for row in rows:
        drawn = int(rank(f"{recipe.seed}/{row['project']}/{row['path']}")[:8], 16)
        split = Split.HELD_OUT if drawn < limit else Split.TRAIN
        counts[split] += 1
        row["split"] = SPLITS[split]
    if not all(counts.values()):
        raise ConfigError(
            f"{recipe.repository} leaves {counts[Split.TRAIN]} files to train on and "
            f"{counts[Split.HELD_OUT]} held-out ones; both must be there. See "
            f"{corpus / 'report.html'} for what was dropped, and held_out_rate"
        )
    (out / "files").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), out / "files" / "files.parquet")
    (out / CARD_NAME).write_bytes((corpus / CARD_NAME).read_bytes())
    return counts


def _compare(recipe: CompanyRecipe, parent: ParentModel, tuned: Path, out: Path) -> dict[str, Any]:
    """Return what held-out files say of both models, and what other code says."""
    first, second = _both(recipe, parent, tuned, out / "data", by_file=True)
    decision = decide(first, second, recipe.gate)
    record: dict[str, Any] = {"before": summary(first), "after": summary(second)}
    if recipe.general_data is not None:
        general = _both(recipe, parent, tuned, recipe.general_data, by_file=False)
        before, after = map(summary, general)
        record |= {"general_before": before, "general_after": after}
        decision = _with_general(decision, before, after, recipe.max_general_rise)
    note(tuned, decision)
    return decision.to_json() | record


def _both(
    recipe: CompanyRecipe, parent: ParentModel, tuned: Path, data: Path, *, by_file: bool
) -> tuple[list[CaseScore], list[CaseScore]]:
    """Return the scores of parent and tuned model on the held-out side of some data."""
    cases = held_out_cases(
        read_examples(examples_path(data, Split.HELD_OUT)),
        parent.encoder,
        per_task=recipe.held_out_cases,
        max_tokens=recipe.model.max_tokens,
        by_file=by_file,
    )
    encoder = parent.encoder
    return measured(parent.folder, cases, encoder), measured(tuned, cases, encoder)


def _with_general(
    decision: Decision, before: Mapping[str, float], after: Mapping[str, float], limit: float
) -> Decision:
    """Return a decision that also asks what other code costs."""
    rise = after["bits_per_byte"] / before["bits_per_byte"] - 1
    check = Check("general_bits_per_byte", rise <= limit, rise, limit)
    return decision._replace(
        passed=decision.passed and check.passed, checks=(*decision.checks, check)
    )


def _export(recipe: CompanyRecipe, tuned: Path, out: Path) -> str:
    """Write the model folder of the embedded engine; return its name, empty if it has no room.

    A model of another architecture stays the Hugging Face folder that it is.
    """
    folder = out / recipe.name
    try:
        weights = load_weights(tuned)
    except ModelFolderError:
        return ""
    write_engine_model(
        weights, folder, origin=read_origin(tuned), documents=tuple(tuned.glob("*.md"))
    )
    return recipe.name
