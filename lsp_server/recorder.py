"""From what happens in a session to its events: outcomes, the time that passes, and the outbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from fimble.events import Served, SessionStarted
from lsp_server.outcomes import Outcomes, Rest
from lsp_server.prompting import language_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fimble.clock import Clock
    from fimble.events import Event, Trigger
    from lsp_server.backend import Backend
    from lsp_server.completer import Found
    from lsp_server.documents import Document, Edit, Place
    from lsp_server.offers import Target
    from lsp_server.outbox import Outbox


class Offer(NamedTuple):
    """A suggestion, with everything that led to it."""

    rest: Rest
    target: Target
    trigger: Trigger
    found: Found
    requested_ms: float


class Recorder:
    """The events of one session."""

    def __init__(self, outbox: Outbox, *, clock: Clock, shown_after_ms: float) -> None:
        self._outbox = outbox
        self._clock = clock
        self._outcomes = Outcomes(shown_after_ms=shown_after_ms)
        self._timer: asyncio.TimerHandle | None = None

    def started(self, *, editor: str, editor_version: str, server_version: str) -> None:
        """The session has begun."""
        self._outbox.put(
            SessionStarted(
                editor=editor, editor_version=editor_version, server_version=server_version
            )
        )

    def served(self, offer: Offer, backend: Backend) -> None:
        """A suggestion goes to the editor."""
        now_ms = self._clock.monotonic_ms()
        superseded = self._outcomes.served(
            offer.rest,
            uri=offer.target.document.uri,
            trail=offer.target.trail,
            requested_ms=offer.requested_ms,
            now_ms=now_ms,
        )
        self._say([*superseded, _served(offer, backend, now_ms)])

    def rest_at(self, uri: str, place: Place) -> Rest | None:
        """Return what is left of the suggestion on screen for a cursor at `place`."""
        return self._outcomes.rest_at(uri, place)

    def shortened(self, uri: str, rest: str) -> None:
        """Only `rest` of the suggestion on screen is shown from the cursor on."""
        self._outcomes.shortened(uri, rest)

    def asked(self, uri: str, place: Place) -> None:
        """The editor asks for a completion."""
        self._say(self._outcomes.asked(uri, place, self._clock.monotonic_ms()))

    def edited(self, document: Document, edit: Edit) -> Place | None:
        """A document changed.

        Returns: The place behind the suggestion, if the edit completed it.
        """
        now_ms = self._clock.monotonic_ms()
        self._say(self._outcomes.edited(document, edit, now_ms))
        return self._outcomes.completed_at(document.uri, now_ms)

    def closed(self, uri: str) -> None:
        """A document was closed."""
        self._say(self._outcomes.closed(uri, self._clock.monotonic_ms()))

    def accepted(self, completion_id: str) -> None:
        """The editor ran the accept command of an item."""
        self._say(self._outcomes.accept(completion_id, self._clock.monotonic_ms()))

    def accepted_part(self, completion_id: str, num_left_chars: int) -> None:
        """The editor says that all but the last characters of a suggestion were accepted."""
        now_ms = self._clock.monotonic_ms()
        self._say(self._outcomes.accepted_part(completion_id, num_left_chars, now_ms))

    def shown(self, completion_id: str) -> None:
        """The editor says that an item is on screen."""
        self._say(self._outcomes.shown(completion_id, self._clock.monotonic_ms()))

    def focused(self, uri: str) -> None:
        """The user went to another document."""
        self._say(self._outcomes.focused(uri, self._clock.monotonic_ms()))

    def ended(self) -> None:
        """The session ends: every suggestion is resolved."""
        if self._timer is not None:
            self._timer.cancel()
        self._put(self._outcomes.ended(self._clock.monotonic_ms()))

    def _tick(self) -> None:
        self._timer = None
        self._say(self._outcomes.tick(self._clock.monotonic_ms()))

    def _say(self, events: Iterable[Event]) -> None:
        """Record events, and look again when time alone makes something certain."""
        self._put(events)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ms = self._outcomes.next_due_ms()
        if due_ms is not None:
            wait_ms = max(1.0, due_ms - self._clock.monotonic_ms())
            self._timer = asyncio.get_running_loop().call_later(wait_ms / 1000, self._tick)

    def _put(self, events: Iterable[Event]) -> None:
        for event in events:
            self._outbox.put(event)


def _served(offer: Offer, backend: Backend, now_ms: float) -> Served:
    """Return the event of a suggestion that goes to the editor now."""
    rest, target, trigger, found, requested_ms = offer
    counts, answered = found.counts, found.answered
    language = language_of(target.document)
    info = backend.known_info
    text = rest.text[len(target.head) :]
    first_ms = counts.first_token_at_ms
    return Served(
        completion_id=rest.completion_id,
        language=language.name if language else "",
        trigger=trigger,
        scope=answered.scope,
        cache=found.cache,
        model=info.model if info else "",
        model_digest=info.model_digest if info else "",
        backend=backend.name,
        prefix_chars=answered.prefix_chars,
        suffix_chars=answered.suffix_chars,
        prompt_tokens=counts.prompt_tokens,
        cached_tokens=counts.cached_tokens,
        generated_tokens=counts.generated_tokens,
        num_chars=len(text),
        num_lines=text.count("\n") + 1,
        mean_logprob=round(answered.mean_logprob, 4),
        stop_reason=answered.stop_reason,
        debounce_ms=found.debounce_ms,
        first_token_ms=max(0.0, first_ms - requested_ms) if first_ms else 0.0,
        total_ms=now_ms - requested_ms,
    )
