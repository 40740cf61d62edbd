"""The stages that look at one file at a time: pure functions from table to table.

They run anywhere Arrow runs; parsers and other costly things are made once per process. Relations
between files (duplicates, caps) are SQL in `relations.py`.
"""

from __future__ import annotations

import hashlib
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from fimble.text import decode_source, to_lf
from training.corpus import filters, licence, quality
from training.corpus.benchmarks import REASON, BenchmarkIndex, build_index, read_benchmarks
from training.corpus.headers import without_header
from training.corpus.minhash import signatures
from training.corpus.parse import Parser
from training.corpus.redaction import Redacted, redact
from training.corpus.tables import BANDS, Drop, as_int64, judge, live, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from training.corpus.recipe import Rules


class Step(NamedTuple):
    """A stage and its name in cards."""

    name: str
    run: Callable[[pa.Table], pa.Table]


def decode(table: pa.Table) -> pa.Table:
    """Turn content into LF text; drop what is empty or no text."""
    contents = live(table, "content", bytes)
    table = judge(table, "decode", ("content",), _reason_not_text)
    blobs = [None if content is None else _blob_sha1(content) for content in contents]
    contents = live(table, "content", bytes)
    texts = [None if content is None else _text_of(content) for content in contents]
    sizes = [
        size if text is None else len(text.encode())
        for size, text in zip(table["size_bytes"].to_pylist(), texts, strict=True)
    ]
    lines = [None if text is None else text.count("\n") + 1 for text in texts]
    nothing = [None] * len(texts)
    columns = {"text": texts, "blob_sha1": blobs, "size_bytes": sizes, "num_lines": lines}
    for name, values in {**columns, "content": nothing}.items():
        table = replace(table, name, values)
    return table


def _reason_not_text(content: bytes) -> str | None:
    if b"\0" in content:
        return "nul_bytes"
    text = decode_source(content)
    if text is None:
        return "not_utf8"
    return None if text.strip() else "empty"


def _text_of(content: bytes) -> str:
    text = decode_source(content)
    assert text is not None, "what is no text was dropped before"
    return to_lf(text)


def _blob_sha1(content: bytes) -> str:
    """Return the name git gives a content; Software Heritage and The Stack use the same."""
    header = f"blob {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def check_licence(table: pa.Table, allow: frozenset[str] | None) -> pa.Table:
    """Record each file's licence; drop what is not permissive.

    Args:
        table: Rows of `ANNOTATED`.
        allow: Licences that pass; None lets all pass.
    """
    texts = live(table, "text", str)
    packages = table["licence"].to_pylist()
    licences = [
        package if text is None else licence.licence_of(text, package)
        for text, package in zip(texts, packages, strict=True)
    ]
    table = replace(table, "licence", licences)
    if allow is None:
        return table
    reason = partial(licence.reason_to_drop, allow=allow)
    return judge(table, "licence", ("text", "licence"), reason)


def check_lines(table: pa.Table, limits: filters.LineLimits) -> pa.Table:
    """Drop texts whose lines or characters do not look like code."""
    reason = partial(filters.reason_by_lines, limits=limits)
    return judge(table, "lines", ("text", "language"), reason)


def check_origin(table: pa.Table) -> pa.Table:
    """Drop texts that a program wrote."""
    return judge(table, "origin", ("text", "language"), filters.reason_by_origin)


def check_syntax(
    table: pa.Table, limit_s: float, max_error_share: Mapping[str, float] | None = None
) -> pa.Table:
    """Drop texts that are not their language; C headers that are C++ are renamed.

    Args:
        table: Rows of `ANNOTATED`.
        limit_s: CPU seconds for one text.
        max_error_share: By language, in place of `faults.MAX_ERROR_SHARE`.
    """
    parser = _parser(limit_s, tuple(sorted((max_error_share or {}).items())))
    languages = dict(zip(table["id"].to_pylist(), table["language"].to_pylist(), strict=True))

    def reason_to_drop(file_id: str, language: str, text: str) -> str | None:
        languages[file_id], reason = parser.verdict(language, text)
        return reason

    table = judge(table, "syntax", ("id", "language", "text"), reason_to_drop)
    return replace(table, "language", [languages[i] for i in table["id"].to_pylist()])


@cache
def _parser(limit_s: float, max_error_share: tuple[tuple[str, float], ...]) -> Parser:
    return Parser(limit_s, dict(max_error_share))


def score_quality(table: pa.Table, min_score: float) -> pa.Table:
    """Fill `quality` for every live row; drop what scores too low.

    Args:
        table: Rows of `ANNOTATED`.
        min_score: Least score that is kept, 0 to 1.
    """
    texts = live(table, "text", str)
    places = zip(table["language"].to_pylist(), table["path"].to_pylist(), strict=True)
    scores = [
        None if text is None else quality.score(text, language, path)
        for text, (language, path) in zip(texts, places, strict=True)
    ]

    def reason_to_drop(score: float) -> str | None:
        return "low_quality" if score < min_score else None

    table = replace(table, "quality", scores)
    return judge(table, "quality", ("quality",), reason_to_drop)


def redact_texts(table: pa.Table) -> pa.Table:
    """Put stand-ins for secrets, e-mail and IP addresses and count them.

    A text that the scanner does not get through in time is dropped: it may hold anything.
    """
    found: dict[str, Redacted] = {}

    def reason_to_drop(file_id: str, text: str) -> str | None:
        try:
            found[file_id] = redact(text)
        except TimeoutError:
            return "scan_timed_out"
        return None

    table = judge(table, "redaction", ("id", "text"), reason_to_drop)
    results = [found.get(file_id) for file_id in table["id"].to_pylist()]
    texts, sizes = table["text"].to_pylist(), table["size_bytes"].to_pylist()
    for row, each in enumerate(results):
        if each is not None and each.text != texts[row]:
            texts[row], sizes[row] = each.text, len(each.text.encode())
    columns = {"text": texts, "size_bytes": sizes}
    for name in ("num_secrets", "num_emails", "num_ips"):
        columns[name] = [None if each is None else getattr(each, name) for each in results]
    for name, values in columns.items():
        table = replace(table, name, values)
    return table


def decontaminate(table: pa.Table, benchmarks: tuple[Path, ...]) -> pa.Table:
    """Drop texts that hold a part of a benchmark.

    Args:
        table: Rows of `ANNOTATED`.
        benchmarks: Files of the benchmarks.
    """
    texts = live(table, "text", str)
    rows = [row for row, text in enumerate(texts) if text is not None]
    hits = _benchmark_index(benchmarks).hits([text.encode() for text in texts if text is not None])
    found = {table["id"][row].as_py(): hit for row, hit in zip(rows, hits, strict=True)}

    def reason_to_drop(file_id: str) -> Drop | None:
        hit = found[file_id]
        return None if hit is None else Drop(REASON, f"{hit.task_id}: {hit.words}")

    return judge(table, "decontamination", ("id",), reason_to_drop)


@cache
def _benchmark_index(benchmarks: tuple[Path, ...]) -> BenchmarkIndex:
    return build_index(read_benchmarks(benchmarks))


def hash_texts(table: pa.Table) -> pa.Table:
    """Fill `file` for every row, and `sha256` and `signature` for live ones."""
    texts = live(table, "text", str)
    table = replace(table, "file", [as_int64(each) for each in table["id"].to_pylist()])
    hashes = [None if text is None else hashlib.sha256(text.encode()).hexdigest() for text in texts]
    return replace(table, "sha256", hashes)


def sign(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the table with `signature` for live rows, and their bands (schema `BANDS`).

    The comment at the top does not count: under one long licence header, short files that have
    nothing else in common would be near duplicates.
    """
    texts, languages = live(table, "text", str), table["language"].to_pylist()
    rows = [row for row, text in enumerate(texts) if text is not None]
    codes = [
        without_header(text, language).encode()
        for text, language in zip(texts, languages, strict=True)
        if text is not None
    ]
    found = signatures(codes)
    column: list[bytes | None] = [None] * len(texts)
    for row, signature, is_present in zip(rows, found.compact, found.present, strict=True):
        column[row] = signature.tobytes() if is_present else None
    files = np.array(table["file"].to_pylist(), dtype=np.int64)[rows][found.present]
    bands = found.bands[found.present]
    columns = [pa.array(np.repeat(files, bands.shape[1])), pa.array(bands.reshape(-1))]
    return replace(table, "signature", column), pa.Table.from_arrays(columns, schema=BANDS)


def steps(rules: Rules) -> tuple[Step, ...]:
    """Return the stages that a recipe asks for in their order, cheap ones first."""
    allow = frozenset(rules.licence.allow) if rules.licence.enabled else None
    wanted = [
        ("decode", decode, True),
        ("licence", partial(check_licence, allow=allow), True),
        ("lines", partial(check_lines, limits=rules.lines), rules.lines.enabled),
        ("origin", check_origin, rules.origin.enabled),
        (
            "syntax",
            partial(
                check_syntax,
                limit_s=rules.parse_s,
                max_error_share=rules.syntax.max_error_share,
            ),
            rules.syntax.enabled,
        ),
        (
            "quality",
            partial(score_quality, min_score=rules.quality.min_score),
            rules.quality.enabled,
        ),
        ("redaction", redact_texts, rules.redaction.enabled),
        (
            "decontamination",
            partial(decontaminate, benchmarks=rules.benchmarks),
            bool(rules.benchmarks),
        ),
        ("hash", hash_texts, True),
    ]
    return tuple(Step(name, run) for name, run, is_wanted in wanted if is_wanted)
