"""An editor without a screen: speaks LSP with a real `fimble lsp` process over its pipes."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

URI = "file:///project/pkg/module.py"
LIMIT_S = 30.0


class LspError(Exception):
    """The server answered a request with an error, or with what is no message."""


class LspClient:
    """One editor session; use `start_client`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Talk with a process whose standard input and output are pipes."""
        if process.stdin is None or process.stdout is None:
            raise ValueError("the process has no pipes")
        self.process = process
        self._input, self._output = process.stdin, process.stdout
        self.capabilities: dict[str, Any] = {}
        self.messages: list[str] = []
        """What the server showed to the user."""
        self.notified: list[Mapping[str, Any]] = []
        """Notifications of the server's besides those."""
        self.asked: list[Mapping[str, Any]] = []
        """Requests of the server's."""
        self.answers: dict[str, object] = {}
        """What they are answered with, by method; null where there is nothing."""
        self.versions: dict[str, int] = {}
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reader = asyncio.create_task(self._read_all())

    async def initialize(
        self,
        *,
        encodings: list[str] | None = None,
        options: object = None,
        inline: bool = True,
        name: str = "test",
        capabilities: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """Say hello, and return the server's answer; `capabilities` are those besides the usual."""
        text_document: dict[str, object] = {"inlineCompletion": {}} if inline else {}
        result = await self.request(
            "initialize",
            {
                "processId": os.getpid(),
                "clientInfo": {"name": name, "version": "1.0"},
                "rootUri": "file:///project",
                "workspaceFolders": [{"uri": "file:///project", "name": "project"}],
                "capabilities": {
                    "general": {"positionEncodings": encodings or ["utf-16"]},
                    "textDocument": text_document,
                    **(capabilities or {}),
                },
                "initializationOptions": options,
            },
        )
        self.capabilities = result["capabilities"]
        self.notify("initialized", {})
        return result

    def open(self, text: str, *, uri: str = URI, language: str = "python") -> None:
        """Open a document."""
        self.versions[uri] = 1
        item = {"uri": uri, "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def change(
        self, *changes: tuple[tuple[int, int], tuple[int, int], str], uri: str = URI
    ) -> None:
        """Replace ranges of a document, one after the other."""
        self.versions[uri] += 1
        items = [
            {
                "range": {
                    "start": {"line": start[0], "character": start[1]},
                    "end": {"line": end[0], "character": end[1]},
                },
                "text": text,
            }
            for start, end, text in changes
        ]
        document = {"uri": uri, "version": self.versions[uri]}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": items})

    def type(self, place: tuple[int, int], text: str, *, uri: str = URI) -> None:
        """Write text at a place, in one edit."""
        self.change((place, place, text), uri=uri)

    def ask(
        self,
        place: tuple[int, int],
        *,
        uri: str = URI,
        kind: int = 2,
        **context: Any,  # noqa: ANN401 - JSON
    ) -> asyncio.Future[Any]:
        """Ask for inline completions; return the future of the answer."""
        return self.send(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": uri},
                "position": {"line": place[0], "character": place[1]},
                "context": {"triggerKind": kind, **context},
            },
        )

    async def items(
        self,
        place: tuple[int, int],
        **more: Any,  # noqa: ANN401 - JSON
    ) -> list[dict[str, Any]] | None:
        """Ask for inline completions; return the items, or None for a null answer."""
        result = await asyncio.wait_for(self.ask(place, **more), LIMIT_S)
        return None if result is None else result["items"]

    async def explain(self, uri: str = URI) -> dict[str, Any]:
        """Ask why the latest answer was what it was."""
        return await self.run("fimble.explain", uri)

    async def run(self, command: str, *arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Run a command of the server."""
        params = {"command": command, "arguments": list(arguments)}
        return await self.request("workspace/executeCommand", params)

    def send(self, method: str, params: object) -> asyncio.Future[Any]:
        """Send a request; return the future of its result."""
        number = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.number = number  # type: ignore[attr-defined]
        self._waiting[number] = future
        self._write({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return future

    async def request(self, method: str, params: object) -> Any:  # noqa: ANN401 - JSON
        """Send a request and wait for its result."""
        return await asyncio.wait_for(self.send(method, params), LIMIT_S)

    def cancel(self, future: asyncio.Future[Any]) -> None:
        """Cancel a request."""
        self.notify("$/cancelRequest", {"id": future.number})  # type: ignore[attr-defined]

    def notify(self, method: str, params: object) -> None:
        """Send a notification."""
        self._write({"jsonrpc": "2.0", "method": method, "params": params})

    async def settle(self) -> None:
        """Wait until the server has read everything that was sent so far."""
        await self.explain("file:///nothing")

    async def close(self) -> int:
        """Say goodbye, and return the exit code."""
        await self.request("shutdown", None)
        self.notify("exit", None)
        self._input.close()
        code = await asyncio.wait_for(self.process.wait(), LIMIT_S)
        await self._reader
        return code

    async def kill(self) -> None:
        """End the server without a word."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reader

    def _write(self, message: Mapping[str, object]) -> None:
        body = json.dumps(message).encode()
        self._input.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    async def _read_all(self) -> None:
        while header := await self._output.readline():
            if not header.startswith(b"Content-Length: "):
                raise LspError(f"not LSP: {header!r}")
            length = int(header.split(b":")[1])
            while (await self._output.readline()).strip():
                pass
            self._receive(json.loads(await self._output.readexactly(length)))

    def _receive(self, message: Mapping[str, Any]) -> None:
        if message.get("method") == "window/showMessage":
            self.messages.append(message["params"]["message"])
        elif "method" in message and "id" in message:
            self.asked.append(message)
            result = self.answers.get(message["method"])
            self._write({"jsonrpc": "2.0", "id": message["id"], "result": result})
        elif "method" in message:
            self.notified.append(message)
        else:
            future = self._waiting.pop(message["id"])
            if future.done():
                return
            if "error" in message:
                future.set_exception(LspError(message["error"]))
            else:
                future.set_result(message["result"])


async def start_client(environment: Mapping[str, str]) -> LspClient:
    """Start `fimble lsp` and return the client of it, before `initialize`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "fimble",
        "lsp",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
        limit=1 << 26,
    )
    return LspClient(process)
