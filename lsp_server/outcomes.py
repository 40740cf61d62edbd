"""What became of each suggestion, seen from the server.

    served ─┬ superseded, or gone before it could be seen          not_shown
            └ shown ─┬ the rest came in one edit, or the editor says so   accepted
                     ├ a part came in one edit, then something else       accepted_part
                     ├ the user wrote it by hand, to its end              typed_through
                     ├ the user wrote something else                      rejected
                     ├ a request elsewhere, or the document was closed    moved_away
                     └ nothing for a quarter of an hour                   expired

Standard editors report none of this: it is inferred from the edits they send. What an editor does
report (the accept command, Copilot's notifications) wins over inference, and since it comes a few
milliseconds after the edit, an outcome settles for a moment before it is final.

The machine is pure: no clock, no input or output, no await. Each call takes the time and returns
the events that are certain now; a completion has at most one `Shown` and one `Resolved`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fimble.events import AcceptKind, Outcome, Resolved, Shown, Source
from lsp_server.suggestion import ACCEPTED, GIVEN, TYPED, Suggestion, Taken
from lsp_server.trail import Step, Trail

if TYPE_CHECKING:
    from lsp_server.documents import Document, Edit, Place

SETTLE_MS = 500
"""How long a finished outcome waits for the editor's own word; clients need 3 to 10 ms."""
EXPIRE_MS = 15 * 60 * 1000

Happened = list[Shown | Resolved]


class Rest(NamedTuple):
    """What is left of the suggestion on screen."""

    completion_id: str
    text: str


class Outcomes:
    """The suggestions of a session that are not resolved yet, one per document at most."""

    def __init__(self, *, shown_after_ms: float) -> None:
        self._shown_after_ms = shown_after_ms
        self._live: dict[str, Suggestion] = {}
        self._settling: dict[str, Suggestion] = {}
        self._taken: list[Taken] = []

    def pop_taken(self) -> list[Taken]:
        """Return the texts that were accepted since the last call, as far as is known now.

        One that turns out to be typed is among them; it is resolved without accepted characters.
        """
        taken = self._taken
        self._taken = []
        return taken

    def served(
        self, rest: Rest, *, uri: str, trail: Trail, requested_ms: float, now_ms: float
    ) -> Happened:
        """A suggestion went to the editor.

        Args:
            rest: Name and text of the suggestion.
            uri: Its document.
            trail: The place it starts at, with what stands there of its text already.
            requested_ms: When the editor asked.
            now_ms: The time.
        """
        events = self._end(uri, Outcome.MOVED_AWAY, now_ms)
        self._live[uri] = Suggestion(
            completion_id=rest.completion_id,
            uri=uri,
            text=rest.text,
            trail=trail,
            origin=GIVEN * len(trail.text),
            last_start=len(trail.text),
            requested_ms=requested_ms,
            served_ms=now_ms,
            last_ms=now_ms,
        )
        return events

    def rest_at(self, uri: str, place: Place) -> Rest | None:
        """Return what is left of the suggestion on screen for a cursor at `place`."""
        live = self._live.get(uri)
        if live is None or live.trail.end != place:
            return None
        return Rest(live.completion_id, live.text[len(live.trail.text) :])

    def shortened(self, uri: str, rest: str) -> None:
        """Only `rest` is shown from the cursor on: the editor wrote the end of the text itself."""
        live = self._live[uri]
        live.text = live.trail.text + rest

    def asked(self, uri: str, place: Place, now_ms: float) -> Happened:
        """The editor asks at `place`: a suggestion for another place is gone."""
        live = self._live.get(uri)
        if live is None or live.trail.end == place:
            return []
        return self._end(uri, Outcome.MOVED_AWAY, now_ms)

    def turned_down(self, uri: str, now_ms: float) -> Happened:
        """The user took another suggestion than the one on screen."""
        return self._end(uri, Outcome.REJECTED, now_ms)

    def focused(self, uri: str, now_ms: float) -> Happened:
        """The user went to the document `uri`: suggestions in others are gone."""
        others = [other for other in self._live if other != uri]
        return [e for other in others for e in self._end(other, Outcome.MOVED_AWAY, now_ms)]

    def edited(self, document: Document, edit: Edit, now_ms: float) -> Happened:
        """The document changed; `document` is its state after the edit."""
        live = self._live.get(document.uri)
        if live is None:
            return []
        step, added = live.trail.follow(edit, document, live.text)
        if step in {Step.NONE, Step.ELSEWHERE}:
            return []
        stands = live.trail.text
        if step is Step.SHRANK:
            live.shrank(len(stands))
            return []
        if stands.startswith(live.text):
            return self._completed(live, now_ms)
        if step is Step.GREW and live.text.startswith(stands):
            live.took(added, now_ms)
            return []
        return self._end(document.uri, Outcome.REJECTED, now_ms)

    def accept(self, completion_id: str, now_ms: float) -> Happened:
        """The editor ran the accept command: it inserted the text, or the next part of it."""
        if (done := self._settling.get(completion_id)) is not None:
            done.by_editor = True
            done.accept_last(len(done.text))
            done.settling = Outcome.ACCEPTED
            return self._finish(completion_id, now_ms)
        live = self._find(completion_id)
        if live is None:
            return []
        live.by_editor = True
        if live.last_start < len(live.origin):
            live.accept_last(len(live.origin))  # some editors run the command for every part
            return self._see(live, Source.EDITOR, now_ms)
        live.took(live.text[len(live.origin) :], now_ms)
        live.accept_last(len(live.text))
        live.settling = Outcome.ACCEPTED
        self._taken.append(live.taken())
        del self._live[live.uri]
        self._settling[completion_id] = live
        return self._finish(completion_id, now_ms)

    def accepted_part(self, completion_id: str, num_left_chars: int, now_ms: float) -> Happened:
        """The editor says that all but the last `num_left_chars` characters were accepted."""
        if (done := self._settling.get(completion_id)) is not None:
            done.by_editor = True
            done.accept_last(len(done.text) - num_left_chars)
            done.settling = Outcome.ACCEPTED if num_left_chars <= 0 else Outcome.ACCEPTED_PART
            return self._finish(completion_id, now_ms)
        live = self._find(completion_id)
        if live is None or num_left_chars >= len(live.text):
            return []
        live.by_editor = True
        live.accepted_until = max(live.accepted_until, len(live.text) - num_left_chars)
        live.accept_last(live.accepted_until)
        return self._see(live, Source.EDITOR, now_ms)

    def shown(self, completion_id: str, now_ms: float) -> Happened:
        """The editor says that the suggestion is on screen."""
        live = self._find(completion_id)
        return [] if live is None else self._see(live, Source.EDITOR, now_ms)

    def closed(self, uri: str, now_ms: float) -> Happened:
        """The document was closed."""
        events = self._end(uri, Outcome.MOVED_AWAY, now_ms)
        settled = [key for key, done in self._settling.items() if done.uri == uri]
        return events + [e for key in settled for e in self._finish(key, now_ms)]

    def ended(self, now_ms: float) -> Happened:
        """The session ends: everything is resolved now."""
        events = [e for uri in list(self._live) for e in self.closed(uri, now_ms)]
        return events + [e for key in list(self._settling) for e in self._finish(key, now_ms)]

    def tick(self, now_ms: float) -> Happened:
        """Return what became certain because time went by."""
        events: Happened = []
        for key, done in list(self._settling.items()):
            if now_ms >= done.settled_at_ms + SETTLE_MS:
                events += self._finish(key, now_ms)
        for uri, live in list(self._live.items()):
            if live.shown_ms is None and now_ms >= live.served_ms + self._shown_after_ms:
                events += self._see(live, Source.INFERRED, now_ms)
            if now_ms >= live.served_ms + EXPIRE_MS:
                events += self._end(uri, Outcome.EXPIRED, now_ms)
        return events

    def completed_at(self, uri: str, now_ms: float) -> Place | None:
        """Return the place behind a suggestion whose whole text came at `now_ms`, or None."""
        done = (s for s in self._settling.values() if s.uri == uri and s.settled_at_ms == now_ms)
        return next((s.trail.end for s in done), None)

    def next_due_ms(self) -> float | None:
        """Return when `tick` has something to do; None if it has not."""
        due = [done.settled_at_ms + SETTLE_MS for done in self._settling.values()]
        for live in self._live.values():
            wait_ms = self._shown_after_ms if live.shown_ms is None else EXPIRE_MS
            due.append(live.served_ms + wait_ms)
        return min(due, default=None)

    def _find(self, completion_id: str) -> Suggestion | None:
        every = self._live.values()
        return next((s for s in every if s.completion_id == completion_id), None)

    def _completed(self, live: Suggestion, now_ms: float) -> Happened:
        """The whole text stands in the document: settle what that means."""
        live.took(live.text[len(live.origin) :], now_ms)
        if live.origin.endswith(ACCEPTED):
            live.settling = Outcome.ACCEPTED
        elif ACCEPTED in live.origin:
            live.settling = Outcome.ACCEPTED_PART
        else:
            live.settling = Outcome.TYPED_THROUGH
        live.settled_at_ms = now_ms
        self._taken.append(live.taken())
        del self._live[live.uri]
        self._settling[live.completion_id] = live
        return []

    def _end(self, uri: str, outcome: Outcome, now_ms: float) -> Happened:
        """Resolve the live suggestion of a document, which was not completed."""
        live = self._live.pop(uri, None)
        if live is None:
            return []
        live.settling = outcome
        if ACCEPTED in live.origin:
            live.settling = Outcome.ACCEPTED_PART
            self._taken.append(live.taken())
        self._settling[live.completion_id] = live
        return self._finish(live.completion_id, now_ms)

    def _finish(self, completion_id: str, now_ms: float) -> Happened:
        """Take a suggestion out, and return its last events."""
        done = self._settling.pop(completion_id)
        outcome = done.settling or Outcome.EXPIRED
        events: Happened = []
        source = Source.EDITOR if done.by_editor else Source.INFERRED
        if outcome in {Outcome.ACCEPTED, Outcome.ACCEPTED_PART}:
            events += self._see(done, source, now_ms)  # nobody accepts what is not on screen
        elif done.shown_ms is None:
            if (done.settled_at_ms or now_ms) < done.served_ms + self._shown_after_ms:
                outcome = Outcome.NOT_SHOWN
            else:  # the edit came before the timer that would have said so
                events += self._see(done, Source.INFERRED, now_ms)
        accepted, kinds = done.accepted, done.kinds
        resolved_ms = done.settled_at_ms or now_ms
        visible_ms = 0.0 if done.shown_ms is None else max(0.0, resolved_ms - done.shown_ms)
        return [
            *events,
            Resolved(
                completion_id=completion_id,
                outcome=outcome,
                source=source,
                visible_ms=visible_ms,
                accepted_chars=len(accepted),
                accepted_lines=accepted.count("\n") + 1 if accepted else 0,
                typed_chars=done.origin.count(TYPED),
                accept_kind=max(kinds, key=list(AcceptKind).index, default=AcceptKind.NONE),
                num_accepts=len(kinds),
            ),
        ]

    @staticmethod
    def _see(suggestion: Suggestion, source: Source, now_ms: float) -> Happened:
        if suggestion.shown_ms is not None:
            return []
        suggestion.shown_ms = now_ms
        delay_ms = now_ms - suggestion.requested_ms
        if source is Source.INFERRED:
            # It went to the screen when it was served; that it stayed there is known only now.
            suggestion.shown_ms = suggestion.served_ms
            delay_ms = suggestion.served_ms - suggestion.requested_ms
        return [
            Shown(
                completion_id=suggestion.completion_id,
                source=source,
                shown_delay_ms=max(0.0, delay_ms),
            )
        ]
