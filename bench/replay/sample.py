"""What a replay notes, and how it is summed up."""

from __future__ import annotations

import json
import statistics
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_COUNTERS = {
    "begun": "tgi_request_count",
    "ended": "tgi_request_success",
    "prompt_tokens": "fimble_prompt_tokens_total",
    "read_tokens": "fimble_prefilled_tokens_total",
    "generated_tokens": "fimble_generated_tokens_total",
}


class Key(NamedTuple):
    """One edit, and what came onto the screen for it before the next one."""

    ghost_ms: float | None
    """From the edit to text behind the cursor; None if none came in time."""
    is_known: bool
    """Whether it was the rest of an earlier answer, which costs no engine anything."""
    is_right: bool
    """Whether the user wrote its first characters, `RIGHT_CHARS` of them."""
    is_line_start: bool
    """Whether it began a line, or came at another place than the edit before."""


class Made(NamedTuple):
    """What a new suggestion waited for, one after the other; times in milliseconds."""

    pause_ms: float
    """For the user's rhythm."""
    first_token_ms: float
    rest_ms: float
    """Until the text was complete."""


@dataclass(slots=True, kw_only=True)
class Work:
    """What an engine has done, and what it cost."""

    counts: dict[str, float] = field(default_factory=dict)
    cpu_s: float = 0.0
    """Of engine and editor's server together."""

    def since(self, earlier: Work) -> Work:
        """Return what was added."""
        counts = {name: value - earlier.counts[name] for name, value in self.counts.items()}
        return Work(counts=counts, cpu_s=self.cpu_s - earlier.cpu_s)

    def add(self, more: Work) -> None:
        """Add what another replay took."""
        for name, value in more.counts.items():
            self.counts[name] = self.counts.get(name, 0.0) + value
        self.cpu_s += more.cpu_s


@dataclass(slots=True, kw_only=True)
class Replayed:
    """All that one player has noted."""

    keys: list[Key] = field(default_factory=list)
    work: Work = field(default_factory=Work)
    made: list[Made] = field(default_factory=list)
    """As our server has recorded them, those too that came after the next edit."""

    def summary(self) -> dict[str, float]:
        """Return the figures of a report, times in milliseconds."""
        shown = [key.ghost_ms for key in self.keys if key.ghost_ms is not None]
        starts = [key for key in self.keys if key.is_line_start]
        started = [key.ghost_ms for key in starts if key.ghost_ms is not None]
        made = [key.ghost_ms for key in self.keys if key.ghost_ms is not None and not key.is_known]
        counts = self.work.counts
        begun = counts.get("begun", 0.0)
        return {
            "keys": len(self.keys),
            "with_ghost_text": len(shown),
            "p50_ms": _quantile(shown, 0.5),
            "p95_ms": _quantile(shown, 0.95),
            "with_right_ghost_text": sum(key.is_right for key in self.keys),
            "with_new_ghost_text": len(made),
            "new_p50_ms": _quantile(made, 0.5),
            "new_p95_ms": _quantile(made, 0.95),
            "pause_p50_ms": _quantile([each.pause_ms for each in self.made], 0.5),
            "first_token_p50_ms": _quantile([each.first_token_ms for each in self.made], 0.5),
            "rest_p50_ms": _quantile([each.rest_ms for each in self.made], 0.5),
            "line_starts": len(starts),
            "line_starts_with_ghost_text": len(started),
            "line_start_p50_ms": _quantile(started, 0.5),
            "generations": begun,
            "abandoned": begun - counts.get("ended", 0.0),
            "prompt_tokens": counts.get("prompt_tokens", 0.0),
            "read_tokens": counts.get("read_tokens", 0.0),
            "read_share": counts.get("read_tokens", 0.0) / max(1.0, counts.get("prompt_tokens", 0)),
            "generated_tokens": counts.get("generated_tokens", 0.0),
            "cpu_ms_per_key": 1000 * self.work.cpu_s / max(1, len(self.keys)),
        }


def work_so_far(state: Path, more_pids: Sequence[int] = ()) -> Work:
    """Return what the engine that keeps its state in a folder has done.

    Args:
        state: The state folder.
        more_pids: Processes whose time counts, too.
    """
    [path] = state.glob("engine-*.json")
    engine = json.loads(path.read_text(encoding="utf-8"))
    with urllib.request.urlopen(f"{engine['url']}/metrics") as answer:  # noqa: S310 - our own engine
        values = _values(answer.read().decode())
    times = [psutil.Process(pid).cpu_times() for pid in (int(engine["pid"]), *more_pids)]
    return Work(
        counts={name: values.get(metric, 0.0) for name, metric in _COUNTERS.items()},
        cpu_s=sum(each.user + each.system for each in times),
    )


def suggestions_made(state: Path) -> list[Made]:
    """Return what the new suggestions of a server that keeps its events in `state` waited for."""
    lines = [line for path in (state / "spool").glob("*.jsonl*") for line in path.open()]
    events = [json.loads(line) for line in lines]
    return [
        Made(
            each["debounce_ms"],
            each["first_token_ms"] - each["debounce_ms"],
            each["total_ms"] - each["first_token_ms"],
        )
        for each in events
        if each["ev"] == "served" and each["cache"] == "miss"
    ]


def _values(text: str) -> Mapping[str, float]:
    pairs = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {pair[0]: float(pair[1]) for pair in pairs if len(pair) == 2}


def _quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile; 0 without values."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]
