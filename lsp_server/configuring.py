"""The settings of a session: from `fimble.toml` and from the editor, also while it runs.

What the editor says lies over the file: `initializationOptions` first, then what it answers to
`workspace/configuration`, or pushes with `workspace/didChangeConfiguration`, under `fimble`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from lsprotocol import types

from fimble.errors import ConfigError, InputError
from fimble.paths import experiments_dir
from fimble.settings import Settings, TelemetryLevel, load_settings, with_client_options
from fimble.show_filter import ShowFilter, read_filter
from lsp_server.backend import Backend
from lsp_server.logs import OUR_LOGGER
from lsp_server.variants import Variants, usable
from lsp_server.wire import object_of

if TYPE_CHECKING:
    from lsp_server.features import FimbleServer

SECTION = "fimble"
"""The name of our settings in an editor's."""
ANSWER_LIMIT_S = 5.0
"""An editor that does not answer for so long has no settings for us."""
SHOW_AFTER_S = 0.3
"""An engine that is up sooner is not worth a message."""
_log = logging.getLogger(OUR_LOGGER)


@dataclass(slots=True, kw_only=True)
class Configuration:
    """The settings of a session, and how its editor can be asked for more."""

    settings: Settings = field(default_factory=Settings)
    options: Mapping[str, object] = field(default_factory=dict)
    """What came with `initialize`."""
    can_be_asked: bool = False
    can_register: bool = False
    shows_progress: bool = False
    is_pushed: bool = False
    """Whether the editor has pushed settings: what it pushes counts, and it is not asked."""


def first_configuration(params: types.InitializeParams, messages: list[str]) -> Configuration:
    """Return what `initialize` says; what does not fit is left out, and the user is told.

    Args:
        params: Of `initialize`.
        messages: Gets what the user should know.
    """
    workspace, window = params.capabilities.workspace, params.capabilities.window
    changes = workspace.did_change_configuration if workspace else None
    configuration = Configuration(
        options=object_of(params.initialization_options),
        can_be_asked=bool(workspace and workspace.configuration),
        can_register=bool(changes and changes.dynamic_registration),
        shows_progress=bool(window and window.work_done_progress),
    )
    try:
        configuration.settings = load_settings()
        configuration.settings = with_client_options(configuration.settings, configuration.options)
    except ConfigError as error:
        messages.append(f"Fimble: {error}")
    return configuration


def make_variants(ls: FimbleServer, settings: Settings, user_id: str) -> Variants:
    """Return what answers requests; experiments only where it can be said whose results they are.

    A rule of a rollout lies over the settings, and the arm of an experiment over that.

    Args:
        ls: The server; its user is told of experiments that cannot run.
        settings: Of the user.
        user_id: Pseudonym of the user; may be empty.
    """
    settings = ls.rollout.applied(settings)
    variants = Variants(
        settings,
        Backend(settings.engine),
        clock=ls.clock,
        user_id=user_id,
        experiments=usable(experiments_dir(), settings, ls.messages) if user_id else (),
        rollout=ls.rollout.assignment,
    )
    variants.show_filter = _filter_of(settings, ls.messages)
    return variants


def _filter_of(settings: Settings, messages: list[str]) -> ShowFilter | None:
    """Return the filter that is configured; None, and a message, where it cannot be used."""
    if not settings.completion.show_filter:
        return None
    try:
        return read_filter(Path(settings.completion.show_filter).expanduser())
    except InputError as error:
        messages.append(f"Fimble: suggestions go unfiltered: {error}")
        return None


async def begin(ls: FimbleServer) -> None:
    """Ask the editor for its settings, then bring up the engine and show that this goes on."""
    if ls.configuration.can_register:
        registration = types.Registration(
            id=SECTION,
            method=types.WORKSPACE_DID_CHANGE_CONFIGURATION,
            register_options={"section": SECTION},
        )
        ls.client_register_capability(types.RegistrationParams(registrations=[registration]))
    await take(ls, await _asked(ls))
    await _warm_up(ls)


async def changed(ls: FimbleServer, pushed: object) -> None:
    """The editor's settings have changed.

    Args:
        ls: The server.
        pushed: What came with the notification; editors that want to be asked send nothing.
    """
    table = object_of(object_of(pushed).get(SECTION))
    ls.configuration.is_pushed = ls.configuration.is_pushed or bool(table)
    if ls.configuration.is_pushed:
        await take(ls, table)
    else:
        await take(ls, await _asked(ls))


async def take(ls: FimbleServer, table: Mapping[str, object] | None) -> None:
    """Go on with the settings of an editor; the former stay where these do not fit.

    Args:
        ls: The server.
        table: The tables of `fimble.toml`; None where the editor has said nothing.
    """
    configuration = ls.configuration
    if table is None:
        return
    try:
        settings = with_client_options(load_settings(), configuration.options)
        settings = with_client_options(settings, table, where="the editor's settings")
    except ConfigError as error:
        ls.show_error(f"Fimble: {error}; the settings of before stay in force")
        return
    former = configuration.settings
    if settings == former:
        return
    configuration.settings = settings
    session = ls.open_session
    await session.reconfigure(make_variants(ls, settings, session.recorder.user_key))
    if settings.telemetry != former.telemetry:
        if settings.telemetry.level is TelemetryLevel.OFF:
            session.recorder.silence()
        else:
            ls.show_error("Fimble: telemetry settings count from the server's next start")
    for message in ls.messages:
        ls.show_error(message)
    ls.messages.clear()
    _log.info("settings changed")


async def follow_rollout(ls: FimbleServer) -> None:
    """Go on with the model of other rules as soon as there are any; tell what is wrong with them.

    Args:
        ls: The server; its rules have been read once.
    """
    while ls.rollout.is_on:
        await asyncio.sleep(ls.rollout.check_every_s)
        is_other = await asyncio.to_thread(ls.rollout.look)
        if trouble := ls.rollout.pop_trouble():
            ls.show_error(f"Fimble: rollout: {trouble}")
        if is_other:
            session = ls.open_session
            settings = ls.configuration.settings
            await session.reconfigure(make_variants(ls, settings, session.recorder.user_key))
            _log.info("rollout changed")
            await _warm_up(ls)


async def reconfigured(ls: FimbleServer, pushed: object) -> None:
    """Take over settings, and bring up the engine that they name if they are others."""
    former = ls.configuration.settings
    await changed(ls, pushed)
    if ls.configuration.settings != former:
        await _warm_up(ls)


async def _asked(ls: FimbleServer) -> Mapping[str, object] | None:
    """Return the editor's answer to `workspace/configuration`; None where it has none."""
    if not ls.configuration.can_be_asked:
        return None
    folder = next(iter(ls.open_session.folders), None)
    item = types.ConfigurationItem(scope_uri=folder, section=SECTION)
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            answers = await ls.workspace_configuration_async(types.ConfigurationParams([item]))
    except Exception as error:  # noqa: BLE001 - an editor's error; its text may be anything
        _log.warning("%s to workspace/configuration", type(error).__name__)
        return None
    return object_of(answers[0]) or None if answers else None


async def _warm_up(ls: FimbleServer) -> None:
    """Bring up the engine; where that takes a while, the editor shows it."""
    starting = asyncio.create_task(ls.open_session.warm_up())
    try:
        await asyncio.wait({starting}, timeout=SHOW_AFTER_S)
        if not starting.done() and ls.configuration.shows_progress:
            await _show_progress(ls, starting)
        await starting
    finally:
        starting.cancel()


async def _show_progress(ls: FimbleServer, starting: asyncio.Task[None]) -> None:
    token = f"{SECTION}-{uuid4().hex}"
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            await ls.work_done_progress.create_async(token)
    except Exception as error:  # noqa: BLE001 - an editor's error; its text may be anything
        _log.warning("%s to window/workDoneProgress/create", type(error).__name__)
        return
    about = types.WorkDoneProgressBegin(title="Fimble", message="starting the engine")
    ls.work_done_progress.begin(token, about)
    try:
        await asyncio.wait({starting})
    finally:
        ls.work_done_progress.end(token, types.WorkDoneProgressEnd())
