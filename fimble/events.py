"""What an editor session records: the allow-list of events, written as one flat JSON object a line.

    session_started ─ one a session
    served ── shown ── resolved          one of each at most per completion
    session_ended ─ missing when the process was killed

Envelope: `v` schema version, `ev` kind, `session_id`, `seq` (gap-free per session, so that loss can
be counted), `ts_wall_ms` (Unix time, UTC), `ts_mono_ms` (orders events within a session).

No event holds code, paths, names of people or hosts: a field that is not listed here is not
written. Ratios are 0..1; sizes are in characters of the text with LF line ends.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

SCHEMA_VERSION = 1


class Outcome(StrEnum):
    """How a completion that was served ended."""

    ACCEPTED = "accepted"
    ACCEPTED_PART = "accepted_part"
    TYPED_THROUGH = "typed_through"
    """The user typed what was suggested, to its end."""
    REJECTED = "rejected"
    """Shown, then the user typed something else or dismissed it."""
    MOVED_AWAY = "moved_away"
    """Shown, then the cursor went elsewhere or the document was closed."""
    EXPIRED = "expired"
    """Shown, and nothing happened for so long that the outcome is unknown."""
    NOT_SHOWN = "not_shown"
    """Superseded before it could be seen."""


class Source(StrEnum):
    """Who says so."""

    EDITOR = "editor"
    INFERRED = "inferred"


class Trigger(StrEnum):
    """Why the editor asked."""

    AUTOMATIC = "automatic"
    INVOKED = "invoked"


class CacheHit(StrEnum):
    """Where the answer came from."""

    MISS = "miss"
    """A new generation."""
    STREAM = "stream"
    """The generation that was already running for this document."""
    CACHE = "cache"
    """An earlier answer for the same text."""
    TYPED = "typed"
    """The rest of the suggestion that is on screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted:
    """The editor has connected."""

    kind: ClassVar[str] = "session_started"
    editor: str
    editor_version: str
    server_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """The editor has disconnected."""

    kind: ClassVar[str] = "session_ended"
    num_events_dropped: int
    """Events that the outbox had to drop because the disk was slower than the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A completion with text went to the editor."""

    kind: ClassVar[str] = "served"
    completion_id: str
    language: str
    """Our name of the language; empty where we know none."""
    trigger: Trigger
    scope: str
    """`fimble.stops.Scope`."""
    cache: CacheHit
    model: str
    model_digest: str
    backend: str
    """`embedded` or `tgi`."""
    prefix_chars: int
    suffix_chars: int
    prompt_tokens: int
    """0 where we closed the stream before the engine told, which is the usual case."""
    cached_tokens: int
    """0 likewise."""
    generated_tokens: int
    num_chars: int
    num_lines: int
    mean_logprob: float
    stop_reason: str
    """`fimble.stops.StopReason`."""
    debounce_ms: float
    first_token_ms: float
    """From the request to the first token; 0 where no generation was needed."""
    total_ms: float
    """From the request to the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A completion was on screen."""

    kind: ClassVar[str] = "shown"
    completion_id: str
    source: Source
    shown_delay_ms: float
    """From the request to the screen, as far as the server can know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A completion came to its end."""

    kind: ClassVar[str] = "resolved"
    completion_id: str
    outcome: Outcome
    source: Source
    visible_ms: float
    """From shown to resolved; 0 where it was not shown."""
    accepted_chars: int
    accepted_lines: int
    typed_chars: int
    """Characters of the suggestion that the user typed by hand."""


Event = SessionStarted | SessionEnded | Served | Shown | Resolved
EVENT_KINDS: tuple[type[Event], ...] = (SessionStarted, SessionEnded, Served, Shown, Resolved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What every event carries."""

    session_id: str
    seq: int
    ts_wall_ms: int
    ts_mono_ms: float


def to_record(event: Event, envelope: Envelope) -> dict[str, object]:
    """Return the flat JSON object of one event."""
    return {
        "v": SCHEMA_VERSION,
        "ev": event.kind,
        **dataclasses.asdict(envelope),
        **dataclasses.asdict(event),
    }


def field_types(kind: type[Event | Envelope]) -> dict[str, str]:
    """Return name and type (`str`, `int`, `float`) of each field that `kind` writes."""
    plain = {"int": "int", "float": "float"}
    return {f.name: plain.get(str(f.type), "str") for f in dataclasses.fields(kind)}
