"""How the pages look and what they weigh, in a real browser; hostile texts in every place."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from fleet_core.domain.events import DEAD, Event

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(180)]
Staged = Callable[..., AbstractAsyncContextManager[Any]]
Seen = Callable[..., AbstractAsyncContextManager[Page]]
WIDTHS, SCHEMES = (1280, 400), ("light", "dark")
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202eevil\u202c\x1b[31m"
PAGES = ("", "plans", "deliberations", "councils", "decisions", "jobs", "letters", "search?q=mark")
LOADED_BYTES = 200 * 1024


async def test_hostile_texts_are_text_everywhere(staged: Staged, seen: Seen) -> None:
    flood = f"{HOSTILE}\n{'x' * 2_000_000}"
    async with staged(
        {"text": flood}, sets=["lease.tokens=90000000", "context.budget=50000"]
    ) as stage:
        task = {"id": "a", "title": HOSTILE, "role": "DEV", "description": HOSTILE}
        run = await stage.run(task, story=HOSTILE)
        letter = Event("l", f"{DEAD}.x", {"reason": HOSTILE, "durable": HOSTILE})
        await stage.fleet.bus.publish([letter])
        for where in (*PAGES, f"deliberations/{run.tasks[0].deliberation_id}"):
            async with seen(stage, where) as page:
                await expect(page.get_by_role("heading", level=1)).to_be_visible()
                assert await page.locator("main script, main img").count() == 0
                assert "\u202e" not in await page.locator("body").inner_text()
        async with seen(stage, f"deliberations/{run.tasks[0].deliberation_id}") as page:
            heading = page.get_by_role("heading", level=1)
            await expect(heading).to_contain_text("<script>alert(1)</script>")
            await expect(heading).to_contain_text("\\u{202e}evil")
            await expect(page.get_by_text("more characters are not shown").first).to_be_attached()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_every_page_meets_wcag_and_fits(
    staged: Staged, seen: Seen, width: int, scheme: str
) -> None:
    async with staged() as stage:
        run = await stage.run(
            {"id": "a", "title": "Do a", "role": "DEV"},
            {"id": "b", "title": "Do b", "role": "QA", "depends_on": ["a"]},
        )
        await stage.fleet.bus.publish([Event("l", f"{DEAD}.x", {"reason": "noise"})])
        where = (*PAGES, f"deliberations/{run.tasks[0].deliberation_id}")
        async with seen(stage, width=width, scheme=scheme) as page:
            for one in where:
                await page.goto(f"{stage.url}/#/{one}")
                await expect(page.get_by_role("heading", level=1)).to_be_visible()
                await page.wait_for_function(
                    "!document.querySelector('main .empty')?.textContent.endsWith('…')"
                )
                options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
                found = await Axe().run(page, options=options)
                assert found.violations_count == 0, f"{one}: {found.generate_report()}"
                wide = await page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, f"{one} is {wide} px wide"


async def test_a_load_is_small_and_asks_nobody_else(staged: Staged, browser: Browser) -> None:
    async with staged() as stage:
        context = await browser.new_context()
        page = await context.new_page()
        sizes: dict[str, int] = {}

        async def count(response: Any) -> None:
            assert response.url.startswith(stage.url)
            if "/api/" not in response.url:
                sizes[response.url] = len(await response.body())

        pending: list[Any] = []
        page.on("response", lambda response: pending.append(count(response)))
        await page.goto(stage.url)
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        for one in pending:
            await one
        await context.close()

    assert len(sizes) > 5
    assert sum(sizes.values()) < LOADED_BYTES


CODE = """def mean(numbers):
    if not numbers:
        raise ValueError("mean of nothing")
    return sum(numbers) / len(numbers)"""
BARE = "def mean(numbers):\n    return sum(numbers) / len(numbers)"
HALF = "def mean(numbers):\n    return sum(numbers) / 2"
BY_MODULE = "import statistics\n\n\ndef mean(numbers):\n    return statistics.mean(numbers)"


def answer(step: str, seat: int, text: str) -> dict[str, Any]:
    return {"task": "mean", "step": step, "agent": seat, "text": text}


PICTURED = (
    *(answer("propose", seat, text) for seat, text in enumerate((BARE, HALF, BY_MODULE), 1)),
    *(answer("revise", seat, text) for seat, text in enumerate((CODE, f"{HALF}.0", BY_MODULE), 1)),
    {"step": "critique", "prefer": ["len(numbers)"]},
    {"step": "judge", "prefer": ["len(numbers)"]},
    {"task": "review", "step": "propose", "text": "Publish it.", "delay_ms": 60_000},
)
EXAMPLES = [{"args": [[1, 2, 3]], "returns": 2}, {"args": [[4]], "returns": 4}]
CHECK = {"kind": "python", "entry": "mean", "examples": EXAMPLES}
TASKS: tuple[dict[str, Any], ...] = (
    {
        "id": "mean",
        "title": "Write mean(numbers)",
        "role": "DEV",
        "description": "Write a Python function that returns the arithmetic mean of a list.",
        "acceptance": ["mean([1, 2, 3]) is 2", "an empty list is an error that says so"],
        "checks": [CHECK],
    },
    {
        "id": "review",
        "title": "Say whether it can be published",
        "role": "QA",
        "depends_on": ["mean"],
    },
)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
async def test_pictures_of_overview_and_deliberation(
    staged: Staged, seen: Seen, tmp_path: Path, width: int, scheme: str
) -> None:
    """Those in the README are made so: FLEET_SCREENSHOTS=FOLDER keeps them."""
    folder = Path(os.environ.get("FLEET_SCREENSHOTS") or tmp_path)
    async with staged(*PICTURED) as stage:
        await stage.approve(*TASKS, story="statistics")
        found = stage.site.picture.deliberations
        await stage.until(
            lambda: len(found) == 2 and all(t.state and t.state.steps for t in found.values())
        )
        identity = next(iter(found))
        for name, where in (("overview", ""), ("deliberation", f"deliberations/{identity}")):
            async with seen(stage, where, width=width, scheme=scheme) as page:
                shown = (
                    page.locator("#decision")
                    if name == "deliberation"
                    else page.get_by_text("ready").first
                )
                await expect(shown).to_be_visible()
                await page.evaluate("document.fonts.ready")
                taken = await page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")
                assert len(taken) > 10_000
