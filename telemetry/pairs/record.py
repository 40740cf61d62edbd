"""What an example for preference tuning holds: one definition for files, tests and documentation.

A pair has `prompt`, `chosen` and `rejected`; a label has `prompt`, `completion` and `label`. Those
are the columns that trl's `DPOTrainer` and `KTOTrainer` take; all others say where it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

FORMAT_VERSION = 1


class Left(StrEnum):
    """Why a suggestion gives no example."""

    NO_EVENTS = "no_events"
    """Nothing was recorded of what became of it, or not at level `content`, or it is forgotten."""
    NO_PSEUDONYM = "no_pseudonym"
    """Nothing says whose it is, so it could not be held out with its user."""
    EXPIRED = "expired"
    SECRET = "secret"  # noqa: S105 - a reason, not a password
    SENTINEL = "sentinel"
    """The code spells a sentinel of the prompt's format."""
    NOT_SEEN = "not_seen"
    """Not on screen, or not for long enough to be read."""
    TYPED_THROUGH = "typed_through"
    """Typed by hand as suggested: whether it was of use is not known."""
    NO_VERDICT = "no_verdict"
    """The cursor went elsewhere, or no end was recorded."""
    IN_PART = "in_part"
    """Accepted in part: the rest was neither wanted nor refused."""
    NOT_LOOKED_AT = "not_looked_at"
    """Accepted, and the document was closed before anybody looked again."""
    NOTHING_ELSE = "nothing_else"
    """Nothing else stands at its place, as far as it was looked at."""
    SAME_BUT_BLANKS = "same_but_blanks"
    """What stands there differs from it in blanks only."""
    UNFINISHED = "unfinished"
    """What stands there instead does not show where it ends."""
    CONTRADICTED = "contradicted"
    """The same text for the same prompt was wanted once, and refused once."""
    DUPLICATE = "duplicate"
    OVER_CAP = "over_cap"
    """Its user has given enough."""


class Why(StrEnum):
    """What made an example."""

    REWRITTEN = "rewritten"
    """Accepted, then changed."""
    WRITTEN_INSTEAD = "written_instead"
    """Rejected, and something else was written there."""
    KEPT = "kept"
    """Accepted, and half of it or more stands."""
    REMOVED = "removed"
    """Accepted, and less than half of it stands."""
    UNDONE = "undone"
    """Accepted, and taken back within seconds."""
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an example comes from; in every record."""

    weight: float
    """How sure it is, above 0 and up to 1."""
    why: Why
    prefix: str
    """The prompt's text before the cursor, for other layouts than that of `prompt`."""
    suffix: str
    """The prompt's text behind the cursor."""
    is_prompt_as_sent: bool
    """Whether both are what the engine got; else they were cut anew from what was recorded."""
    language: str
    """Our name of it; empty where we know none."""
    outcome: str
    """`fimble.events.Outcome`."""
    outcome_source: str
    """`fimble.events.Source`."""
    visible_ms: float
    kept_rate: float | None
    """Share of an accepted text that stands at the last look; null where nobody looked."""
    after_s: int | None
    """When the text was looked at that the example relies on; null where it relies on none."""
    model: str
    model_digest: str
    completion_id: str
    user_key: str
    day: str
    """Of the request, UTC."""
    expires_ms: int
    """The user's consent for this content ends here, Unix ms."""
    content_version: int
    """`fimble.content.CONTENT_VERSION` of what was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two texts for one prompt, of which the user preferred one."""

    prompt: str
    chosen: str
    rejected: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A text for a prompt, wanted or not."""

    prompt: str
    completion: str
    label: bool
    origin: Origin


Example = Pair | Label


def to_table(example: Example) -> dict[str, object]:
    """Return the flat JSON object of an example."""
    own = {each.name: getattr(example, each.name) for each in fields(example)}
    origin = own.pop("origin")
    return own | {each.name: getattr(origin, each.name) for each in fields(origin)}
