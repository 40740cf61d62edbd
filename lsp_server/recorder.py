"""From what happens in a session to its events: outcomes, the time that passes, and the outbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from fimble.events import Exposed, Opportunity, Outcome, Resolved, Served, SessionStarted, Trigger
from fimble.show_filter import NOT_ASKED, Verdict
from lsp_server.content import Sent
from lsp_server.outcomes import Outcomes, Rest
from lsp_server.prompting import language_of
from lsp_server.retention import Retention
from lsp_server.trail import FLOW_MS, Between, Trail, is_typed
from lsp_server.writing import Writing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fimble.clock import Clock
    from fimble.events import Event, NotServed
    from fimble.experiments import Assignment
    from fimble.identity import Identity
    from fimble.settings import TelemetrySettings
    from fimble.show_filter import ShowFilter
    from lsp_server.backend import Answerer
    from lsp_server.completer import Found
    from lsp_server.content import ContentRecorder
    from lsp_server.documents import Document, Documents, Edit, Place
    from lsp_server.offers import Target
    from lsp_server.outbox import Later, Outbox


class Offer(NamedTuple):
    """A suggestion, with everything that led to it."""

    rest: Rest
    opportunity_id: str
    target: Target
    trigger: Trigger
    found: Found
    requested_ms: float
    verdict: Verdict = NOT_ASKED


class Missed(NamedTuple):
    """A request that got nothing."""

    opportunity_id: str
    document: Document | None
    trigger: Trigger
    reason: NotServed
    detail: str
    total_ms: float
    verdict: Verdict = NOT_ASKED


class _Since(NamedTuple):
    """When suggestions were last accepted and rejected; None where none was."""

    taken_ms: float | None = None
    rejected_ms: float | None = None


class Recorder:
    """The events of one session."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        documents: Documents,
        clock: Clock,
        shown_after_ms: float,
        content: ContentRecorder | None = None,
    ) -> None:
        self.documents = documents
        self._outbox = outbox
        self._clock = clock
        self._outcomes = Outcomes(shown_after_ms=shown_after_ms)
        self._retention = Retention()
        self._writing = Writing()
        self._content = content
        self._is_silent = False
        self._since = _Since()
        self._besides: dict[str, list[Offer]] = {}
        """Suggestions that went to the editor besides the first."""
        self._timer: asyncio.TimerHandle | None = None
        self._due_ms: float | None = None
        self.user_key = ""
        """Pseudonym of the user; empty at level `metrics`."""

    def started(
        self,
        *,
        editor: tuple[str, str],
        server_version: str,
        settings: TelemetrySettings,
        identity: Identity,
    ) -> None:
        """The session has begun.

        Args:
            editor: Its name and version.
            server_version: Our own.
            settings: Level and team.
            identity: The user; `NOBODY` at level `metrics`.
        """
        name, editor_version = editor
        self.user_key = identity.user_key
        self._write(
            SessionStarted(
                editor=name,
                editor_version=editor_version,
                plugin_version=settings.plugin_version,
                server_version=server_version,
                level=settings.level,
                user_key=identity.user_key,
                key_epoch=identity.key_epoch,
                team=settings.team if identity.user_key else "",
            )
        )

    def silence(self) -> None:
        """Record nothing from now on."""
        self._is_silent = True
        self._content = None

    def exposed(self, opportunity_id: str, assignments: Iterable[Assignment]) -> None:
        """A request takes part in experiments."""
        for each in assignments:
            self._write(Exposed(opportunity_id=opportunity_id, **each._asdict()))

    def missed(self, missed: Missed, answerer: Answerer) -> None:
        """A request got nothing."""
        language = language_of(missed.document) if missed.document else None
        self._write(
            Opportunity(
                opportunity_id=missed.opportunity_id,
                language=language.name if language else "",
                trigger=missed.trigger,
                reason=missed.reason,
                detail=missed.detail,
                model=answerer.model,
                model_digest=answerer.digest,
                backend=answerer.backend,
                total_ms=missed.total_ms,
                filter_digest=missed.verdict.digest,
                filter_score=missed.verdict.score,
            )
        )

    def judge(self, offer: Offer, show_filter: ShowFilter | None) -> Verdict:
        """Return whether a suggestion goes to the editor, as far as a filter has a say."""
        if show_filter is None or offer.trigger is not Trigger.AUTOMATIC:
            return NOT_ASKED
        # The request's name is random; a part of it decides what is shown by chance.
        draw = int(offer.opportunity_id[:8], 16) / 2**32
        return show_filter.judge(_served(offer, self._clock.monotonic_ms(), self._since), draw=draw)

    def served(self, offer: Offer) -> None:
        """A suggestion goes to the editor."""
        now_ms = self._clock.monotonic_ms()
        superseded = self._outcomes.served(
            offer.rest,
            uri=offer.target.document.uri,
            trail=offer.target.trail,
            requested_ms=offer.requested_ms,
            now_ms=now_ms,
        )
        self._say([*superseded, served := _served(offer, now_ms, self._since)])
        counts = offer.found.counts
        if self._content is not None and offer.target.document is self._open(offer):
            self._content.served(
                served.completion_id,
                offer.rest.text,
                document=offer.target.document,
                place=offer.target.place,
                sent=Sent(served.model_digest, counts.path, counts.snippets),
            )

    def offered_besides(self, uri: str, offers: list[Offer]) -> None:
        """Other suggestions than the first go to the editor; one counts once it is taken."""
        self._besides = {uri: offers} if offers else {}

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
        if self._content is not None:
            self._content.edited(document, edit)
        language = language_of(document)
        self._writing.edited(
            language.name if language else "",
            edit,
            is_completion=self._is_completion(document, edit),
            now_ms=now_ms,
        )
        self._put(self._retention.edited(document, edit, now_ms))
        self._take_besides(document, edit, now_ms)
        self._say(self._outcomes.edited(document, edit, now_ms))
        return self._outcomes.completed_at(document.uri, now_ms)

    def closed(self, uri: str) -> None:
        """A document is about to be closed."""
        now_ms = self._clock.monotonic_ms()
        self._say(self._outcomes.closed(uri, now_ms))
        if (document := self.documents.get(uri)) is not None:
            self._say(self._retention.closed(document, now_ms))
            if self._content is not None:
                self._content.closed(document)

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
        now_ms = self._clock.monotonic_ms()
        self._put(self._outcomes.ended(now_ms))
        self._put(self._retention.ended(now_ms))
        self._put(self._writing.ended(now_ms))
        if self._timer is not None:
            self._timer.cancel()

    def _take_besides(self, document: Document, edit: Edit, now_ms: float) -> None:
        """Record the suggestion that the user took in place of the first, if it was one."""
        rest = self._outcomes.rest_at(document.uri, edit.start)
        offers = self._besides.pop(document.uri, [])
        if rest is not None and edit.new and rest.text.startswith(edit.new):
            return
        for offer in offers:
            trail = Trail(offer.target.place)
            trail.follow(edit, document, offer.rest.text)
            behind = offer.rest.text[len(trail.text) :]
            is_start = bool(trail.text) and offer.rest.text.startswith(trail.text)
            if is_start and not is_typed(trail.text, Between("", behind, FLOW_MS)):
                self._say(self._outcomes.turned_down(document.uri, now_ms))
                target = offer.target._replace(trail=Trail(offer.target.place))
                taken = offer._replace(target=target)
                self._outcomes.served(
                    taken.rest,
                    uri=document.uri,
                    trail=target.trail,
                    requested_ms=taken.requested_ms,
                    now_ms=now_ms,
                )
                self._say([_served(taken, now_ms, self._since)])
                return

    def _open(self, offer: Offer) -> Document | None:
        """Return the open document of an offer: one with a selected entry in it is imagined."""
        return self.documents.get(offer.target.document.uri)

    def _is_completion(self, document: Document, edit: Edit) -> bool:
        """Return whether an edit inserts what the suggestion on screen goes on with."""
        rest = self._outcomes.rest_at(document.uri, edit.start)
        if rest is None or not edit.new or not rest.text.startswith(edit.new):
            return False
        head = document.head(edit.start)
        return not is_typed(edit.new, Between(head, rest.text[len(edit.new) :], FLOW_MS))

    def _tick(self) -> None:
        self._timer = None
        now_ms = self._clock.monotonic_ms()
        self._put(self._outcomes.tick(now_ms))
        self._put(self._retention.tick(now_ms))
        if self._content is not None:
            self._content.tick()
        self._say(self._writing.tick(now_ms))

    def _say(self, events: Iterable[Event | Later]) -> None:
        """Record events, and look again when time alone makes something certain."""
        self._put(events)
        parts = (self._outcomes, self._retention, self._writing, self._content)
        due = [
            due_ms
            for part in parts
            if part is not None and (due_ms := part.next_due_ms()) is not None
        ]
        due_ms = min(due, default=None)
        if self._timer is not None and due_ms == self._due_ms:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due_ms = due_ms
        if due_ms is not None:
            wait_ms = max(1.0, due_ms - self._clock.monotonic_ms())
            self._timer = asyncio.get_running_loop().call_later(wait_ms / 1000, self._tick)

    def _write(self, event: Event | Later) -> None:
        if not self._is_silent:
            self._outbox.put(event)

    def _put(self, events: Iterable[Event | Later]) -> None:
        """Record events, and what follows from them for the texts that were accepted."""
        now_ms = self._clock.monotonic_ms()
        for taken in self._outcomes.pop_taken():
            if (document := self.documents.get(taken.uri)) is not None:
                self._retention.watch(taken, document, now_ms)
        for event in events:
            self._write(event)
            if isinstance(event, Resolved):
                is_accepted = event.accepted_chars > 0
                if is_accepted:
                    self._since = self._since._replace(taken_ms=now_ms)
                elif event.outcome is Outcome.REJECTED:
                    self._since = self._since._replace(rejected_ms=now_ms)
                self._put(
                    self._retention.resolved(
                        event.completion_id, is_accepted=is_accepted, now_ms=now_ms
                    )
                )


def _served(offer: Offer, now_ms: float, since: _Since) -> Served:
    """Return the event of a suggestion that goes to the editor now."""
    rest, opportunity_id, target, trigger, found, requested_ms, verdict = offer
    head = target.document.head(target.place).lstrip()
    counts, answered = found.counts, found.answered
    language = language_of(target.document)
    answerer = answered.answerer
    text = rest.text[len(target.head) :]
    first_ms = counts.first_token_at_ms
    return Served(
        completion_id=rest.completion_id,
        opportunity_id=opportunity_id,
        language=language.name if language else "",
        trigger=trigger,
        scope=answered.scope,
        cache=found.cache,
        model=answerer.model,
        model_digest=answerer.digest,
        backend=answerer.backend,
        prefix_chars=answered.prefix_chars,
        suffix_chars=answered.suffix_chars,
        prompt_tokens=counts.prompt_tokens,
        cached_tokens=counts.cached_tokens,
        num_snippets=counts.num_snippets,
        snippet_bytes=counts.snippet_bytes,
        generated_tokens=counts.generated_tokens,
        num_chars=len(text),
        num_lines=text.count("\n") + 1,
        mean_logprob=round(answered.mean_logprob, 4),
        stop_reason=answered.stop_reason,
        debounce_ms=found.debounce_ms,
        first_token_ms=max(0.0, first_ms - requested_ms) if first_ms else 0.0,
        total_ms=now_ms - requested_ms,
        head_chars=len(head),
        behind_chars=len(target.document.rest(target.place).strip()),
        is_in_word=head[-1:].isalnum() or head.endswith("_"),
        since_taken_ms=_passed_ms(since.taken_ms, now_ms),
        since_rejected_ms=_passed_ms(since.rejected_ms, now_ms),
        filter_digest=verdict.digest,
        filter_score=verdict.score,
        filter_propensity=verdict.propensity,
    )


def _passed_ms(then_ms: float | None, now_ms: float) -> float:
    return -1.0 if then_ms is None else round(now_ms - then_ms, 1)
