"""A real browser without a window, which can reach this machine only, and what it shows."""

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
WAIT_S = 240.0


def program() -> str | None:
    """Return the browser of this machine, if there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One page of the browser, and what it did."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.hosts: set[str] = set()
        """Machines that the page asked for something."""
        self.errors: list[str] = []
        """Exceptions that nobody caught."""

    async def listen(self) -> None:
        async for message in self._socket:
            found = json.loads(message.data)
            if "id" in found:
                self._answers.pop(found["id"]).set_result(found)
            elif found["method"] == "Network.requestWillBeSent":
                host = urlsplit(found["params"]["request"]["url"]).hostname
                self.hosts |= {host} if host else set()
            elif found["method"] == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(found["params"]["exceptionDetails"]))

    async def send(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        answer = self._answers[number]
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        found = await asyncio.wait_for(answer, WAIT_S)
        assert "error" not in found, found
        return dict(found["result"])

    async def open(self, address: str) -> None:
        await self.send("Page.navigate", url=address)

    async def value(self, script: str) -> Any:  # noqa: ANN401 - whatever the script gives
        found = await self.send("Runtime.evaluate", expression=script, returnByValue=True)
        return found["result"].get("value")

    async def text(self) -> str:
        """Return what can be read, in open shadow trees, too."""
        return str(await self.value(_ALL_TEXT))

    async def wait_for(self, *wanted: str) -> str:
        """Return what can be read once all that is wanted can be."""
        deadline_s = time.monotonic() + WAIT_S
        while True:
            text = await self.text()
            if all(each in text for each in wanted):
                return text
            assert time.monotonic() < deadline_s, f"{wanted} in {text[:3000]!r}, {self.errors}"
            await asyncio.sleep(0.3)

    async def screenshot(self, path: Path, *, width: int, height: int, dark: bool = False) -> None:
        scheme = "dark" if dark else "light"
        await self.send(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        await asyncio.sleep(0.5)
        found = await self.send("Page.captureScreenshot", captureBeyondViewport=False)
        path.write_bytes(base64.b64decode(found["data"]))


_ALL_TEXT = """(() => {
  const read = (node) => node.nodeType === 3 ? node.data
    : ["SCRIPT", "STYLE"].includes(node.nodeName) ? ""
    : [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes].map(read).join(" ");
  return document.body ? read(document.body).replace(/\\s+/g, ' ') : "";
})()"""


@contextlib.asynccontextmanager
async def opened(name: str) -> AsyncIterator[Page]:
    """Yield an empty page of a browser that ends with it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [name, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as browser:
            try:
                port = await _port(Path(profile))
                async with aiohttp.ClientSession() as client:
                    async with client.get(f"http://127.0.0.1:{port}/json/list") as answer:
                        pages = [each for each in await answer.json() if each["type"] == "page"]
                    async with client.ws_connect(
                        pages[0]["webSocketDebuggerUrl"], max_msg_size=0
                    ) as socket:
                        page = Page(socket)
                        listening = asyncio.create_task(page.listen())
                        for domain in ("Network", "Page", "Runtime"):
                            await page.send(f"{domain}.enable")
                        yield page
                        listening.cancel()
            finally:
                browser.terminate()


async def _port(profile: Path) -> int:
    """Return where the browser listens, once it says so."""
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            return int((profile / "DevToolsActivePort").read_text().splitlines()[0])
        await asyncio.sleep(0.1)
    raise TimeoutError("the browser did not start")
