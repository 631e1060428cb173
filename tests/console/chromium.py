"""A headless Chromium, driven by its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from tests.waiting import until

FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",  # it opens nothing but the service under test, and root has no sandbox
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-port=0",
)
DOMAINS: Final = ("Page", "Network", "Log", "Runtime")


@dataclass
class Tab:
    """One tab; `events` is what Chromium told since the last page was opened."""

    socket: aiohttp.ClientWebSocketResponse
    events: list[dict[str, Any]] = field(default_factory=list)
    _calls: int = 0

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the protocol."""
        self._calls += 1
        await self.socket.send_str(orjson.dumps({"id": self._calls, "method": method, "params": parameters}).decode())
        while True:
            told = orjson.loads((await self.socket.receive()).data)
            if told.get("id") == self._calls:
                assert "error" not in told, told
                return dict(told["result"])
            self.events.append(told)

    async def open(self, url: str) -> None:
        """Open a page, and wait until all of it is loaded."""
        self.events.clear()
        found = await self.call("Page.navigate", url=url)
        assert "errorText" not in found, (url, found)
        while not any(one["method"] == "Page.loadEventFired" for one in self.events):
            self.events.append(orjson.loads((await self.socket.receive()).data))

    async def value(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return (await self.call("Runtime.evaluate", expression=expression, returnByValue=True))["result"].get("value")

    async def picture(self) -> bytes:
        """The whole page as a PNG."""
        found = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(found["data"])

    async def look(self, width: int, scheme: str) -> None:
        """Be so wide, a phone where that is narrow, and prefer light or dark."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def complaints(self) -> list[str]:
        """Errors of the console, exceptions, and what could not be loaded, since the last page was opened."""
        return [
            orjson.dumps(one["params"]).decode()
            for one in self.events
            if one["method"] in ("Runtime.exceptionThrown", "Network.loadingFailed")
            or (one["method"] == "Log.entryAdded" and one["params"]["entry"]["level"] in ("error", "warning"))
            or (one["method"] == "Runtime.consoleAPICalled" and one["params"]["type"] in ("error", "warning", "assert"))
        ]


@asynccontextmanager
async def chromium(program: str) -> AsyncIterator[Tab]:
    """A tab of a new Chromium, which ends with the block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        port = Path(folder, "DevToolsActivePort")
        flags = (*FLAGS, f"--user-data-dir={folder}", "about:blank")
        null = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(program, *flags, stdout=null, stderr=null)
        try:
            await until(lambda: process.returncode is not None or (port.exists() and "\n" in port.read_text()))
            assert process.returncode is None, f"{program} ended with status {process.returncode}"
            address = f"http://127.0.0.1:{port.read_text().split()[0]}"
            async with aiohttp.ClientSession() as client:
                async with client.get(f"{address}/json/list") as answer:
                    [page] = [one for one in await answer.json() if one["type"] == "page"]
                async with client.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    tab = Tab(socket)
                    for domain in DOMAINS:
                        await tab.call(f"{domain}.enable")
                    yield tab
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
