"""Our rules as steps of a datatrove pipeline; runs in an environment of its own.

datatrove brings reading, writing, exact and near duplicates; it has no rules for code, so both
sides of the comparison use ours.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.utils.word_tokenizers import WordTokenizer

from training.corpus import filters, licence
from training.corpus.headers import without_header
from training.corpus.parse import Parser
from training.corpus.recipe import Rules

if TYPE_CHECKING:
    from datatrove.data import Document

_WORD = re.compile(r"[A-Za-z0-9_\x80-\U0010ffff]+")
RULES = Rules()


class LicenceFilter(BaseFilter):
    """Keeps what may be trained on."""

    name = "licence"

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        """See `BaseFilter.filter`."""
        stated = licence.licence_of(doc.text, doc.metadata["licence"])
        doc.metadata["licence"] = stated
        allow = frozenset(RULES.licence.allow)
        return _verdict(licence.reason_to_drop(doc.text, stated, allow=allow))


class LinesFilter(BaseFilter):
    """Keeps texts whose lines look like code."""

    name = "lines"

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        """See `BaseFilter.filter`."""
        language = doc.metadata["language"]
        return _verdict(filters.reason_by_lines(doc.text, language, limits=RULES.lines))


class OriginFilter(BaseFilter):
    """Keeps texts that a person wrote."""

    name = "origin"

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        """See `BaseFilter.filter`."""
        return _verdict(filters.reason_by_origin(doc.text, doc.metadata["language"]))


class SyntaxFilter(BaseFilter):
    """Keeps texts that parse."""

    name = "syntax"

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        """See `BaseFilter.filter`."""
        language, reason = _parser().verdict(doc.metadata["language"], doc.text)
        doc.metadata["language"] = language
        return _verdict(reason)


class HeaderCutter(BaseFilter):
    """Keeps every text, without the comment at its top, which says little about likeness."""

    name = "header"

    def filter(self, doc: Document) -> bool:
        """See `BaseFilter.filter`."""
        doc.text = without_header(doc.text, doc.metadata["language"])
        return True


def _verdict(reason: str | None) -> bool | tuple[bool, str]:
    return True if reason is None else (False, reason)


@cache
def _parser() -> Parser:
    return Parser(RULES.parse_s)


class OurWords(WordTokenizer):
    """The words that our shingles are made of."""

    def word_tokenize(self, text: str) -> list[str]:
        """Return the words of a text."""
        return _WORD.findall(text)

    def sent_tokenize(self, text: str) -> list[str]:
        """Return the lines of a text; near duplicates need no sentences."""
        return text.split("\n")

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """Return the text as one span; near duplicates need no sentences."""
        return [(0, len(text))]


def text_of(doc: Document) -> str:
    """Return what exact duplicates have in common."""
    return doc.text
