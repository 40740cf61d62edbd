"""Users who let their code be recorded: events and content, as a session writes both."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fimble.content import ContentLater, ContentServed, to_content_record
from fimble.events import (
    AcceptKind,
    CacheHit,
    Envelope,
    Event,
    Kept,
    Outcome,
    Resolved,
    Retained,
    Served,
    SessionStarted,
    Source,
    Trigger,
    Undone,
)
from fimble.fim import Snippet
from tests.stand_ins.spool_writer import START_MS, lines_of, session
from tests.telemetry.conftest import Store

if TYPE_CHECKING:
    from fimble.content import Content

DIGEST = "0123456789abcdef"
PREFIX = "def add(a, b):\n    "
SUFFIX = "\n\n\nprint(add(1, 2))\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One suggestion, and what a user did with it."""

    name: str
    text: str = "return a + b"
    prefix: str = PREFIX
    suffix: str = SUFFIX
    outcome: Outcome | None = Outcome.ACCEPTED
    source: Source = Source.EDITOR
    visible_ms: float = 1500.0
    kept_rate: float | None = 1.0
    is_undone: bool = False
    cache: CacheHit = CacheHit.MISS
    sent_chars: tuple[int, int] | None = None
    """Of prefix and suffix; None means all."""
    looks: dict[int, str] = field(default_factory=dict)
    language: str = "python"
    path: str = ""
    snippets: tuple[Snippet, ...] = ()
    after_s: int = 0
    """When it was suggested, from the start of the session."""

    def events(self) -> list[Event]:
        """Return what is recorded of it."""
        prefix_chars, suffix_chars = self.sent_chars or (len(self.prefix), len(self.suffix))
        served = next(e for e in session(1, seed=1) if isinstance(e, Served))
        events: list[Event] = [
            replace(
                served,
                completion_id=self.name,
                opportunity_id=f"o-{self.name}",
                language="python",
                trigger=Trigger.AUTOMATIC,
                cache=self.cache,
                model_digest=DIGEST,
                prefix_chars=prefix_chars,
                suffix_chars=suffix_chars,
                num_chars=len(self.text),
            )
        ]
        is_taken = self.outcome is Outcome.ACCEPTED
        if self.outcome is not None:
            events.append(
                Resolved(
                    completion_id=self.name,
                    outcome=self.outcome,
                    source=self.source,
                    visible_ms=self.visible_ms,
                    accepted_chars=len(self.text) if is_taken else 0,
                    accepted_lines=0,
                    typed_chars=0,
                    accept_kind=AcceptKind.FULL if is_taken else AcceptKind.NONE,
                    num_accepts=int(is_taken),
                )
            )
        if self.is_undone:
            events.append(Undone(completion_id=self.name, undone_after_ms=900.0))
        if is_taken and self.kept_rate is not None:
            events.append(
                Retained(
                    completion_id=self.name,
                    horizon_s=600,
                    age_ms=600_000.0,
                    state=Kept.KEPT if self.kept_rate >= 0.5 else Kept.REMOVED,
                    kept_rate=self.kept_rate,
                    kept_chars=0,
                    kept_lines=0,
                )
            )
        return events

    def content(self) -> list[Content]:
        """Return the code that is recorded of it."""
        served = ContentServed(
            completion_id=self.name,
            language=self.language,
            model_digest=DIGEST,
            prefix=self.prefix,
            suffix=self.suffix,
            completion=self.text,
            path=self.path,
            snippets=self.snippets,
        )
        looks = [
            ContentLater(completion_id=self.name, after_s=after_s, text=text)
            for after_s, text in self.looks.items()
        ]
        return [served, *looks]


@dataclass
class Consenting:
    """A warehouse, and the store of content beside it."""

    store: Store
    content: Path

    def record(
        self, *cases: Case, user: str = "u1", session_id: str = "s1", level: str = "content"
    ) -> None:
        """Record a session."""
        start = next(e for e in session(1, seed=1) if isinstance(e, SessionStarted))
        started = replace(start, level=level, user_key=user)
        events = [started, *(event for case in cases for event in case.events())]
        self.store.put(f"{session_id}-0.jsonl", lines_of(events, session_id))
        lines: list[str] = []
        recorded = ((case.after_s, each) for case in cases for each in case.content())
        for seq, (after_s, content) in enumerate(recorded):
            at_ms = START_MS + after_s * 1000
            envelope = Envelope(
                session_id=session_id, seq=seq, ts_wall_ms=at_ms, ts_mono_ms=float(at_ms)
            )
            table: dict[str, Any] | None = to_content_record(content, envelope, days=30)
            if table is not None:
                lines.append(f"{json.dumps(table)}\n")
        (self.content / f"{session_id}-0.jsonl").write_text("".join(lines))


@pytest.fixture
def consenting(store: Store, tmp_path: Path) -> Consenting:
    content = tmp_path / "content 🙂"
    content.mkdir()
    return Consenting(store, content)
