"""The monitor's page in a browser, as scenarios look at it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

_WIDTH, _HEIGHT = 1280, 900


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page that was loaded once.

    Attributes:
        page: the browser's.
        complaints: what the browser said was wrong.
    """

    page: Any
    complaints: list[str]

    async def texts(self, row: str) -> list[str]:
        """The cells of the table row that holds this text; none where there is no such row."""
        found = self.page.locator("tbody tr").filter(has_text=row)
        if not await found.count():
            return []
        return [str(text) for text in await found.first.locator("td").all_inner_texts()]

    async def is_the_first(self) -> bool:
        """Whether nothing has loaded it anew since it was opened."""
        return bool(await self.page.evaluate("window.opened === true"))


@asynccontextmanager
async def dashboard(url: str) -> AsyncIterator[Dashboard]:
    """The overview, live.

    Raises:
        AssertionError: there is no chromium on this machine.
    """
    from playwright.async_api import async_playwright  # noqa: PLC0415 -- of those who have it

    path = shutil.which("chromium")
    assert path is not None, "there is no chromium on this machine (make browser)"
    async with async_playwright() as driver:
        # As root in a container there is no sandbox.
        browser = await driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(url)
        await page.wait_for_selector("main h1")
        await page.evaluate("window.opened = true")
        try:
            yield Dashboard(page, complaints)
        finally:
            await browser.close()
