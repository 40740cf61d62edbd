"""One editor session: what the editor says comes in, items go out, events go to the outbox.

Nothing here knows the wire: positions, texts and items are ours, and `features` translates.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import uuid4

from fimble.errors import FimbleError, PositionError
from fimble.events import CacheHit, Trigger
from fimble.show_filter import Verdict
from fimble.stops import Scope, Site, StopReason, finish
from lsp_server.completer import Asked
from lsp_server.context.source import ContextSource
from lsp_server.decisions import Decision, Why, missed_because, why_not_served
from lsp_server.exclusions import Exclusions
from lsp_server.logs import OUR_LOGGER, RequestLog
from lsp_server.lookahead import Lookahead
from lsp_server.notebooks import Notebooks
from lsp_server.offers import item_for, item_with_selected, target_of
from lsp_server.outcomes import Rest
from lsp_server.prompting import around, project_path, spot_at
from lsp_server.recorder import Missed, Offer, Recorder
from lsp_server.variants import DocumentCompleters, Drawn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fimble.clock import Clock
    from lsp_server.asking import Client, Request
    from lsp_server.completer import Found
    from lsp_server.documents import Document, Edit, Place, Range
    from lsp_server.offers import Item, Target
    from lsp_server.variants import Variant, Variants

NOTICE_PAUSE_MS = 60_000
"""A message of one kind is shown once in so long."""
_log = logging.getLogger(OUR_LOGGER)


class _Asking(NamedTuple):
    """One request that is being answered."""

    request_id: str
    started_ms: float
    drawn: Drawn


class Editor(Protocol):
    """What a session may tell the editor."""

    def show_error(self, message: str) -> None:
        """Show a message to the user."""
        ...


class Session:
    """Documents, completions and outcomes of one editor."""

    def __init__(
        self,
        client: Client,
        variants: Variants,
        *,
        recorder: Recorder,
        editor: Editor,
        clock: Clock,
    ) -> None:
        self.documents = recorder.documents
        self.recorder = recorder
        self.notebooks = Notebooks(recorder.documents)
        self.folders = list(client.folders)
        self._client = client
        self._exclusions = Exclusions(variants.plain.settings)
        self._variants = variants
        self._editor = editor
        self._clock = clock
        self._completers: dict[str, DocumentCompleters] = {}
        self._decisions: dict[str, Decision] = {}
        self._log = RequestLog()
        self._behind_when_served: dict[str, str] = {}
        self._noticed_ms: dict[str, float] = {}
        self._lookahead = Lookahead()
        self._context = ContextSource(variants.context, self.documents, self.folders, clock=clock)

    async def warm_up(self) -> None:
        """Bring up the engine, so that the first request need not wait for it."""
        await asyncio.to_thread(self._exclusions.read, tuple(self.folders))
        try:
            await self._variants.plain.route.warm_up()
        except FimbleError as error:
            self._notice(error)
        self._context.start(is_trained=self._variants.plain.route.current.takes_snippets)

    async def reconfigure(self, variants: Variants) -> None:
        """Go on with other settings; what the former ones made is forgotten."""
        former, self._variants = self._variants, variants
        completers = dict(self._completers)
        for uri in completers:
            self._completers[uri] = DocumentCompleters(variants.plain, clock=self._clock)
        self._exclusions = self._exclusions.under(variants.plain.settings)
        self._context.close()
        self._context = ContextSource(
            variants.context, self.documents, self.folders, clock=self._clock
        )
        for uri in completers:
            self._context.opened(uri)
        for completer in completers.values():
            await completer.close()
        await former.close()

    def opened(self, uri: str, language_id: str, version: int, text: str) -> None:
        """The editor has opened a document."""
        self.closed(uri)
        self.documents.open(uri, language_id, version, text)
        if uri not in self.notebooks:  # other files are asked for code, cells stand together
            self._context.opened(uri)
        self._completers[uri] = DocumentCompleters(self._variants.plain, clock=self._clock)
        self._warm(uri)

    def changed(self, uri: str, version: int, changes: Iterable[tuple[Range | None, str]]) -> None:
        """The editor has changed a document."""
        document = self.documents.get(uri)
        if document is None:
            return
        completed: Place | None = None
        edits: list[Edit] = []
        for span, text in changes:
            edit = document.replace(span, text, self.documents.encoding)
            edits.append(edit)
            if uri not in self.notebooks:
                self._context.edited(document, edit)
            self._completers[uri].edited(edit, document)
            completed = self.recorder.edited(document, edit)
        document.version = version
        if self._refusal(document) is None:
            self._look_ahead(document, edits, completed)

    def _look_ahead(self, document: Document, edits: list[Edit], completed: Place | None) -> None:
        """Begin what the editor is about to ask for."""
        anticipated = self._lookahead.edited(edits, document)
        place = completed or anticipated
        if place is not None:
            completers = self._completers[document.uri]
            completers.begin(self._asked(document, place, Trigger.AUTOMATIC, completers.current))

    def focused(self, uri: str) -> None:
        """The user went to a document: what is around the cursor there is read again."""
        self.recorder.focused(uri)
        self._warm(uri)

    def _warm(self, uri: str) -> None:
        """Let the engine read what is around the cursor before the editor asks, if it is idle."""
        document = self.documents.get(uri)
        place = self._lookahead.worked_at(document) if document else None
        if document is None or place is None or self._refusal(document) is not None:
            return
        completers = self._completers[uri]
        completers.warm(self._asked(document, place, Trigger.AUTOMATIC, completers.current))

    def closed(self, uri: str) -> None:
        """The editor has closed a document: its text and all about it is forgotten."""
        self.recorder.closed(uri)
        if (completer := self._completers.pop(uri, None)) is not None:
            completer.supersede()
            completer.close_live()
        self._context.closed(uri)
        self.documents.close(uri)
        self._decisions.pop(uri, None)
        self._behind_when_served.pop(uri, None)

    async def complete(self, request: Request) -> list[Item] | None:
        """Return the items for a request; None once it was superseded."""
        asking = _Asking(uuid4().hex, self._clock.monotonic_ms(), self._draw(request.uri))
        decision = Decision(Why.CANCELLED)
        items: list[Item] | None = None
        error_kind = ""
        try:
            decision, items = await self._decide(request, asking)
        except asyncio.CancelledError:
            if request.uri in self._completers:
                self._completers[request.uri].abandon()
            raise
        except PositionError as error:
            decision = Decision(Why.OUTSIDE, str(error))
            items = []
            error_kind = type(error).__name__
        except FimbleError as error:
            self._notice(error)
            decision = Decision(Why.FAILED, str(error))
            items = []
            error_kind = type(error).__name__
        finally:
            total_ms = round(self._clock.monotonic_ms() - asking.started_ms, 1)
            route = asking.drawn.variant.route
            if (trouble := route.pop_trouble()) is not None:
                self._notice(trouble, "; the embedded engine answers until it does")
            decision = decision._replace(total_ms=total_ms, trouble=route.trouble)
            if request.uri in self._completers:
                self._decisions[request.uri] = decision
            self._missed(request, asking, decision, error_kind)
            self._log.note(f"{decision.why.name} cache={decision.cache} ms={total_ms}")
        return items

    def explain(self, uri: str) -> dict[str, object]:
        """Return why the latest request for a document got the answer it got."""
        if (decision := self._decisions.get(uri)) is None:
            known = self.documents.get(uri) is not None
            return {"why": "nothing was asked yet" if known else Why.UNKNOWN_DOCUMENT.value}
        about_context = {"context": self._context.explain(uri)}
        return {**decision._asdict(), "why": decision.why.value, **about_context}

    async def close(self) -> None:
        """End the session: resolve what is open, and release the engine."""
        self.recorder.ended()
        self._log.write()
        self._context.close()
        for completer in self._completers.values():
            await completer.close()
        await self._variants.close()

    def _draw(self, uri: str) -> Drawn:
        """Return the arms of a request, and what answers it."""
        completers = self._completers.get(uri)
        if completers is None:
            return Drawn(self._variants.plain)
        return self._variants.draw(completers.burst_id())

    def _missed(
        self, request: Request, asking: _Asking, decision: Decision, error_kind: str
    ) -> None:
        """Record a request that got nothing."""
        if (because := missed_because(decision, error_kind)) is None:
            return
        reason, detail = because
        document = self.documents.get(request.uri)
        total_ms = self._clock.monotonic_ms() - asking.started_ms
        missed = Missed(asking.request_id, document, request.trigger, reason, detail, total_ms)
        missed = missed._replace(verdict=decision.verdict)
        self.recorder.missed(missed, asking.drawn.variant.route.current.answerer)

    async def _decide(
        self, request: Request, asking: _Asking
    ) -> tuple[Decision, list[Item] | None]:
        """Return what the request gets, and why."""
        located = self._locate(request)
        if isinstance(located, Decision):
            return located, []
        document, place = located
        variant, assignments = asking.drawn
        completer = self._completers[request.uri].of(variant)
        turn = completer.take_turn()
        self.recorder.asked(request.uri, place)
        self._lookahead.asked(request.uri, place, request.trigger)
        target = target_of(document, place, request.selected, self.documents.encoding)
        asked = self._asked(target.document, target.place, request.trigger, variant)
        wants_others = request.trigger is Trigger.INVOKED and request.selected is None
        asked = asked._replace(wants_others=wants_others)
        if request.selected is None and (rest := self._rest_on_screen(document, place)):
            others = await completer.others(asked, rest.text, turn) if asked.wants_others else ()
            items = [self._item(request, document, place, rest)]
            items += self._besides(request, target, others, asking)
            return Decision(Why.SERVED, cache=CacheHit.TYPED), None if turn.done() else items
        self.recorder.exposed(asking.request_id, assignments)
        found = await completer.find(asked, turn)
        if found is None:
            return Decision(Why.SUPERSEDED), None
        is_automatic = request.trigger is Trigger.AUTOMATIC
        limit = variant.settings.min_mean_logprob if is_automatic else -math.inf
        if (why_not := why_not_served(found.answered, limit)) is not None:
            return _decision(why_not, found), []
        item = self._serve(request, target, found, asking)
        if isinstance(item, Verdict):
            return _decision(Why.WEAK, found).filtered_by(item), []
        others = self._besides(request, target, found.others, asking)
        return _decision(Why.SERVED, found), [item, *others]

    def _besides(
        self, request: Request, target: Target, others: Sequence[Found], asking: _Asking
    ) -> list[Item]:
        """Return the items of other suggestions than the first; they are recorded once taken."""
        offers = [
            Offer(
                Rest(uuid4().hex, found.answered.text),
                asking.request_id,
                target,
                request.trigger,
                found,
                asking.started_ms,
            )
            for found in others
        ]
        self.recorder.offered_besides(request.uri, offers)
        return [self._item(request, target.document, target.place, each.rest) for each in offers]

    def _locate(self, request: Request) -> tuple[Document, Place] | Decision:
        """Return where the request is, or why it gets nothing.

        Raises:
            PositionError: The document has no such line.
        """
        document = self.documents.get(request.uri)
        if document is None:
            return Decision(Why.UNKNOWN_DOCUMENT)
        if refusal := self._refusal(document):
            return Decision(refusal)
        return document, document.place(request.position, self.documents.encoding)

    def _refusal(self, document: Document) -> Why | None:
        return self._exclusions.why(document, self.folders)

    def _rest_on_screen(self, document: Document, place: Place) -> Rest | None:
        """Return the rest of the suggestion that the user is typing along."""
        rest = self.recorder.rest_at(document.uri, place)
        if rest is None:
            return None
        behind = document.rest(place)
        if behind != self._behind_when_served.get(document.uri):
            # The editor closed a bracket or quote behind the cursor, and the rest may hold it.
            head = document.head(place)
            site = Site(prefix=head, suffix=behind, language=None, scope=Scope.LINE)
            rest = rest._replace(text=finish(rest.text, site, StopReason.LINE).text)
            self.recorder.shortened(document.uri, rest.text)
            self._behind_when_served[document.uri] = behind
        return rest if rest.text.strip() else None

    def _asked(self, document: Document, place: Place, trigger: Trigger, variant: Variant) -> Asked:
        path = project_path(document.uri, self.folders)
        budget = variant.settings.window
        self._context.start(is_trained=variant.route.current.takes_snippets)
        self._context.prepare(document, place)
        deletes = self._lookahead.is_deleting(document.uri, place)
        whole, inside = self.notebooks.whole(document, place)
        return Asked(
            place,
            trigger,
            around(whole, inside),
            lambda: spot_at(
                whole,
                inside,
                path=path,
                budget=budget,
                others=self._context.others(document.uri),
            ),
            is_deleting=deletes and trigger is Trigger.AUTOMATIC,
        )

    def _serve(
        self, request: Request, target: Target, found: Found, asking: _Asking
    ) -> Item | Verdict:
        """Return the item for a new suggestion, recorded from now on, or why it has none."""
        rest = Rest(uuid4().hex, target.head + found.answered.text)
        offer = Offer(rest, asking.request_id, target, request.trigger, found, asking.started_ms)
        verdict = self.recorder.judge(offer, self._variants.show_filter)
        if verdict.is_hidden:
            return verdict
        self.recorder.served(offer._replace(verdict=verdict))
        self._behind_when_served[request.uri] = target.document.rest(target.place)
        if request.selected is not None:
            line_end = self._line_end(target.document)
            return item_with_selected(rest, request.selected, line_end=line_end)
        return self._item(request, target.document, target.place, rest)

    def _item(self, request: Request, document: Document, place: Place, rest: Rest) -> Item:
        return item_for(
            rest,
            document=document,
            place=place,
            encoding=self.documents.encoding,
            line_end=self._line_end(document),
            from_word=request.from_word,
        )

    def _line_end(self, document: Document) -> str:
        return "\n" if self._client.inserts_as_it_is else document.line_end

    def _notice(self, error: FimbleError, more: str = "") -> None:
        """Show an error to the user, each kind once in a while."""
        kind = type(error).__name__
        now_ms = self._clock.monotonic_ms()
        _log.warning("%s", kind)
        if now_ms - self._noticed_ms.get(kind, -NOTICE_PAUSE_MS) >= NOTICE_PAUSE_MS:
            self._noticed_ms[kind] = now_ms
            self._editor.show_error(f"Fimble: {error}{more}")


def _decision(why: Why, found: Found) -> Decision:
    answered = found.answered
    return Decision(
        why,
        answered.stop_reason,
        found.cache,
        backend=answered.answerer.backend,
        model=answered.answerer.model,
    )
