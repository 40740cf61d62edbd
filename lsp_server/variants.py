"""Experiments in a session: which arms a request has, and what answers it then.

Each combination of arms has settings, an engine, and for every document a memory of its own, so
that no arm is ever served what another one has made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from fimble.errors import ConfigError
from fimble.experiments import Assigner, Assignment, read_registry
from lsp_server.backend import Backend
from lsp_server.completer import Completer
from lsp_server.route import Route

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fimble.clock import Clock
    from fimble.experiments import Experiment
    from fimble.settings import CompletionSettings, EngineSettings, Settings
    from fimble.show_filter import ShowFilter
    from lsp_server.completer import Asked
    from lsp_server.documents import Document, Edit

BURST_PAUSE_MS = 3000
"""Requests of a document that come closer than this are one burst of typing, and share an arm."""


class Variant(NamedTuple):
    """What answers a request."""

    settings: CompletionSettings
    route: Route


class Drawn(NamedTuple):
    """The arms of a request, and what answers it."""

    variant: Variant
    assignments: tuple[Assignment, ...] = ()


class Variants:
    """What answers the requests of a session, by their arms."""

    def __init__(
        self,
        settings: Settings,
        backend: Backend,
        *,
        clock: Clock,
        user_id: str = "",
        experiments: Sequence[Experiment] = (),
        rollout: Assignment | None = None,
    ) -> None:
        """Begin with what the user configured.

        Args:
            settings: Of the user.
            backend: Made from these settings.
            clock: Tells which experiments run, and the day.
            user_id: Pseudonym of the user; without one nobody takes part.
            experiments: Those that may run, as `usable` returns them.
            rollout: The rule that chose the model of `settings`; recorded where there is a user.
        """
        engine = settings.engine
        has_spare = bool(engine.server_url) and engine.failover
        spare = Backend(engine.embedded()) if has_spare else None
        patience_s = engine.failover_after_ms / 1000
        route = Route(backend, spare, clock=clock, patience_s=patience_s)
        self.plain = Variant(settings.completion, route)
        self.show_filter: ShowFilter | None = None
        """What hides suggestions that would not be accepted, whatever the arms are."""
        self.context = settings.context
        """Code of other files in prompts, whatever the arms are."""
        self._settings = settings
        self._clock = clock
        self._arms = {(e.name, arm.name): arm for e in experiments for arm in e.arms}
        self._rollout = (rollout,) if rollout is not None and user_id else ()
        self._assigner = Assigner(experiments if user_id else (), user_id=user_id)
        # Arms have no spare: a request that takes part is answered by its arm or not at all.
        alone = Route(backend, clock=clock, patience_s=patience_s)
        self._routes: dict[EngineSettings, Route] = {engine: alone}
        self._variants: dict[tuple[tuple[str, str], ...], Variant] = {(): self.plain}

    def draw(self, burst_id: str) -> Drawn:
        """Return the arms of a request, and what answers it.

        Args:
            burst_id: Of the burst of typing that it belongs to.
        """
        found = self._assigner.assign(request_id=burst_id, now_ms=self._clock.wall_ms())
        names = tuple((each.experiment, each.arm) for each in found)
        if names not in self._variants:
            settings = self._settings
            for name in names:
                settings = self._arms[name].applied(settings)
            self._variants[names] = Variant(settings.completion, self._route(settings.engine))
        return Drawn(self._variants[names], (*self._rollout, *found))

    async def close(self) -> None:
        """Release every engine."""
        for route in (self.plain.route, *self._routes.values()):
            await route.close()

    def _route(self, engine: EngineSettings) -> Route:
        if engine not in self._routes:
            patience_s = engine.failover_after_ms / 1000
            self._routes[engine] = Route(Backend(engine), clock=self._clock, patience_s=patience_s)
        return self._routes[engine]


def usable(folder: Path, settings: Settings, messages: list[str]) -> tuple[Experiment, ...]:
    """Return the experiments of a folder; none, with a message, where one of them is broken.

    Args:
        folder: Holds the registrations; need not exist.
        settings: Arms are put over these, to see that they can be.
        messages: The user is told them.
    """
    try:
        experiments = read_registry(folder)
        for each in experiments:
            for arm in each.arms:
                arm.applied(settings)
    except (ConfigError, OSError) as error:
        messages.append(f"Fimble: no experiment runs: {error}")
        return ()
    return experiments


class DocumentCompleters:
    """The completions of one document, by what answers them."""

    def __init__(self, plain: Variant, *, clock: Clock) -> None:
        self._clock = clock
        self._completers: dict[Variant, Completer] = {}
        self._current = plain
        self._burst_id = ""
        self._asked_ms = 0.0

    def burst_id(self) -> str:
        """Return the identifier of the burst of typing that a request of now belongs to."""
        now_ms = self._clock.monotonic_ms()
        if not self._burst_id or now_ms - self._asked_ms > BURST_PAUSE_MS:
            self._burst_id = uuid4().hex
        self._asked_ms = now_ms
        return self._burst_id

    def of(self, variant: Variant) -> Completer:
        """Return what completes for a variant; nothing else goes on for the document."""
        if variant != self._current:
            self.supersede()
            self.close_live()
            self._current = variant
        if variant not in self._completers:
            self._completers[variant] = Completer(
                variant.settings, route=variant.route, clock=self._clock
            )
        return self._completers[variant]

    @property
    def current(self) -> Variant:
        """What answered the latest request."""
        return self._current

    def begin(self, asked: Asked) -> None:
        """Begin what will be asked, with what answered the latest request."""
        self.of(self._current).begin(asked)

    def warm(self, asked: Asked) -> None:
        """Let what answered the latest request read the text around a place."""
        self.of(self._current).warm(asked)

    def abandon(self) -> None:
        """The editor has withdrawn its request."""
        self.of(self._current).abandon()

    def edited(self, edit: Edit, document: Document) -> None:
        """Follow an edit."""
        for completer in self._completers.values():
            completer.edited(edit, document)

    def supersede(self) -> None:
        """Answer the waiting request: something newer has come."""
        for completer in self._completers.values():
            completer.supersede()

    def close_live(self) -> None:
        """Close the running generation."""
        for completer in self._completers.values():
            completer.close_live()

    async def close(self) -> None:
        """End everything that runs for the document."""
        for completer in self._completers.values():
            await completer.close()
