"""The clients of the bench `monitor`: readers of the event stream, quick and slow, and a page."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from fleet_bootstraps.fleet import system_clock

_CHUNK = 32 * 1024
_ROW = re.compile(rb'"deliberation_id":"([^"]*)"')
_CHANGED = re.compile(rb'"changed_ms":([0-9]+)')
_SAMPLE_MS = 100


@dataclass
class Reader:
    """One client: the last row of each deliberation, as it was sent.

    Attributes:
        pause_s: between two reads; 0 for one that keeps up.
        ages: of the rows when they came, in milliseconds.
    """

    pause_s: float = 0.0
    rows: dict[bytes, bytes] = field(default_factory=dict)
    ages: list[float] = field(default_factory=list)

    async def read(self, url: str) -> None:
        """Read for ever."""
        timeout = aiohttp.ClientTimeout(total=None)
        # A slow reader's own buffers are small, so that the server feels how slow it is.
        connector = aiohttp.TCPConnector(socket_factory=_small) if self.pause_s else None
        async with (
            aiohttp.ClientSession(
                timeout=timeout, read_bufsize=_CHUNK, connector=connector
            ) as http,
            http.get(f"{url}/api/events") as response,
        ):
            rest = b""
            while chunk := await response.content.read(_CHUNK):
                *whole, rest = (rest + chunk).split(b"\n\n")
                now = system_clock()
                for event in whole:
                    self._take(event, now)
                await asyncio.sleep(self.pause_s)

    def _take(self, event: bytes, now: int) -> None:
        if b"event: deliberation\n" not in event:
            return
        row = event.partition(b"data: ")[2]
        found, changed = _ROW.search(row), _CHANGED.search(row)
        assert found is not None
        assert changed is not None
        self.rows[found[1]] = row
        self.ages.append(now - int(changed[1]))

    def is_as(self, final: dict[str, Any]) -> bool:
        """Whether its last rows are the server's."""
        if len(self.rows) != len(final):
            return False
        return all(json.loads(row) == final[name.decode()] for name, row in self.rows.items())


def _small(address: Any) -> socket.socket:
    """A socket that takes little ahead."""
    family, kind, number, _, _ = address
    made = socket.socket(family, kind, number)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK)
    return made


@dataclass(frozen=True)
class Watched:
    """What is asked of the page; delays in milliseconds."""

    page: Any

    async def delays(self) -> list[float]:
        """How late its timers were, each 100 ms since it was opened."""
        return [float(one) for one in await self.page.evaluate("window.delays")]

    async def click_ms(self) -> float:
        """From a click on another page of it to that page's heading."""
        return float(
            await self.page.evaluate(
                """async () => {
                  const begun = performance.now();
                  location.hash = location.hash === "#/deliberations" ? "#/" : "#/deliberations";
                  const wanted = location.hash === "#/" ? "Overview" : "Deliberations";
                  while (document.querySelector("main h1")?.textContent !== wanted) {
                    await new Promise((done) => setTimeout(done, 5));
                  }
                  return performance.now() - begun;
                }"""
            )
        )

    async def shows(self, open_: int, decided: int) -> bool:
        """Whether the figures on the overview are these."""
        told = await self.page.evaluate(
            """() => [...document.querySelectorAll(".tile")].map((tile) => tile.textContent)"""
        )
        return f"{open_:,}Open" in told and f"{decided:,}Decided" in told


@asynccontextmanager
async def watched(url: str) -> AsyncIterator[Watched]:
    """The page in Chromium, its timers measured.

    Raises:
        RuntimeError: there is no chromium.
    """
    from playwright.async_api import async_playwright  # noqa: PLC0415 -- of developers only

    path = shutil.which("chromium")
    if path is None:
        raise RuntimeError("there is no chromium on this machine: make browser")
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        await page.goto(f"{url}/#/")
        await page.wait_for_selector("main h1")
        await page.evaluate(
            f"""() => {{
              window.delays = [];
              let due = performance.now() + {_SAMPLE_MS};
              const look = () => {{
                window.delays.push(Math.max(0, performance.now() - due));
                due = performance.now() + {_SAMPLE_MS};
                setTimeout(look, {_SAMPLE_MS});
              }};
              setTimeout(look, {_SAMPLE_MS});
            }}"""
        )
        try:
            yield Watched(page)
        finally:
            await browser.close()
