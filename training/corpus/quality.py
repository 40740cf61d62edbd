"""A score from cheap labels: what a reader sees at a glance in code that was written with care.

Each label holds or does not hold; the score of a file is the share that holds, so it can be
explained file by file and is the same on every machine. It does not say whether code is right. A
use of it is what one trains on last (the decay): build a second corpus with a `min_score`.

Source: cheap labels in place of a teacher's, as Allal et al. 2023 (SantaCoder), section 4.2.1, do
with stars and the ratio of comments, https://arxiv.org/abs/2301.03988
"""

from __future__ import annotations

import re
import zlib
from statistics import median, quantiles
from typing import TYPE_CHECKING, NamedTuple

from training.corpus.content import comment_share

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORD = re.compile(r"[^\W\d]\w*")
_DEFINITION = re.compile(r"^[ \t]*(?:async )?def [^\n]*", re.MULTILINE)
_TYPED = re.compile(r"->|\w: ?\w")
_DOCSTRING = re.compile(r':\n[ \t]*[rR]?(?:"""|\'\'\')')
_ASIDE = frozenset({
    "test", "tests", "testing", "spec", "specs", "__tests__", "fixtures", "testdata", "example",
    "examples", "sample", "samples", "demo", "demos", "benchmark", "benchmarks", "migrations",
})  # fmt: skip
_ASIDE_NAME = re.compile(r"(?:^test_|[._-](?:test|tests|spec)\.|_test\.|Tests?\.\w+$)")
_SMALLEST_SAMPLE = 20


class Labels(NamedTuple):
    """What holds of one file; None where the label means nothing."""

    documented: bool
    """Two to forty percent of its characters are comments or, of Python, it has docstrings."""
    named: bool | None
    """Half of its words have four letters or more, fewer than a quarter has one."""
    narrow: bool
    """Nineteen of twenty lines have 100 characters or fewer."""
    shallow: bool
    """Nineteen of twenty lines are indented by 24 columns or fewer."""
    sized: bool
    """It has 20 to 1,000 lines."""
    varied: bool
    """It compresses to a sixth or more of its size: neither copied nor generated."""
    typed: bool | None
    """Of Python: half of its definitions have annotations."""
    central: bool
    """Its path is not that of a test, an example, a benchmark or a migration."""


def score(text: str, language: str, path: str) -> float:
    """Return the share of the labels that hold, 0 to 1, in steps of one label.

    Args:
        text: The file, LF only, not empty.
        language: Our name of it.
        path: Within its project.
    """
    held = [label for label in labels(text, language, path) if label is not None]
    return sum(held) / len(held)


def labels(text: str, language: str, path: str) -> Labels:
    """Return what holds of a file; arguments as those of `score`."""
    lines = [line for line in text.split("\n") if line.strip()]
    data = text.encode()
    return Labels(
        documented=_is_documented(text, language),
        named=_is_named(text),
        narrow=_most(map(len, lines), 100),
        shallow=_most((len(line) - len(line.lstrip()) for line in _expanded(lines)), 24),
        sized=20 <= len(lines) <= 1000,
        varied=len(zlib.compress(data, 1)) * 6 >= len(data),
        typed=_is_typed(text) if language == "python" else None,
        central=not _is_aside(path),
    )


def _is_documented(text: str, language: str) -> bool:
    if language == "python" and _DOCSTRING.search(text):
        return True
    return 0.02 <= comment_share(text, language) <= 0.4


def _is_named(text: str) -> bool | None:
    sizes = [len(word) for word in _WORD.findall(text)]
    if len(sizes) < _SMALLEST_SAMPLE:
        return None
    return median(sizes) >= 4 and sizes.count(1) * 4 < len(sizes)


def _is_typed(text: str) -> bool | None:
    definitions = _DEFINITION.findall(text)
    if not definitions:
        return None
    return sum(_TYPED.search(line) is not None for line in definitions) * 2 >= len(definitions)


def _is_aside(path: str) -> bool:
    *folders, name = path.split("/")
    return bool(_ASIDE & {folder.lower() for folder in folders}) or bool(_ASIDE_NAME.search(name))


def _expanded(lines: Iterable[str]) -> Iterable[str]:
    return (line.expandtabs(4) if line.startswith("\t") else line for line in lines)


def _most(sizes: Iterable[int], limit: int) -> bool:
    """Return whether nineteen of twenty sizes are within a limit."""
    found = [*sizes]
    return (max(found, default=0) if len(found) < 2 else quantiles(found, n=20)[-1]) <= limit
