"""Why a request got the answer it got: for the user who asks, and for the events."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from fimble.events import NotServed
from fimble.show_filter import Verdict
from fimble.stops import StopReason

if TYPE_CHECKING:
    from lsp_server.cache import Answered


class Why(StrEnum):
    """Why a request got the answer it got."""

    SERVED = "a suggestion was sent"
    NOTHING = "the model suggests nothing here"
    UNSURE = "the model is less sure than completion.min_mean_logprob"
    WEAK = "the filter of completion.show_filter thinks that it would not be accepted"
    LATE = "the engine took longer than completion.deadline_ms"
    DELETING = "text was deleted here, and nothing is known for what is left"
    SUPERSEDED = "an edit or a newer request came first"
    CANCELLED = "the editor cancelled the request"
    UNKNOWN_DOCUMENT = "the document is not open"
    TOO_LARGE = "the document is larger than completion.max_document_bytes"
    DISABLED = "the language is listed in completion.disabled_languages"
    GLOB = "the file's name is listed in completion.disabled_globs"
    IGNORED = "the file's name is listed in the workspace's .fimbleignore"
    SECRET = "files of this name may hold secrets; completion.in_secret_files allows them"  # noqa: S105 - no password
    OUTSIDE = "the position is outside the document"
    FAILED = "the engine failed"


class Decision(NamedTuple):
    """The latest answer for a document, for `fimble.explain`."""

    why: Why
    detail: str = ""
    cache: str = ""
    total_ms: float = 0.0
    backend: str = ""
    """What answered: `embedded`, `tgi` or `openai`."""
    model: str = ""
    filter_digest: str = ""
    """Of the filter that hid it; empty where none did."""
    filter_score: float = 0.0
    """How likely it was accepted and kept, as the filter says."""
    trouble: str = ""
    """Why the embedded engine answers in place of the server, if it does."""

    def filtered_by(self, verdict: Verdict) -> Decision:
        """Return this decision with what a filter said."""
        return self._replace(filter_digest=verdict.digest, filter_score=verdict.score)

    @property
    def verdict(self) -> Verdict:
        """What the filter said that hid it."""
        return Verdict(self.filter_digest, self.filter_score)


_MISSED = {
    Why.NOTHING: NotServed.EMPTY,
    Why.UNSURE: NotServed.FILTERED,
    Why.WEAK: NotServed.FILTERED,
    Why.LATE: NotServed.ERROR,
    Why.DELETING: NotServed.OFF,
    Why.SUPERSEDED: NotServed.CANCELLED,
    Why.CANCELLED: NotServed.CANCELLED,
    Why.UNKNOWN_DOCUMENT: NotServed.ERROR,
    Why.OUTSIDE: NotServed.ERROR,
    Why.FAILED: NotServed.ERROR,
    Why.TOO_LARGE: NotServed.OFF,
    Why.DISABLED: NotServed.OFF,
    Why.GLOB: NotServed.OFF,
    Why.IGNORED: NotServed.OFF,
    Why.SECRET: NotServed.OFF,
}
_WITHOUT_TEXT = {
    StopReason.DEADLINE.value: Why.LATE,
    StopReason.DELETION.value: Why.DELETING,
}
_HELD_BACK = frozenset(
    {StopReason.REPETITION.value, StopReason.SUFFIX.value, StopReason.SYNTAX.value}
)
"""The model suggested something, and nothing was left of it."""


def why_without_text(stop_reason: str) -> Why:
    """Return why an answer has no text."""
    return _WITHOUT_TEXT.get(stop_reason, Why.NOTHING)


def why_not_served(answered: Answered, min_mean_logprob: float) -> Why | None:
    """Return why an answer is no suggestion; None where it is one."""
    if not answered.text.strip():
        return why_without_text(answered.stop_reason)
    return Why.UNSURE if answered.mean_logprob < min_mean_logprob else None


def missed_because(decision: Decision, error_kind: str) -> tuple[NotServed, str] | None:
    """Return the reason and the detail of the event for a request that got nothing.

    None where it got something.
    """
    reason = _MISSED.get(decision.why)
    if reason is None:
        return None
    if decision.why is Why.NOTHING and decision.detail in _HELD_BACK:
        return NotServed.FILTERED, decision.detail
    return reason, error_kind or decision.why.name.lower()
