"""pygls's protocol, with a short way for the two messages that come at every key.

pygls looks anew at each message what its handler is and prepares for every kind of it; between two
keys the processor's caches go cold, so that this took longer than what the handler did.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import FeatureNotificationError, JsonRpcException
from pygls.protocol import LanguageServerProtocol

if TYPE_CHECKING:
    from cattrs import Converter
    from pygls.lsp.server import LanguageServer
    from pygls.protocol.json_rpc import RPCMessage


class Protocol(LanguageServerProtocol):
    """Reads and writes JSON-RPC."""

    def __init__(self, server: LanguageServer, converter: Converter) -> None:
        super().__init__(server, converter)
        self._not_begun: dict[int | str, str] = {}
        """Documents of requests that came with what is just read, by the requests' ids."""

    # pyrefly: ignore[missing-override-decorator]
    def structure_message(self, data: dict[str, Any]) -> RPCMessage:
        """Return a message; pygls would leave a request whose parameters are wrong unanswered.

        Raises:
            JsonRpcException: It is none.
        """
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            if "method" in data and isinstance(number := data.get("id"), int | str):
                self._send_response(number, error=error.to_response_error())
            raise

    # `typing.override` came with Python 3.12.
    # pyrefly: ignore[missing-override-decorator]
    def handle_message(self, message: RPCMessage) -> None:
        """Call the handler of a message."""
        if self._shutdown or message.jsonrpc != self.VERSION:
            super().handle_message(message)
        elif isinstance(message, types.DidChangeTextDocumentNotification):
            self._changed(message.params)
        elif isinstance(message, types.InlineCompletionRequest):
            self._asked(message.id, message.params)
        else:
            super().handle_message(message)

    def _changed(self, params: types.DidChangeTextDocumentParams) -> None:
        changed = params.text_document.uri
        # Their places are not those of the text that they would find.
        self._not_begun = {n: uri for n, uri in self._not_begun.items() if uri != changed}
        try:
            self.fm.features[types.TEXT_DOCUMENT_DID_CHANGE](params)
        except Exception as error:  # noqa: BLE001 - as pygls does
            self._server.report_server_error(error, FeatureNotificationError)

    def _asked(self, number: int | str, params: types.InlineCompletionParams) -> None:
        self._not_begun[number] = params.text_document.uri
        task = asyncio.get_running_loop().create_task(self._answer(number, params))
        # pygls holds tasks among its futures, too.
        self._request_futures[number] = task  # pyrefly: ignore[unsupported-operation]
        task.add_done_callback(partial(self._answered, number))

    async def _answer(self, number: int | str, params: types.InlineCompletionParams) -> None:
        """Send the answer; pygls would take another turn of the loop for that."""
        handler = self.fm.features[types.TEXT_DOCUMENT_INLINE_COMPLETION]
        is_current = self._not_begun.pop(number, None) is not None
        self._send_response(number, result=await handler(params) if is_current else None)

    def _answered(self, number: int | str, task: asyncio.Task[None]) -> None:
        self._not_begun.pop(number, None)
        if task.cancelled() or task.exception() is not None:
            # pyrefly: ignore[bad-argument-type]
            self._send_handler_result(task, msg_id=number)
        else:
            self._request_futures.pop(number, None)
