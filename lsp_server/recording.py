"""What a session records, from the user's settings: outbox, recorder, pseudonym."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from fimble.content import delete_expired
from fimble.errors import InputError
from fimble.identity import NOBODY, current_identity, user_name
from fimble.paths import content_dir, spool_dir, state_dir
from fimble.settings import TelemetryLevel
from lsp_server.content import ContentRecorder, content_encoder
from lsp_server.documents import Documents
from lsp_server.outbox import Outbox
from lsp_server.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fimble.clock import Clock
    from fimble.identity import Identity
    from fimble.settings import Settings, TelemetrySettings
    from lsp_server.asking import Client

_WITH_KEYS = frozenset({TelemetryLevel.KEYS, TelemetryLevel.CONTENT})


class Outboxes:
    """The outboxes of one session."""

    def __init__(self, outboxes: Sequence[Outbox]) -> None:
        self._outboxes = outboxes

    def close(self) -> None:
        """Write what waits, and close the segments. Blocks."""
        for outbox in self._outboxes:
            outbox.close()


class Recording(NamedTuple):
    """What records a session."""

    outbox: Outboxes
    recorder: Recorder
    is_shipped: bool
    """Whether segments go to a collector."""
    messages: list[str]
    """What the user should know."""


def start_recording(
    settings: Settings, client: Client, *, clock: Clock, server_version: str
) -> Recording:
    """Begin to record a session; at level `off` nothing is created, not even a folder."""
    telemetry = settings.telemetry
    is_recorded = telemetry.level is not TelemetryLevel.OFF
    session_id = uuid4().hex
    outbox = Outbox(spool_dir() if is_recorded else None, session_id=session_id, clock=clock)
    content = _content_outbox(telemetry, session_id, clock)
    recorder = Recorder(
        outbox,
        documents=Documents(client.encoding),
        clock=clock,
        shown_after_ms=settings.completion.shown_after_ms,
        content=ContentRecorder(content, clock=clock) if content else None,
    )
    messages: list[str] = []
    has_key = telemetry.level in _WITH_KEYS
    recorder.started(
        editor=(client.name, client.version),
        server_version=server_version,
        settings=telemetry,
        identity=_identity(telemetry, messages) if has_key else NOBODY,
    )
    is_shipped = is_recorded and bool(telemetry.collector_url)
    outboxes = [outbox, content] if content else [outbox]
    return Recording(Outboxes(outboxes), recorder, is_shipped, messages)


def _content_outbox(settings: TelemetrySettings, session_id: str, clock: Clock) -> Outbox | None:
    """Return where content goes, if the user lets it; what was recorded too long ago is deleted."""
    is_wanted = settings.level is TelemetryLevel.CONTENT
    days = settings.content_days if is_wanted else 0
    work = partial(delete_expired, content_dir(), now_ms=clock.wall_ms(), days=days)
    threading.Thread(target=work, name="expiry", daemon=True).start()
    if not is_wanted:
        return None
    encode = content_encoder(settings.content_days)
    return Outbox(content_dir(), session_id=session_id, clock=clock, encode=encode)


def _identity(settings: TelemetrySettings, messages: list[str]) -> Identity:
    """Return the user's pseudonym; nobody's where the key file cannot be used."""
    try:
        return current_identity(state_dir(), user_name(settings.user))
    except (InputError, OSError) as error:
        messages.append(f"Fimble: telemetry goes on without a pseudonym: {error}")
        return NOBODY
