"""Texts of a corpus for vocabularies: a sample weighted as training will be."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from fimble.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from training.vocabulary.learn import VocabularyRecipe


def corpus_texts(corpus: Path, split: str) -> Iterator[tuple[str, str, str]]:
    """Yield id, language and text of each file of one split.

    Raises:
        ConfigError: The corpus has no files.
    """
    sources = sorted((corpus / "files").glob("*.parquet"))
    if not sources:
        raise ConfigError(f"there are no files/*.parquet in {corpus}; build the corpus first")
    for source in sources:
        columns = ["id", "language", "split", "text"]
        for batch in pq.ParquetFile(source).iter_batches(512, columns=columns):
            for row in batch.to_pylist():
                if row["split"] == split:
                    yield str(row["id"]), row["language"], row["text"]


def training_sample(recipe: VocabularyRecipe) -> list[str]:
    """Return documents of the training split, about `recipe.sample_bytes` of them.

    Whether a document is taken depends on a hash of the seed and its id, never on its order.
    """
    sizes: dict[str, int] = defaultdict(int)
    for _, language, text in corpus_texts(recipe.corpus, "train"):
        sizes[language] += len(text)
    weighted = {lang: size * recipe.weights.get(lang, 1.0) for lang, size in sizes.items()}
    scale = recipe.sample_bytes / max(1.0, sum(weighted.values()))
    limit = recipe.max_bytes_per_language or recipe.sample_bytes
    rates = {lang: min(weight * scale, limit) / sizes[lang] for lang, weight in weighted.items()}
    return [
        text
        for doc_id, language, text in corpus_texts(recipe.corpus, "train")
        if _fraction(f"{recipe.seed}/{doc_id}") < rates[language]
    ]


def _fraction(key: str) -> float:
    """Return a number in 0..1 that `key` alone decides."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
