"""Which part of a document goes into the prompt.

The window is anchored, so that prompts of neighbouring cursor places share a long prefix and the
engine's key-value cache stays valid: the start of the prefix moves in steps of lines, not with
every line. Training, serving and evaluation cut their windows here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fimble.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


SNIPPET_BYTES = 1536
"""Code of other files in a prompt, with its paths, unless a caller says otherwise: together with
the usual window and 64 new tokens it fits 2,048 tokens of our vocabulary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowBudget:
    """How much text around the cursor a prompt may hold."""

    prefix_bytes: int = 3072
    """Bytes of text before the cursor, at least 64."""
    suffix_bytes: int = 1024
    """Bytes of text behind the cursor, at least 0."""
    step_lines: int = 64
    """The start of the prefix is a multiple of this, where lines are short enough for that."""

    def __post_init__(self) -> None:
        if self.prefix_bytes < 64 or self.suffix_bytes < 0 or self.step_lines < 1:
            raise ConfigError(
                f"window budget is {self}; prefix_bytes must be 64 or more, suffix_bytes 0 or "
                "more, step_lines 1 or more"
            )

    def scaled(self, factor: float) -> WindowBudget:
        """Return the budget with both sizes times `factor`, for text that is dear in tokens."""
        return WindowBudget(
            prefix_bytes=max(64, int(self.prefix_bytes * factor)),
            suffix_bytes=int(self.suffix_bytes * factor),
            step_lines=self.step_lines,
        )


class Window(NamedTuple):
    """The text of a prompt around the cursor."""

    prefix: str
    suffix: str


def window(prefix: str, suffix: str, budget: WindowBudget) -> Window:
    """Cut the text before and behind the cursor to `budget`.

    Args:
        prefix: Everything before the cursor, from the document's first character, LF only.
        suffix: Everything behind the cursor, LF only.
        budget: The limits.
    """
    return Window(_anchored_tail(prefix, budget), _whole_lines(suffix, budget.suffix_bytes))


def _anchored_tail(prefix: str, budget: WindowBudget) -> str:
    """Return the end of `prefix` from an anchor on, the coarsest that leaves half of the budget.

    Anchors are lines; where a single line takes most of the budget, they are columns of that line.
    Work is bounded by the budget, but for counting the lines above.
    """
    limit = budget.prefix_bytes
    tail = _end_within(prefix, limit)
    if len(tail) == len(prefix):
        return prefix
    earliest = len(prefix) - len(tail)
    starts = _line_starts(prefix, earliest)

    def leaves_enough(start: int) -> bool:
        return _num_bytes(prefix[start:]) * 2 >= limit

    if starts and leaves_enough(starts[0]):
        above = prefix.count("\n", 0, starts[0])
        for number in _multiples_from(above, budget.step_lines):
            if number - above < len(starts) and leaves_enough(starts[number - above]):
                return prefix[starts[number - above] :]
    line_start = prefix.rfind("\n", 0, earliest) + 1
    for column in _multiples_from(earliest - line_start, limit // 2):
        if leaves_enough(line_start + column):
            return prefix[line_start + column :]
    return tail


def _line_starts(prefix: str, earliest: int) -> list[int]:
    """Return the index of each line of `prefix` that starts at `earliest` or later."""
    starts: list[int] = []
    end = prefix.find("\n", max(0, earliest - 1))
    while end >= 0:
        starts.append(end + 1)
        end = prefix.find("\n", end + 1)
    return starts


def _multiples_from(first: int, step: int) -> Iterator[int]:
    """Yield the first multiple of `step`, then of its half and so on, that is `first` or more."""
    while step:
        yield -(-first // step) * step
        step //= 2


def _num_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _end_within(text: str, limit_bytes: int) -> str:
    """Return the longest end of `text`, in whole characters, of at most `limit_bytes`."""
    tail = text[-limit_bytes:]  # a character has at least one byte
    data = tail.encode("utf-8", "surrogatepass")
    start = max(0, len(data) - limit_bytes)
    while start < len(data) and _is_inside_character(data[start]):
        start += 1
    return data[start:].decode("utf-8", "surrogatepass")


def _whole_lines(suffix: str, limit_bytes: int) -> str:
    """Return the start of `suffix`, in whole lines where its first line fits."""
    data = suffix[: limit_bytes + 1].encode("utf-8", "surrogatepass")
    if len(data) <= limit_bytes:
        return suffix
    end = limit_bytes
    while _is_inside_character(data[end]):
        end -= 1
    head = data[:end].decode("utf-8", "surrogatepass")
    cut = head.rfind("\n")
    return head[: cut + 1] if cut >= 0 else head


def _is_inside_character(byte: int) -> bool:
    """Return whether a byte of UTF-8 continues a character."""
    return byte & 0xC0 == 0x80
