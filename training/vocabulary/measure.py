"""What a vocabulary costs, by language, on text it was not trained on."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tokenizers import Encoding

    from training.vocabulary.sample import CorpusText

_INDENTATION = re.compile(r"^[ \t]+(?=[^\s])", re.MULTILINE)


class Fit(NamedTuple):
    """How a vocabulary fits one language."""

    language: str
    num_files: int
    num_restored: int
    """Files that decoding gives back, character for character."""
    num_bytes: int
    num_tokens: int
    num_lines: int
    num_indents: int
    """Lines that start with blanks or tabs."""
    num_indent_tokens: int
    """Tokens that end within the blanks at the start of a line."""
    num_cheap_indents: int
    """Lines whose blanks take one such token or none."""

    @property
    def bytes_per_token(self) -> float:
        """Bytes that one token stands for; higher is cheaper."""
        return self.num_bytes / max(1, self.num_tokens)

    @property
    def tokens_per_line(self) -> float:
        """Tokens that one line costs; lower is cheaper."""
        return self.num_tokens / max(1, self.num_lines)

    @property
    def tokens_per_indent(self) -> float:
        """Tokens that the blanks at the start of a line cost."""
        return self.num_indent_tokens / max(1, self.num_indents)

    @property
    def cheap_indent_rate(self) -> float:
        """Share of the lines whose blanks cost one token or none, 0 to 1."""
        return self.num_cheap_indents / max(1, self.num_indents)

    @property
    def restored_rate(self) -> float:
        """Share of the files that come back as they were, 0 to 1."""
        return self.num_restored / max(1, self.num_files)


class Indents(NamedTuple):
    """The blanks at the starts of the lines of a text."""

    starts: np.ndarray
    ends: np.ndarray


@dataclass(slots=True)
class Tally:
    """What was counted of one tokenizer."""

    tokenizer: Tokenizer
    counts: np.ndarray = field(init=False)
    """How often each id came."""
    seconds: float = 0.0
    """Time that encoding took, one file at a time."""
    num_bytes: int = 0
    by_language: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def __post_init__(self) -> None:
        self.counts = np.zeros(num_ids(self.tokenizer), dtype=np.int64)

    def add(self, text: CorpusText, indents: Indents, clock_s: Callable[[], float]) -> None:
        """Count one file.

        Args:
            text: The file.
            indents: Its own.
            clock_s: Seconds from any start.
        """
        before_s = clock_s()
        encoding = self.tokenizer.encode(text.text, add_special_tokens=False)
        self.seconds += clock_s() - before_s
        ids = encoding.ids
        self.counts += count_ids(encoding, len(self.counts))
        self.num_bytes += text.num_bytes
        on_indents = _tokens_on(encoding, indents)
        self.by_language[text.language].update(
            num_files=1,
            num_restored=self.tokenizer.decode(ids, skip_special_tokens=False) == text.text,
            num_bytes=text.num_bytes,
            num_tokens=len(ids),
            num_lines=num_lines(text.text),
            num_indents=len(on_indents),
            num_indent_tokens=int(on_indents.sum()),
            num_cheap_indents=int((on_indents <= 1).sum()),
        )

    def fits(self) -> list[Fit]:
        """Return the fit to each language, in order of their names."""
        return [
            Fit(language=language, **counts)
            for language, counts in sorted(self.by_language.items())
        ]

    @property
    def megabytes_per_s(self) -> float:
        """How fast text was encoded, on one thread."""
        return self.num_bytes / 1e6 / self.seconds if self.seconds else 0.0


def tally(
    tokenizers: Iterable[Tokenizer],
    texts: Iterable[CorpusText],
    clock_s: Callable[[], float],
) -> list[Tally]:
    """Return the counts of each tokenizer; all see a text before any sees the next.

    So whatever else slows the machine down for a while slows all of them, and their speeds can be
    compared.

    Args:
        tokenizers: Any; they read special tokens in a text as text.
        texts: Files, each of them once.
        clock_s: Seconds from any start.
    """
    tallies = [Tally(tokenizer) for tokenizer in tokenizers]
    for text in texts:
        indents = indents_of(text.text)
        for each in tallies:
            each.add(text, indents, clock_s)
    return tallies


def count_ids(encoding: Encoding, num_ids: int) -> np.ndarray:
    """Return how often each id comes in an encoded text."""
    return np.bincount(np.asarray(encoding.ids, dtype=np.int64), minlength=num_ids)


def num_ids(tokenizer: Tokenizer) -> int:
    """Return one more than the greatest id; ids may have gaps."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0) + 1


def indents_of(text: str) -> Indents:
    """Return where the blanks at the starts of lines begin and end, empty lines left out."""
    spans = [match.span() for match in _INDENTATION.finditer(text)]
    places = np.asarray(spans, dtype=np.int64).reshape(-1, 2)
    return Indents(places[:, 0], places[:, 1])


def num_lines(text: str) -> int:
    """Return the lines of a text; the last one need not end."""
    return text.count("\n") + bool(text and not text.endswith("\n"))


def _tokens_on(encoding: Encoding, indents: Indents) -> np.ndarray:
    """Return how many tokens end within each indentation.

    A token that goes on into the code is not its cost, and one that starts with the line end before
    it is.
    """
    ends = np.asarray([end for _, end in encoding.offsets], dtype=np.int64)
    first = np.searchsorted(ends, indents.starts, side="right")
    return np.searchsorted(ends, indents.ends, side="right") - first
