"""Whether text comes back as it was: texts that have broken tokenizers before."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from fimble.fim import FORMATS, SPECIAL_TOKENS
from training.vocabulary.tokens import special_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Probe(NamedTuple):
    """A text that has to come back."""

    name: str
    text: str


def probes() -> tuple[Probe, ...]:
    """Return the texts, in the order of the report."""
    spelled = {sentinel for family in FORMATS.values() for sentinel in family.sentinels()}
    return (
        Probe("emoji", "x = '👩‍👩‍👧 🏳️‍🌈 🙂'  # ok\n"),
        Probe("CRLF", "if a:\r\n    b()\r\n\r\n"),
        Probe("lone CR", "one\rtwo\r\rthree"),
        Probe("indentation", "\tif a:\n\t    b\n" + 41 * " " + "c" + 9 * "\t" + "d  \n \n\n\n"),
        Probe("leading blank", " a"),
        Probe("empty", ""),
        Probe("control characters", "".join(map(chr, range(32))) + "\x7f\x80\x9f"),
        Probe("byte order mark", "\ufeffimport os\n"),
        Probe("replacement characters", "a\ufffd\ufffdb \ufffe \uffff"),
        Probe("mojibake", "Ã©Ã¨ â€œnaÃ¯veâ€\x9d"),
        Probe("escapes", r"'\xff\xfe' \u0000 \ud83d &#0; %FF%C0%80"),
        Probe("odd blanks", "a\u00a0b\u3000c\u2028d\u2029e\u200bf\u0085g"),
        Probe("decomposed letters", unicodedata.normalize("NFD", "éüñ가") + " \u212b \u2126"),
        Probe("right to left", "# שלום \u202eעולם\u202c مرحبا"),
        Probe("all scripts", "漢字 かな 한국어 ελληνικά кирилица देवनागरी ไทย 𝔘𝔫𝔦 \U0010fffd"),
        Probe("spelled sentinels", " ".join(sorted(spelled | set(SPECIAL_TOKENS)))),
    )


class RoundTrip(NamedTuple):
    """What became of one text."""

    probe: str
    restored: bool
    """Whether decoding gave the text back, character for character."""
    stayed_text: bool
    """Whether no part of it became a special token."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing went wrong."""
        return self.restored and self.stayed_text


def round_trips(tokenizer: Tokenizer) -> list[RoundTrip]:
    """Return what becomes of each probe, and of the tokenizer's own special tokens when spelled."""
    special = special_ids(tokenizer)
    own = " ".join(filter(None, (tokenizer.id_to_token(index) for index in sorted(special))))
    return [
        _round_trip(tokenizer, probe, special)
        for probe in (*probes(), Probe("its own special tokens", own))
    ]


def _round_trip(tokenizer: Tokenizer, probe: Probe, special: set[int]) -> RoundTrip:
    ids = tokenizer.encode(probe.text, add_special_tokens=False).ids
    back = tokenizer.decode(ids, skip_special_tokens=False)
    return RoundTrip(probe.name, back == probe.text, special.isdisjoint(ids))
