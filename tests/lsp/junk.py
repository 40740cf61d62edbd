"""Messages that look like LSP and are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.stand_ins.lsp_client import URI, LspClient

if TYPE_CHECKING:
    import random


def junk(chance: random.Random, number: int) -> dict[str, object]:
    """Return what is JSON and may be anything."""
    uris = [URI, "file:///other.py", "", "x:", 3, None]
    values = [None, True, -1, 1e400 if number % 50 == 0 else 2**40, "", "x" * 50, [], {}, [[]]]
    methods = [
        "textDocument/inlineCompletion",
        "textDocument/didChange",
        "textDocument/didOpen",
        "textDocument/didClose",
        "textDocument/didFocus",
        "textDocument/didPartiallyAcceptCompletion",
        "workspace/executeCommand",
        "workspace/didChangeWorkspaceFolders",
        "$/cancelRequest",
        "$/nonsense",
        "workspace/didChangeConfiguration",
        "notebookDocument/didOpen",
        "notebookDocument/didChange",
        "nonsense",
    ]
    place = {"line": chance.choice([0, 1, -1, 2**31, "1"]), "character": chance.choice([0, 5, -3])}
    params = {
        "textDocument": {
            "uri": chance.choice(uris),
            "version": chance.choice(values),
            "text": chance.choice(["x = 1\n", 3]),
            "languageId": "python",
        },
        "position": place,
        "context": {"triggerKind": chance.choice([1, 2, 9, None])},
        "contentChanges": [{"range": {"start": place, "end": place}, "text": "a"}],
        "command": chance.choice(["fimble.explain", "fimble.accepted", "rm"]),
        "arguments": chance.choice([values, [], None, [uris]]),
        "item": chance.choice(values),
        "id": number,
        "settings": chance.choice([{"fimble": 3}, {"fimble": {}}, None, []]),
        "notebookDocument": {"uri": chance.choice(uris), "version": 1, "cells": []},
        "change": chance.choice([{}, {"cells": {"structure": {"array": {"start": 9}}}}, 3]),
    }
    for key in chance.sample(sorted(params), chance.randint(0, 4)):
        params[key] = chance.choice(values)
    message: dict[str, object] = {
        "jsonrpc": chance.choice(["2.0", "2.0", "2.0", "1.0", None]),
        "method": chance.choice(methods),
        "params": chance.choice([params, params, params, *values]),
    }
    if chance.random() < 0.5:
        message["id"] = chance.choice([1_000_000 + number, 1_000_000 + number, f"s{number}", None])
    for key in chance.sample(sorted(message), int(chance.random() < 0.1)):
        del message[key]
    return message


def send_junk(client: LspClient, chance: random.Random, number: int) -> None:
    """Send one message that is none."""
    client._write(junk(chance, number))


def hear_ours_only(client: LspClient) -> None:
    """Take what answers the client's own requests; the rest answers junk."""

    def receive(message: dict[str, object]) -> None:
        number = message.get("id")
        if "method" not in message and isinstance(number, int) and number in client._waiting:
            LspClient._receive(client, message)

    client._receive = receive  # type: ignore[method-assign]
