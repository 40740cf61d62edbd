"""Which part of a document goes into the prompt.

The window is anchored, so that prompts of neighbouring cursor places share a long prefix and the
engine's key-value cache stays valid: the start of the prefix moves in steps of lines, not with
every line. Training, serving and evaluation cut their windows here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fimble.errors import ConfigError


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
    """Return the end of `prefix`, starting at the first allowed anchor line.

    Steps are halved until at least half of the budget is used: 64 long lines may exceed it.
    """
    if len(prefix) * 4 <= budget.prefix_bytes or len(prefix.encode()) <= budget.prefix_bytes:
        return prefix
    lines = prefix.split("\n")
    first = _first_line_within(lines, budget.prefix_bytes)
    if first == len(lines):
        return _anchored_end_of_line(lines[-1], budget.prefix_bytes)
    tail = ""
    step = budget.step_lines
    while step:
        start = -(-first // step) * step
        tail = "\n".join(lines[start:])
        if start < len(lines) and len(tail.encode()) * 2 >= budget.prefix_bytes:
            break
        step //= 2
    return tail or "\n".join(lines[first:])


def _first_line_within(lines: list[str], limit_bytes: int) -> int:
    """Return the first line from which on the text has at most `limit_bytes`."""
    total = -1
    for number in range(len(lines) - 1, -1, -1):
        total += len(lines[number].encode()) + 1
        if total > limit_bytes:
            return number + 1
    return 0


def _anchored_end_of_line(line: str, limit_bytes: int) -> str:
    """Return the end of one overlong line, cut at a multiple of half the budget."""
    step = max(1, limit_bytes // 2)
    data = line.encode()
    start = -(-(len(data) - limit_bytes) // step) * step
    return data[start:].decode(errors="ignore")


def _whole_lines(suffix: str, limit_bytes: int) -> str:
    """Return the start of `suffix`, in whole lines where its first line fits."""
    data = suffix[: limit_bytes + 1].encode()  # a character has at least one byte
    if len(data) <= limit_bytes:
        return suffix
    head = data[:limit_bytes].decode(errors="ignore")
    cut = head.rfind("\n")
    return head[: cut + 1] if cut >= 0 else head
