"""pygls's protocol, with a short way for the two messages that come at every key.

pygls looks anew at each message what its handler is and prepares for every kind of it; between two
keys the processor's caches go cold, so that this took longer than what the handler did.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import FeatureNotificationError
from pygls.protocol import LanguageServerProtocol

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pygls.protocol.json_rpc import RPCMessage


class Protocol(LanguageServerProtocol):
    """Reads and writes JSON-RPC."""

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
        try:
            self.fm.features[types.TEXT_DOCUMENT_DID_CHANGE](params)
        except Exception as error:  # noqa: BLE001 - as pygls does
            self._server.report_server_error(error, FeatureNotificationError)

    def _asked(self, number: int | str, params: types.InlineCompletionParams) -> None:
        asked = self.fm.features[types.TEXT_DOCUMENT_INLINE_COMPLETION](params)
        task = asyncio.get_running_loop().create_task(self._answer(number, asked))
        # pygls holds tasks among its futures, too.
        self._request_futures[number] = task  # pyrefly: ignore[unsupported-operation]
        task.add_done_callback(partial(self._answered, number))

    async def _answer(self, number: int | str, asked: Coroutine[None, None, object]) -> None:
        """Send the answer; pygls would take another turn of the loop for that."""
        self._send_response(number, result=await asked)

    def _answered(self, number: int | str, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is not None:
            # pyrefly: ignore[bad-argument-type]
            self._send_handler_result(task, msg_id=number)
        else:
            self._request_futures.pop(number, None)
