"""Texts of a corpus for vocabularies: what is held out, and a sample of what is trained on."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fimble.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from training.vocabulary.recipe import SampleConfig

TRAIN, HELD_OUT = "train", "validation"


class CorpusText(NamedTuple):
    """One file of a corpus."""

    doc_id: str
    project: str
    language: str
    text: str

    @property
    def num_bytes(self) -> int:
        """Length of the text in UTF-8."""
        return len(self.text.encode())


def corpus_texts(corpus: Path, split: str) -> Iterator[CorpusText]:
    """Yield the files of one split.

    Raises:
        ConfigError: The corpus has no files, or none in this split.
    """
    for table in _tables(corpus, split, ["id", "project", "language", "text"]):
        for row in table.to_pylist():
            yield CorpusText(str(row["id"]), row["project"], row["language"], row["text"])


def held_out_texts(corpus: Path, bytes_per_language: int = 0) -> Iterator[CorpusText]:
    """Yield the held-out files.

    Args:
        corpus: Output folder of `fimble corpus build`.
        bytes_per_language: About how much to yield of each language; 0 means all. Which files
            these are depends on their ids alone.

    Raises:
        ConfigError: The corpus has no files, or holds none out.
    """
    if not bytes_per_language:
        yield from corpus_texts(corpus, HELD_OUT)
        return
    chosen: dict[str, list[tuple[float, str, int]]] = defaultdict(list)
    for each in corpus_texts(corpus, HELD_OUT):
        chosen[each.language].append((_fraction(each.doc_id), each.doc_id, each.num_bytes))
    wanted: set[str] = set()
    for files in chosen.values():
        taken_bytes = 0
        for _, doc_id, num_bytes in sorted(files):
            if taken_bytes >= bytes_per_language:
                break
            wanted.add(doc_id)
            taken_bytes += num_bytes
    yield from (each for each in corpus_texts(corpus, HELD_OUT) if each.doc_id in wanted)


def training_sample(corpus: Path, config: SampleConfig) -> Iterator[CorpusText]:
    """Yield files of the training split, about `config.num_bytes` of them.

    Whether a file is taken depends on a hash of the seed and its id, never on its order.

    Raises:
        ConfigError: The corpus has no files to train on, or a weight is given to a language that
            it does not have.
    """
    rates = _rates(_sizes(corpus), config)
    for each in corpus_texts(corpus, TRAIN):
        if _fraction(f"{config.seed}/{each.doc_id}") < rates[each.language, each.project]:
            yield each


def _sizes(corpus: Path) -> Counter[tuple[str, str]]:
    """Return the bytes to train on by language and project."""
    sizes: Counter[tuple[str, str]] = Counter()
    for table in _tables(corpus, TRAIN, ["language", "project", "text"]):
        columns = (table.column(name).to_pylist() for name in ("language", "project"))
        # Pyarrow makes its functions when it is imported, where no checker of types sees them.
        lengths = pc.call_function("binary_length", [table.column("text")]).to_pylist()
        for language, project, num_bytes in zip(*columns, lengths, strict=True):
            sizes[language, project] += num_bytes
    return sizes


def _rates(
    sizes: Mapping[tuple[str, str], int], config: SampleConfig
) -> dict[tuple[str, str], float]:
    """Return the share of files to take of each project in each language."""
    by_language: dict[str, dict[str, int]] = defaultdict(dict)
    for (language, project), num_bytes in sizes.items():
        by_language[language][project] = num_bytes
    if unknown := sorted(set(config.weights) - set(by_language)):
        raise ConfigError(
            f"weights: there is no {', '.join(unknown)} in the corpus; it has "
            f"{', '.join(sorted(by_language))}"
        )
    bytes_of = {language: sum(projects.values()) for language, projects in by_language.items()}
    weighted = {
        language: num_bytes**config.language_exponent * config.weights.get(language, 1.0)
        for language, num_bytes in bytes_of.items()
    }
    scale = config.num_bytes / max(1.0, sum(weighted.values()))
    wanted = {language: weight * scale for language, weight in weighted.items()}
    if config.even_projects:
        return {
            (language, project): _level([*projects.values()], wanted[language]) / max(1, num_bytes)
            for language, projects in by_language.items()
            for project, num_bytes in projects.items()
        }
    return {
        (language, project): wanted[language] / max(1, bytes_of[language])
        for language, project in sizes
    }


def _level(sizes: Sequence[int], wanted: float) -> float:
    """Return the limit that, if no size counts for more, makes the sizes sum up to `wanted`."""
    remaining = wanted
    for rank, size in enumerate(sorted(sizes)):
        fair = remaining / (len(sizes) - rank)
        if size >= fair:
            return fair
        remaining -= size
    return float(max(sizes, default=0))


def _tables(corpus: Path, split: str, columns: list[str]) -> Iterator[pa.Table]:
    """Yield columns of the files of one split, some hundred rows at a time.

    Raises:
        ConfigError: There are no such files, or they are no Parquet of `fimble corpus build`.
    """
    sources = sorted((corpus / "files").glob("*.parquet"))
    if not sources:
        raise ConfigError(f"there are no files/*.parquet in {corpus}; build the corpus first")
    seen: set[str] = set()
    for source in sources:
        try:
            yield from _tables_of(source, split, columns, seen)
        except (pa.ArrowException, OSError) as error:
            raise ConfigError(f"cannot read {source}: {error}") from error
    if split not in seen:
        raise ConfigError(
            f"{corpus} has no files in the split `{split}`, only in "
            f"{', '.join(sorted(seen)) or 'none'}; hold projects out when the corpus is built"
        )


def _tables_of(source: Path, split: str, columns: list[str], seen: set[str]) -> Iterator[pa.Table]:
    """Yield what `_tables` does of one file, and add the splits in it to `seen`.

    Most files hold one split alone, so that what is held out is found without reading all texts.
    """
    file = pq.ParquetFile(source)
    if missing := sorted({*columns, "split"} - set(file.schema_arrow.names)):
        raise ConfigError(
            f"cannot read {source}: it lacks {', '.join(missing)}; build the corpus anew"
        )
    for group in range(file.num_row_groups):
        splits = set(file.read_row_group(group, columns=["split"]).column("split").to_pylist())
        seen.update(map(str, splits))
        if split not in splits:
            continue
        for batch in file.iter_batches(512, row_groups=[group], columns=[*columns, "split"]):
            table = pa.Table.from_batches([batch])
            yield table.filter(pc.field("split") == split).select(columns)


def _fraction(key: str) -> float:
    """Return a number in 0..1 that `key` alone decides."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
