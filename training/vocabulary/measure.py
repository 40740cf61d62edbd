"""What a vocabulary costs, by language: bytes per token on text it was not trained on."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenizers import Tokenizer


class Fit(NamedTuple):
    """How a vocabulary fits one language."""

    language: str
    num_bytes: int
    num_tokens: int
    num_lines: int

    @property
    def bytes_per_token(self) -> float:
        """Bytes that one token stands for; higher is cheaper."""
        return self.num_bytes / self.num_tokens

    @property
    def tokens_per_line(self) -> float:
        """Tokens that one line costs; lower is cheaper."""
        return self.num_tokens / max(1, self.num_lines)


def fit_by_language(tokenizer: Tokenizer, texts: Iterable[tuple[str, str]]) -> list[Fit]:
    """Return the fit of a vocabulary to each language, in order of their names.

    Args:
        tokenizer: Any tokenizer.
        texts: Language and text of each document.

    Raises:
        ValueError: A text does not survive encoding and decoding.
    """
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for language, text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if tokenizer.decode(ids, skip_special_tokens=False) != text:
            raise ValueError(f"a {language} text of {len(text)} characters is not restored")
        total = totals[language]
        total[0] += len(text.encode())
        total[1] += len(ids)
        total[2] += text.count("\n")
    return [Fit(language, *total) for language, total in sorted(totals.items())]
