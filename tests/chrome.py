"""A real browser for the tests: Debian's Chromium, driven over its DevTools protocol by aiohttp, which the tests have anyway."""

import asyncio
import base64
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-port=0",
)
START_S, WAIT_S, LOOK_S = 60.0, 60.0, 0.03
DESKTOP, PHONE = (1280, 900), (390, 844)
# Keys whose event is not just their letter.
CODES = {"Escape": 27, "Tab": 9, "Enter": 13}


class Browser:
    """The browser; its tabs share one connection."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._ids = socket, count(1)
        self._waiting: dict[int, asyncio.Future] = {}
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if (waiting := self._waiting.pop(said.get("id", 0), None)) and not waiting.done():
                waiting.set_result(said)

    async def do(self, method: str, session: str = "", **params: object) -> dict[str, Any]:
        """A command's result; AssertionError with what the browser says where it fails."""
        number = next(self._ids)
        self._waiting[number] = answer = asyncio.get_running_loop().create_future()
        said: dict[str, object] = {"id": number, "method": method, "params": params}
        await self._socket.send_str(json.dumps(said | ({"sessionId": session} if session else {})))
        got = await asyncio.wait_for(answer, WAIT_S)
        assert "error" not in got, f"{method}: {got['error']}"
        return got["result"]

    async def tab(self, size: tuple[int, int] = DESKTOP, dark: bool = False) -> "Tab":
        """A tab with cookies and storage of its own: another person."""
        context = (await self.do("Target.createBrowserContext"))["browserContextId"]
        target = (await self.do("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
        session = (await self.do("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        made = Tab(self, session)
        await made.do("Page.enable")
        await made.look(size, dark)
        return made

    def close(self) -> None:
        self._reader.cancel()


class Tab:
    """One page."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    async def do(self, method: str, **params: object) -> dict[str, Any]:
        return await self._browser.do(method, self._session, **params)

    async def look(self, size: tuple[int, int], dark: bool, zoom: float = 1) -> None:
        """Sets the window's size in CSS pixels, the zoom, and whether it is dark."""
        width, height = (round(side / zoom) for side in size)
        await self.do(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.do("Emulation.setEmulatedMedia", features=scheme)

    async def open(self, url: str) -> None:
        await self.do("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def value(self, expression: str) -> Any:
        """What an expression, or the promise that it is, comes to."""
        said = await self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    async def until(self, expression: str) -> None:
        for _ in range(int(WAIT_S / LOOK_S)):
            if await self.value(expression):
                return
            await asyncio.sleep(LOOK_S)
        raise AssertionError(
            f"{expression} did not come true; the page says: {await self.value('document.body.innerText')}"
        )

    async def press(self, key: str) -> None:
        """One key, as a keyboard sends it."""
        said: dict[str, object] = {"key": key} | (
            {"windowsVirtualKeyCode": CODES[key]} if key in CODES else {"text": key}
        )
        await self.do("Input.dispatchKeyEvent", type="keyDown", **said)
        await self.do("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def offline(self, yes: bool) -> None:
        await self.do("Network.enable")
        await self.do(
            "Network.emulateNetworkConditions", offline=yes, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )

    async def picture(self, path: Path) -> None:
        shot = await self.do("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Chromium for as long as the block lasts."""
    assert PROGRAM, "no Chromium: apt-get install chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            PROGRAM, *FLAGS, f"--user-data-dir={folder}", "about:blank", stdout=-3, stderr=-3
        )
        try:
            port, path = await _answers(Path(folder) / "DevToolsActivePort", process)
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0) as socket,
            ):
                made = Browser(socket)
                yield made
                made.close()
        finally:
            process.terminate()
            await process.wait()


async def _answers(place: Path, process: asyncio.subprocess.Process) -> tuple[str, str]:
    for _ in range(int(START_S / LOOK_S)):
        if place.exists() and len(lines := place.read_text().split("\n")) > 1:
            return lines[0], lines[1]
        assert process.returncode is None, "Chromium ended"
        await asyncio.sleep(LOOK_S)
    raise AssertionError("Chromium does not answer")
