"""What was written instead of a suggestion, as later suggestions of the session saw it.

A recorded place takes up the first edit that is made there; who types by hand makes many. But the
text before a later cursor is recorded, too: where it holds the code that stood before the first
one, what follows is what was written since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fimble.content import LATER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry.pairs.store import Suggestion

ANCHOR_CHARS = 200
MIN_ANCHOR_CHARS = 40
"""Characters other than blanks by which a place is found again; fewer may be anywhere."""


def written_since(suggestion: Suggestion, session: Sequence[Suggestion]) -> dict[int, str]:
    """Return what stands between a suggestion's place and the last cursor that is known of.

    Args:
        suggestion: The suggestion.
        session: Everything that was suggested in its session, by time.

    Returns: The text by seconds after the suggestion, as in `Suggestion.looks`; empty where no
        later suggestion shows it.
    """
    served = suggestion.served
    anchor = served.prefix[-ANCHOR_CHARS:]
    if len("".join(anchor.split())) < MIN_ANCHOR_CHARS:
        return {}
    for later in reversed(session):
        after_s = (later.at_ms - suggestion.at_ms) // 1000
        if after_s < min(LATER_S):
            break
        is_candidate = after_s <= max(LATER_S) and later.served.language == served.language
        if is_candidate and later.served.prefix.count(anchor) == 1:
            return {after_s: later.served.prefix.partition(anchor)[2]}
    return {}
