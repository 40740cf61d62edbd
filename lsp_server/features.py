"""The language server's wire: LSP messages in, calls of the session, LSP messages out.

Handlers translate and decide nothing. See `docs/language-server.md` for what is spoken.
"""

from __future__ import annotations

import asyncio
import logging
from importlib.metadata import version
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from fimble.clock import SystemClock
from fimble.events import Trigger
from fimble.text import PositionEncoding, to_lf
from lsp_server.asking import Client, Request
from lsp_server.configuring import (
    Configuration,
    begin,
    first_configuration,
    follow_rollout,
    make_variants,
    reconfigured,
)
from lsp_server.logs import OUR_LOGGER
from lsp_server.offers import Selected
from lsp_server.protocol import Protocol
from lsp_server.recording import start_recording
from lsp_server.rollouts.following import Following
from lsp_server.session import Session
from lsp_server.shipping.beside import start_beside
from lsp_server.wire import (
    ACCEPTED_COMMAND,
    cell_of,
    change_of,
    completion_id_in,
    converter,
    inline_item,
    object_of,
    popup_item,
    position_of,
    range_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pygls.server import ServerErrors

    from fimble.clock import Clock
    from lsp_server.recording import Outboxes

EXPLAIN_COMMAND = "fimble.explain"
TRIGGER_CHARACTERS = (".", "(", " ", "=", ":", ",")
_log = logging.getLogger(OUR_LOGGER)


class FimbleServer(LanguageServer):
    """pygls's server with one session; documents are kept by the session, not by pygls."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(
            "fimble",
            version("fimble"),
            types.TextDocumentSyncKind.Incremental,
            notebook_document_sync=types.NotebookDocumentSyncOptions(
                [types.NotebookDocumentFilterWithNotebook(notebook="*")]
            ),
            protocol_cls=Protocol,
            converter_factory=converter,
        )
        self.clock = clock
        self.configuration = Configuration()
        self.rollout = Following(self.configuration.settings, clock)
        self.session: Session | None = None
        self.outbox: Outboxes | None = None
        self.is_shipped = False
        """Whether segments go to a collector."""
        self.messages: list[str] = []
        """What to tell the user as soon as the editor listens."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None
        for method in _KEPT_BY_SESSION:
            self.protocol.fm.builtin_features.pop(method)

    @property
    def open_session(self) -> Session:
        """The session; there is one from `initialize` on."""
        assert self.session is not None
        return self.session

    def show_error(self, message: str) -> None:
        """Show a message to the user."""
        self.window_show_message(
            types.ShowMessageParams(type=types.MessageType.Error, message=message)
        )

    # `typing.override` came with Python 3.12.
    # pyrefly: ignore[missing-override-decorator]
    def report_server_error(self, error: Exception, source: ServerErrors) -> None:
        """Log the kind of an error that no handler expected; its text may hold code."""
        _log.error("%s in %s", type(error).__name__, source.__name__)

    def in_background(self, task: asyncio.Task[None]) -> None:
        """Keep a task alive until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """End the session and write the events that wait, once.

        Editors may leave while the session ends; whoever comes second waits for the first.
        """
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        # Whoever waits for an engine that does not come up holds what `close` needs.
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.session is not None:
            await self.session.close()
        if self.outbox is not None:
            await asyncio.to_thread(self.outbox.close)


_KEPT_BY_SESSION = (
    types.TEXT_DOCUMENT_DID_OPEN,
    types.TEXT_DOCUMENT_DID_CHANGE,
    types.TEXT_DOCUMENT_DID_CLOSE,
    types.NOTEBOOK_DOCUMENT_DID_OPEN,
    types.NOTEBOOK_DOCUMENT_DID_CHANGE,
    types.NOTEBOOK_DOCUMENT_DID_CLOSE,
)


def make_server(clock: Clock | None = None) -> FimbleServer:
    """Return the language server, ready to be given a transport."""
    server = FimbleServer(clock or SystemClock())
    for method, handler in _FEATURES.items():
        server.feature(method)(handler)
    server.feature(
        types.TEXT_DOCUMENT_INLINE_COMPLETION,
        # Some clients read an empty object as "no"; a plain `true` breaks pygls.
        types.InlineCompletionOptions(work_done_progress=False),
    )(inline_completion)
    server.command(ACCEPTED_COMMAND)(run_accepted)
    server.command(EXPLAIN_COMMAND)(run_explain)
    return server


def initialize(ls: FimbleServer, params: types.InitializeParams) -> None:
    """Make the session; the capabilities follow from what is registered."""
    ls.configuration = first_configuration(params, ls.messages)
    settings = ls.configuration.settings
    client = _client(ls, params)
    recording = start_recording(settings, client, clock=ls.clock, server_version=ls.version)
    ls.outbox, recorder = recording.outbox, recording.recorder
    ls.messages += recording.messages
    ls.is_shipped = recording.is_shipped
    ls.rollout = Following(settings, ls.clock)
    ls.rollout.look()
    if trouble := ls.rollout.pop_trouble():
        ls.messages.append(f"Fimble: rollout: {trouble}")
    variants = make_variants(ls, settings, recorder.user_key)
    ls.session = Session(client, variants, recorder=recorder, editor=ls, clock=ls.clock)
    inline = (
        params.capabilities.text_document and params.capabilities.text_document.inline_completion
    )
    if not inline:
        options = types.CompletionOptions(trigger_characters=list(TRIGGER_CHARACTERS))
        ls.feature(types.TEXT_DOCUMENT_COMPLETION, options)(completion)


def initialized(ls: FimbleServer, _: types.InitializedParams) -> None:
    """Bring up the engine while the user still looks for the first key."""
    for message in ls.messages:
        ls.show_error(message)
    ls.messages.clear()
    ls.in_background(asyncio.create_task(begin(ls)))
    ls.in_background(asyncio.create_task(follow_rollout(ls)))
    if ls.is_shipped:
        ls.in_background(asyncio.create_task(asyncio.to_thread(start_beside)))


async def shutdown(ls: FimbleServer, _: None) -> None:
    """End the session before the answer goes out."""
    await ls.end()


def did_open(ls: FimbleServer, params: types.DidOpenTextDocumentParams) -> None:
    """Hold a document."""
    opened = params.text_document
    ls.open_session.opened(opened.uri, opened.language_id, opened.version, opened.text)


def did_change(ls: FimbleServer, params: types.DidChangeTextDocumentParams) -> None:
    """Take over the changes of a document."""
    changes = [change_of(change) for change in params.content_changes]
    ls.open_session.changed(params.text_document.uri, params.text_document.version, changes)


def did_close(ls: FimbleServer, params: types.DidCloseTextDocumentParams) -> None:
    """Forget a document."""
    ls.open_session.closed(params.text_document.uri)


def did_open_notebook(ls: FimbleServer, params: types.DidOpenNotebookDocumentParams) -> None:
    """Hold a notebook; each of its cells is a document."""
    ls.open_session.notebooks.opened(
        params.notebook_document.uri, [cell_of(cell) for cell in params.notebook_document.cells]
    )
    _open_all(ls, params.cell_text_documents)


def did_change_notebook(ls: FimbleServer, params: types.DidChangeNotebookDocumentParams) -> None:
    """Take over the changes of a notebook: its cells, what they are, and what they hold."""
    session, uri, cells = ls.open_session, params.notebook_document.uri, params.change.cells
    if cells is None:
        return
    if structure := cells.structure:
        gone = structure.array.start, structure.array.delete_count
        came = [cell_of(cell) for cell in structure.array.cells or ()]
        session.notebooks.rearranged(uri, gone, came)
        _open_all(ls, structure.did_open or ())
        for closed in structure.did_close or ():
            session.closed(closed.uri)
    session.notebooks.recast(uri, [cell_of(cell) for cell in cells.data or ()])
    for content in cells.text_content or ():
        changes = [change_of(change) for change in content.changes]
        session.changed(content.document.uri, content.document.version, changes)


def did_close_notebook(ls: FimbleServer, params: types.DidCloseNotebookDocumentParams) -> None:
    """Forget a notebook and its cells."""
    ls.open_session.notebooks.closed(params.notebook_document.uri)
    for document in params.cell_text_documents:
        ls.open_session.closed(document.uri)


def _open_all(ls: FimbleServer, items: Iterable[types.TextDocumentItem]) -> None:
    for item in items:
        ls.open_session.opened(item.uri, item.language_id, item.version, item.text)


def did_change_folders(ls: FimbleServer, params: types.DidChangeWorkspaceFoldersParams) -> None:
    """Take over the workspace folders."""
    removed = {folder.uri for folder in params.event.removed}
    folders = ls.open_session.folders
    folders[:] = [uri for uri in folders if uri not in removed]
    folders += [folder.uri for folder in params.event.added]
    ls.in_background(asyncio.create_task(ls.open_session.warm_up()))  # their ignore files


def did_change_configuration(ls: FimbleServer, params: types.DidChangeConfigurationParams) -> None:
    """Take over the editor's settings."""
    ls.in_background(asyncio.create_task(reconfigured(ls, params.settings)))


async def inline_completion(
    ls: FimbleServer, params: types.InlineCompletionParams
) -> types.InlineCompletionList | None:
    """Answer with ghost text; null once the request was superseded."""
    context = params.context
    is_invoked = context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
    chosen = context.selected_completion_info
    if chosen is not None and chosen.range.start.line != params.position.line:
        chosen = None  # some editors send a selection here, of any lines
    items = await ls.open_session.complete(
        Request(
            uri=params.text_document.uri,
            position=position_of(params.position),
            trigger=Trigger.INVOKED if is_invoked else Trigger.AUTOMATIC,
            selected=Selected(range_of(chosen.range), chosen.text) if chosen else None,
        )
    )
    if items is None:
        return None
    return types.InlineCompletionList(items=[inline_item(item) for item in items])


async def completion(
    ls: FimbleServer, params: types.CompletionParams
) -> types.CompletionList | None:
    """Answer in the popup, for editors without ghost text."""
    kind = params.context.trigger_kind if params.context else None
    is_invoked = kind == types.CompletionTriggerKind.Invoked
    items = await ls.open_session.complete(
        Request(
            uri=params.text_document.uri,
            position=position_of(params.position),
            trigger=Trigger.INVOKED if is_invoked else Trigger.AUTOMATIC,
            from_word=True,
        )
    )
    if items is None:
        return None
    return types.CompletionList(is_incomplete=True, items=[popup_item(item) for item in items])


def did_show(ls: FimbleServer, params: object) -> None:
    """Copilot's `textDocument/didShowCompletion`: the editor says what is on screen."""
    if (completion_id := completion_id_in(params)) is not None:
        ls.open_session.recorder.shown(completion_id)


def did_accept_part(ls: FimbleServer, params: object) -> None:
    """Copilot's `textDocument/didPartiallyAcceptCompletion`: counted from the item's start."""
    item, length = object_of(object_of(params).get("item")), object_of(params).get("acceptedLength")
    completion_id, text = completion_id_in(params), item.get("insertText")
    if completion_id is not None and isinstance(length, int) and isinstance(text, str):
        left = text.encode("utf-16-le")[2 * length :].decode("utf-16-le", errors="ignore")
        ls.open_session.recorder.accepted_part(completion_id, len(to_lf(left)))


def did_focus(ls: FimbleServer, params: object) -> None:
    """Copilot's `textDocument/didFocus`: the user went to a document."""
    uri = object_of(object_of(params).get("textDocument")).get("uri")
    if isinstance(uri, str):
        ls.open_session.focused(uri)


def run_accepted(ls: FimbleServer, *arguments: object) -> None:
    """The command of each item: the editor has inserted it."""
    if arguments and isinstance(arguments[0], str):
        ls.open_session.recorder.accepted(arguments[0])


def run_explain(ls: FimbleServer, *arguments: object) -> dict[str, object]:
    """Why the latest request for a document got the answer it got."""
    uri = arguments[0] if arguments and isinstance(arguments[0], str) else ""
    said = ls.open_session.explain(uri)
    return {**said, "rollout": ls.rollout.explain()} if ls.rollout.is_on else said


_FEATURES = {
    types.INITIALIZE: initialize,
    types.INITIALIZED: initialized,
    types.SHUTDOWN: shutdown,
    types.TEXT_DOCUMENT_DID_OPEN: did_open,
    types.TEXT_DOCUMENT_DID_CHANGE: did_change,
    types.TEXT_DOCUMENT_DID_CLOSE: did_close,
    types.NOTEBOOK_DOCUMENT_DID_OPEN: did_open_notebook,
    types.NOTEBOOK_DOCUMENT_DID_CHANGE: did_change_notebook,
    types.NOTEBOOK_DOCUMENT_DID_CLOSE: did_close_notebook,
    types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS: did_change_folders,
    types.WORKSPACE_DID_CHANGE_CONFIGURATION: did_change_configuration,
    "textDocument/didShowCompletion": did_show,
    "textDocument/didPartiallyAcceptCompletion": did_accept_part,
    "textDocument/didFocus": did_focus,
}


def _client(ls: FimbleServer, params: types.InitializeParams) -> Client:
    said = params.client_info
    # pygls has chosen the first encoding of the client's that we know.
    encoding = ls.workspace.position_encoding
    chosen = encoding.value if isinstance(encoding, types.PositionEncodingKind) else encoding
    folders = [folder.uri for folder in params.workspace_folders or []]
    return Client(
        name=said.name if said else "",
        version=(said.version or "") if said else "",
        encoding=PositionEncoding(str(chosen)),
        folders=folders or ([params.root_uri] if params.root_uri else []),
    )
