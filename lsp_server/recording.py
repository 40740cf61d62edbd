"""What a session records, from the user's settings: outbox, recorder, pseudonym."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from fimble.errors import InputError
from fimble.identity import NOBODY, current_identity, user_name
from fimble.paths import spool_dir, state_dir
from fimble.settings import TelemetryLevel
from lsp_server.documents import Documents
from lsp_server.outbox import Outbox
from lsp_server.recorder import Recorder

if TYPE_CHECKING:
    from fimble.clock import Clock
    from fimble.identity import Identity
    from fimble.settings import Settings, TelemetrySettings
    from lsp_server.session import Client

_WITH_KEYS = frozenset({TelemetryLevel.KEYS, TelemetryLevel.CONTENT})


class Recording(NamedTuple):
    """What records a session."""

    outbox: Outbox
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
    outbox = Outbox(spool_dir() if is_recorded else None, session_id=uuid4().hex, clock=clock)
    recorder = Recorder(
        outbox,
        documents=Documents(client.encoding),
        clock=clock,
        shown_after_ms=settings.completion.shown_after_ms,
    )
    messages: list[str] = []
    has_key = telemetry.level in _WITH_KEYS
    recorder.started(
        editor=(client.name, client.version),
        server_version=server_version,
        settings=telemetry,
        identity=_identity(telemetry, messages) if has_key else NOBODY,
    )
    return Recording(outbox, recorder, is_recorded and bool(telemetry.collector_url), messages)


def _identity(settings: TelemetrySettings, messages: list[str]) -> Identity:
    """Return the user's pseudonym; nobody's where the key file cannot be used."""
    try:
        return current_identity(state_dir(), user_name(settings.user))
    except (InputError, OSError) as error:
        messages.append(f"Fimble: telemetry goes on without a pseudonym: {error}")
        return NOBODY
