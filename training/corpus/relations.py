"""What one file says about another: duplicates, near duplicates and caps.

The questions are SQL over the annotated files without their texts (`queries/*.sql`); checking pairs
and joining them to clusters are stages. Each answer lies in a folder of its own, so that a build
that was killed goes on where it stopped.

    copies -> edges -> pairs -> verified pairs -> clusters -> decisions
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from training.corpus.clusters import components, verified
from training.corpus.tables import write_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from training.corpus.engine import Engine
    from training.corpus.pipeline import Annotation
    from training.corpus.recipe import Recipe

_NO_CAP = 2**62
_EDGES = pa.schema([pa.field("a", pa.int64()), pa.field("b", pa.int64())])
CLUSTERS = pa.schema([
    pa.field("file", pa.int64(), nullable=False),  # id as `tables.as_int64` gives it
    pa.field("cluster", pa.int64(), nullable=False),  # the smallest `file` of the cluster
])  # fmt: skip
"""Near-duplicate clusters: one row per file that is in one."""


class Relations(NamedTuple):
    """Parquet files of what was decided, by the names that queries use."""

    annotated: list[Path]
    decisions: list[Path]
    clusters: list[Path]

    def by_name(self) -> dict[str, list[Path]]:
        """Return the relations as `Engine.sql` takes them."""
        return self._asdict()


def query(name: str, **values: object) -> str:
    """Return the text of `queries/<name>.sql` with its values filled in."""
    text = files("training.corpus.queries").joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return text.format(**values) if values else text


def decide(
    recipe: Recipe, annotations: Sequence[Annotation], out: Path, engine: Engine
) -> Relations:
    """Find out which files are dropped because of other files.

    Args:
        recipe: Its caps and what it says about near duplicates.
        annotations: What the stages of one file wrote.
        out: Folder of the answers, one for what decides them.
        engine: Where to run.
    """
    annotated = [each.annotated for each in annotations]
    bands = [each.bands for each in annotations]
    copies = _answer(engine, query("copies"), {"annotated": annotated}, out / "copies")
    clusters = out / "clusters.parquet"
    if not recipe.near_duplicates.enabled:
        write_table(CLUSTERS.empty_table(), clusters)
    elif not clusters.is_file():
        relations = {"bands": bands, "copies": copies}
        edges = _answer(engine, query("edges"), relations, out / "edges")
        relations = {"edges": edges, "annotated": annotated}
        pairs = _answer(engine, query("pairs"), relations, out / "pairs")
        write_table(_clusters(pairs, recipe.near_duplicates.threshold, engine), clusters)
    relations = {"copies": copies, "clusters": [clusters]}
    text = query("decisions", **_caps(recipe))
    decisions = _answer(engine, text, relations, out / "decisions")
    return Relations(annotated=annotated, decisions=decisions, clusters=[clusters])


def counts(relations: Relations, out: Path, engine: Engine) -> list[Path]:
    """Return what the data card counts, see `queries/counts.sql`."""
    found = {"annotated": relations.annotated, "decisions": relations.decisions}
    return _answer(engine, query("counts"), found, out / "counts")


def _answer(
    engine: Engine, text: str, relations: Mapping[str, Sequence[Path]], folder: Path
) -> list[Path]:
    """Return the answer of a query, from its folder if it was answered before."""
    if folder.is_dir():
        return sorted(folder.glob("*.parquet"))
    return engine.sql(text, relations, folder)


class _Check(NamedTuple):
    """One row group of pairs to verify; travels to a worker process."""

    pairs: Path
    row_group: int
    threshold: float


def _clusters(pairs: Sequence[Path], threshold: float, engine: Engine) -> pa.Table:
    checks = [
        _Check(path, group, threshold)
        for path in pairs
        for group in range(pq.read_metadata(path).num_row_groups)
    ]
    edges = pa.concat_tables([_EDGES.empty_table(), *engine.map(_verify, checks, title="verify")])
    found = components(edges["a"].to_numpy(), edges["b"].to_numpy())
    return pa.Table.from_arrays([pa.array(found.node), pa.array(found.root)], schema=CLUSTERS)


def _verify(check: _Check) -> pa.Table:
    with pq.ParquetFile(check.pairs) as file:
        table = file.read_row_group(check.row_group)
    return verified(table, check.threshold).select(_EDGES.names).cast(_EDGES)


def _caps(recipe: Recipe) -> dict[str, object]:
    caps = recipe.caps
    if not caps.enabled:
        return {"project_bytes": _NO_CAP, "language_bytes": _NO_CAP}
    cases = "".join(
        f" when language = '{name}' then {num_bytes}"
        for name, num_bytes in sorted((caps.language_bytes_of or {}).items())
    )
    of_language = f"(case{cases} else {caps.language_bytes} end)" if cases else caps.language_bytes
    return {"project_bytes": caps.project_bytes, "language_bytes": of_language}
