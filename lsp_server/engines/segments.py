r"""Prompts on the wire: text that is never parsed, and special tokens named by their text.

Our own server takes `inputs` as a list of segments next to TGI's one string. In JSON a text is a
string and a special token is an object:

    ["src/a.py\n", {"special": NAME OF A SENTINEL}, "    return x\n"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fimble.fim import Mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fimble.fim import FimFormat, Part


class Special(NamedTuple):
    """One special token."""

    text: str
    """As the vocabulary spells it."""


Segment = str | Special


def segments_of(parts: Sequence[Part], fim_format: FimFormat) -> tuple[Segment, ...]:
    """Return a prompt with its marks as special tokens; marks the family lacks are left out."""
    named = (
        Special(fim_format.sentinel(part)) if isinstance(part, Mark) else part for part in parts
    )
    return tuple(segment for segment in named if segment not in ("", Special("")))


def to_json(segments: Sequence[Segment]) -> list[object]:
    """Return segments as JSON holds them."""
    return [{"special": s.text} if isinstance(s, Special) else s for s in segments]


def from_json(items: Sequence[object]) -> tuple[Segment, ...]:
    """Return the segments that a JSON list holds.

    Raises:
        ValueError: An item is neither a string nor `{"special": string}`.
    """
    return tuple(_segment(item, position) for position, item in enumerate(items))


def _segment(item: object, position: int) -> Segment:
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and set(item) == {"special"} and isinstance(item["special"], str):
        return Special(item["special"])
    raise ValueError(
        f"inputs[{position}] is neither a string nor an object with one key `special` that holds a "
        "string"
    )
