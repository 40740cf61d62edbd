"""Why a suggestion that was recorded with its code gives no example."""

from __future__ import annotations

from enum import StrEnum


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
