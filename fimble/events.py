"""What an editor session records: the allow-list of events, written as one flat JSON object a line.

    session_started ─ one a session
    opportunity ── a request that got nothing, and why
    exposed ── a request took part in an experiment; one for each experiment
    served ── shown ── resolved          one of each at most per completion
                          ├─ undone      the user took an accepted text back at once
                          └─ retained    what is left of it at each horizon
    typing ── every five minutes, one for each language
    session_ended ─ missing when the process was killed

A request is either an `opportunity` or `served`; both carry its `opportunity_id`. A request that is
answered with the rest of the suggestion on screen is neither: it goes on with that completion.

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

SCHEMA_VERSION = 3
READABLE_VERSIONS = (1, 2, 3)
"""Versions whose events can be read; a field that an older one has not is null."""


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


class NotServed(StrEnum):
    """Why a request that could have been answered got nothing."""

    FILTERED = "filtered"
    """The model suggested something that was held back; `detail` names the rule."""
    CANCELLED = "cancelled"
    """The user typed on, or the editor withdrew the request, before there was an answer."""
    ERROR = "error"
    """The engine or the request failed; `detail` names the kind of error."""
    EMPTY = "empty"
    """The model suggests nothing here."""
    OFF = "off"
    """Completions are off for this document; `detail` says why."""


class AcceptKind(StrEnum):
    """How much one accepting step took."""

    NONE = "none"
    CHARS = "chars"
    WORD = "word"
    LINE = "line"
    FULL = "full"


class Kept(StrEnum):
    """What became of an accepted text."""

    KEPT = "kept"
    """At least half of it still stands."""
    REMOVED = "removed"
    UNDONE = "undone"
    """The user took it back within five seconds."""
    UNKNOWN = "unknown"
    """The document was closed before the horizon."""


class Unit(StrEnum):
    """What an experiment assigns to its arms."""

    USER = "user"
    USER_DAY = "user_day"
    REQUEST = "request"


HORIZONS_S = (30, 120, 300, 600)
"""When the text that was accepted is looked at again."""
SESSION_END_S = 0
"""The horizon of the last look: the document is closed, or the session ends."""
KEPT_MIN_RATE = 0.5
"""A text of which less is left counts as removed. Source: Copilot's "still in code" check."""
UNDO_MS = 5000
"""A text that is taken back within so long was undone."""
TYPING_PERIOD_MS = 300_000
"""How often the counters of typing are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted:
    """The editor has connected."""

    kind: ClassVar[str] = "session_started"
    editor: str
    editor_version: str
    plugin_version: str
    """Of our plugin in the editor; empty where the editor speaks with the server by itself."""
    server_version: str
    level: str
    """`fimble.settings.TelemetryLevel`."""
    user_key: str
    """Keyed hash of the user (`fimble.identity`); empty at level `metrics`."""
    key_epoch: int
    """Number of the key that `user_key` was made with; 0 where there is none."""
    team: str
    """As configured; empty at level `metrics`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """The editor has disconnected."""

    kind: ClassVar[str] = "session_ended"
    num_events_dropped: int
    """Events that the outbox had to drop because the disk was slower than the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opportunity:
    """A request that got nothing."""

    kind: ClassVar[str] = "opportunity"
    opportunity_id: str
    language: str
    """Our name of the language; empty where we know none."""
    trigger: Trigger
    reason: NotServed
    detail: str
    """A word of ours: the rule that held back, the kind of error, why it is off."""
    model: str
    model_digest: str
    backend: str
    """`embedded`, `tgi` or `openai`: what answered."""
    total_ms: float
    """From the request to its end."""
    filter_digest: str = ""
    """Of the filter that was asked (`fimble.show_filter`); empty where none was."""
    filter_score: float = 0.0
    """What it said: how likely the suggestion is accepted and kept, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """A request took part in an experiment."""

    kind: ClassVar[str] = "exposed"
    opportunity_id: str
    experiment: str
    arm: str
    unit: Unit
    bucket: int
    """Where the unit's keyed hash falls, 0 to 9999."""
    is_eligible: bool
    """Whether it counts: assigned by the hash, not forced or held out."""
    flag_reason: str
    """Why it got this arm, as OpenFeature calls it: `SPLIT`, `DEFAULT`, `DISABLED`."""
    propensity: float
    """Probability of this arm when it was drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A completion with text went to the editor."""

    kind: ClassVar[str] = "served"
    completion_id: str
    opportunity_id: str
    language: str
    """Our name of the language; empty where we know none."""
    trigger: Trigger
    scope: str
    """`fimble.stops.Scope`."""
    cache: CacheHit
    model: str
    model_digest: str
    backend: str
    """`embedded`, `tgi` or `openai`: what answered."""
    prefix_chars: int
    suffix_chars: int
    prompt_tokens: int
    """0 where we closed the stream before the engine told, which is the usual case."""
    cached_tokens: int
    """0 likewise."""
    num_snippets: int = 0
    """Pieces of code of other files in the prompt; 0 where no generation was needed."""
    snippet_bytes: int = 0
    """Their size."""
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
    head_chars: int = 0
    """Characters of the line before the cursor, without indentation."""
    behind_chars: int = 0
    """Characters of the line behind the cursor, without blanks at its ends."""
    is_in_word: bool = False
    """Whether the cursor stands behind a letter, digit or underscore."""
    since_taken_ms: float = -1.0
    """Since a suggestion was accepted in this session; -1 where none was."""
    since_rejected_ms: float = -1.0
    """The same of the last one that was rejected."""
    filter_digest: str = ""
    """Of the filter that was asked (`fimble.show_filter`); empty where none was."""
    filter_score: float = 0.0
    """What it said: how likely the suggestion is accepted and kept, 0 to 1."""
    filter_propensity: float = 1.0
    """How likely it was to be shown: below 1 where the filter would have hidden it."""


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
    accept_kind: AcceptKind
    """The largest accepting step."""
    num_accepts: int
    """Accepting steps; more than one where it was taken in parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """An accepted text was taken back within `UNDO_MS`."""

    kind: ClassVar[str] = "undone"
    completion_id: str
    undone_after_ms: float
    """From the acceptance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """What is left of an accepted text, found by aligning it with the document."""

    kind: ClassVar[str] = "retained"
    completion_id: str
    horizon_s: int
    """One of `HORIZONS_S`, or `SESSION_END_S`."""
    age_ms: float
    """From the acceptance to the look."""
    state: Kept
    kept_rate: float
    """1 - Levenshtein distance / length of the text; 0 where it is unknown."""
    kept_chars: int
    kept_lines: int
    """Accepted lines that stand as they were, blank ones left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Typing:
    """How text came into documents of one language since the last such event."""

    kind: ClassVar[str] = "typing"
    language: str
    period_ms: float
    active_ms: float
    """Time with edits: pauses of up to a minute are part of it."""
    inserted_chars: int
    """Typed by hand, what completions suggested included."""
    completed_chars: int
    """Accepted from completions."""
    deleted_chars: int
    pasted_chars: int
    """Came in one edit, and from no completion of ours."""


Event = (SessionStarted | SessionEnded | Opportunity | Exposed | Served) | (
    Shown | Resolved | Undone | Retained | Typing
)
EVENT_KINDS: tuple[type[Event], ...] = (
    SessionStarted,
    SessionEnded,
    Opportunity,
    Exposed,
    Served,
    Shown,
    Resolved,
    Undone,
    Retained,
    Typing,
)
_OF_FILTERS = frozenset({"filter_digest", "filter_score"})
_OF_PLACES = frozenset({"head_chars", "behind_chars", "is_in_word"})
_OF_PASTS = frozenset({"since_taken_ms", "since_rejected_ms", "filter_propensity"})
_OF_USERS = frozenset({"plugin_version", "level", "user_key", "key_epoch", "team"})
NEW_IN_VERSIONS: dict[int, dict[str, frozenset[str]]] = {
    2: {
        SessionStarted.kind: _OF_USERS,
        Served.kind: frozenset({"opportunity_id", "num_snippets", "snippet_bytes"}),
        Resolved.kind: frozenset({"accept_kind", "num_accepts"}),
    },
    3: {Opportunity.kind: _OF_FILTERS, Served.kind: _OF_PLACES | _OF_PASTS | _OF_FILTERS},
}
"""Fields that events of the versions before do not have; kinds that were new are not listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What every event carries."""

    session_id: str
    seq: int
    ts_wall_ms: int
    ts_mono_ms: float


_FIELDS: dict[type[Event], tuple[str, ...]] = {
    kind: tuple(field.name for field in dataclasses.fields(kind)) for kind in EVENT_KINDS
}


def to_record(event: Event, envelope: Envelope) -> dict[str, object]:
    """Return the flat JSON object of one event."""
    fields = {name: getattr(event, name) for name in _FIELDS[type(event)]}
    return {"v": SCHEMA_VERSION, "ev": event.kind, **dataclasses.asdict(envelope), **fields}


def field_types(kind: type[Event | Envelope]) -> dict[str, str]:
    """Return name and type (`str`, `int`, `float`, `bool`) of each field that `kind` writes."""
    plain = {"int": "int", "float": "float", "bool": "bool"}
    return {f.name: plain.get(str(f.type), "str") for f in dataclasses.fields(kind)}
