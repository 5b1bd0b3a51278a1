"""What the pages show, in a real browser, over a fleet with scripted answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from playwright.async_api import Page, expect

from fleet_core.ports.token_stream import Words
from fleet_plugins.api import PortName

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(180)]
Staged = Callable[..., AbstractAsyncContextManager[Any]]
Seen = Callable[..., AbstractAsyncContextManager[Page]]
SLOW = {"text": "slow", "delay_ms": 60_000}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202eevil\u202c\x1b[31m"


async def under_way(stage: Any) -> str:
    """A deliberation whose agents have been asked."""
    await stage.approve()
    deliberations = stage.site.picture.deliberations
    await stage.until(lambda: any(d.state and d.state.outstanding for d in deliberations.values()))
    return str(next(iter(deliberations)))


async def test_the_overview_follows_a_decision_without_a_reload(staged: Staged, seen: Seen) -> None:
    async with staged() as stage, seen(stage) as page:
        await expect(page.get_by_text("Nothing has ended yet.")).to_be_visible()
        await page.evaluate("window.loadedOnce = true")
        await stage.run()

        row = page.get_by_role("row").filter(has_text="Do a")
        await expect(row.locator(".chip").first).to_contain_text("decided")
        await expect(row.get_by_text("dev-2")).to_be_visible()
        assert await page.evaluate("window.loadedOnce") is True


async def test_a_part_that_is_away_is_red_with_the_reason(staged: Staged, seen: Seen) -> None:
    async with staged() as stage:
        stage.site.feed.trouble = "nats at 127.0.0.1:1 does not answer"
        async with seen(stage) as page:
            alert = page.get_by_role("alert")
            await expect(alert).to_contain_text("log is not ready: nats at 127.0.0.1:1 does not")


async def test_a_plan_is_shown_as_a_graph(staged: Staged, seen: Seen) -> None:
    async with staged() as stage:
        run = await stage.run(
            {"id": "a", "title": "Do a", "role": "DEV"},
            {"id": "b", "title": "Do b", "role": "QA", "depends_on": ["a"]},
        )
        async with seen(stage, f"plans/{run.plan_id}") as page:
            graph = page.get_by_role("group", name="Tasks and what they depend on")
            await expect(graph.get_by_role("link", name="a: decided")).to_be_visible()
            await graph.get_by_role("link", name="b: decided").click()
            await expect(page.get_by_role("heading", name="Do b")).to_be_visible()


async def test_agents_are_heard_as_they_speak(staged: Staged, seen: Seen) -> None:
    async with staged(SLOW) as stage:
        identity = await under_way(stage)
        state = stage.site.picture.deliberations[identity].state
        tokens, job = stage.ports[PortName.TOKENS], next(state.jobs())
        async with seen(stage, f"deliberations/{identity}") as page:
            agent = page.get_by_role("article", name=f"Agent {job.agent_id}")
            await expect(agent.get_by_text("waiting for its first words")).to_be_visible()
            await stage.until(lambda: tokens.heard(state.token))
            for offset, text in ((0, "one two "), (8, "three "), (14, f"four {HOSTILE}")):
                said = Words(identity, state.token, job.agent_id, job.job_id, offset, text)
                tokens.say(said)
            saying = agent.get_by_label("What it is saying")
            await expect(saying).to_contain_text("one two three four <script>alert(1)</script>")


async def test_a_deliberation_ends_before_ones_eyes(staged: Staged, seen: Seen) -> None:
    answers = (
        {"step": "propose", "text": "one two three four five"},
        {"step": "propose", "agent": 2, "text": "six seven"},
        {"step": "propose", "agent": 3, "text": "late", "fail": {"hang": True}},
        {"step": "critique", "json": {}},
        {"step": "judge", "json": {}},
        {"step": "revise", "text": "one two three, better"},
    )
    async with staged(*answers) as stage:
        identity = await under_way(stage)
        async with seen(stage, f"deliberations/{identity}") as page:
            agent = page.get_by_role("article", name="Agent dev-1")
            await expect(agent.get_by_text("one two three four five").last).to_be_visible()
            third = page.get_by_role("article", name="Agent dev-3")
            await third.get_by_role("button", name="kill").click()
            decision = page.locator("#decision")
            await expect(decision.get_by_role("heading")).to_have_text("one two three, better")
            await expect(agent.get_by_text("What the revision changed")).to_be_visible()
            await expect(agent.locator(".removed")).to_have_text("- one two three four five")
            await expect(agent.locator(".added")).to_have_text("+ one two three, better")


async def test_everything_of_a_deliberation_can_be_seen(staged: Staged, seen: Seen) -> None:
    check = {"kind": "python", "entry": "f", "examples": [{"args": [1], "returns": 2}]}
    answers = (
        {"step": "critique", "prefer": ["n + 1"]},
        {"step": "judge", "prefer": ["n + 1"]},
        {"step": "propose", "agent": 1, "text": "def f(n):\n    return n + 1"},
        {"step": "propose", "agent": 2, "text": "def f(n):\n    return n"},
        {"step": "propose", "agent": 3, "fail": {"status": 400}},
        {"step": "revise", "text": "def f(n):\n    return n + 1  # revised"},
    )
    async with staged(*answers) as stage:
        run = await stage.run({"id": "a", "title": "Do a", "role": "DEV", "checks": [check]})
        identity = run.tasks[0].deliberation_id
        state = await stage.fleet.deliberate.get(identity)
        async with seen(stage, f"deliberations/{identity}") as page:
            first = page.get_by_role("article", name="Agent dev-1")
            await expect(first.get_by_text("✓ winner")).to_be_visible()
            third = page.get_by_role("article", name="Agent dev-3")
            await expect(third.get_by_text("model_refused").first).to_be_visible()
            await expect(page.get_by_role("heading", name="Ballots")).to_be_visible()
            await expect(page.locator(".matrix td.place-1").first).to_have_text("1")
            await expect(page.get_by_role("heading", name="Ranking")).to_be_visible()
            await expect(page.get_by_text("free of").first).to_be_visible()
            ledger = page.get_by_role("row").filter(has_text="task:a")
            await expect(ledger.get_by_text("anchor")).to_be_visible()

            await first.get_by_role("button", name="prompt").first.click()
            dialog = page.get_by_role("dialog")
            await expect(dialog.get_by_role("heading", name="propose of dev-1")).to_be_visible()
            assert state.pack is not None
            asked = await dialog.locator("pre").all_inner_texts()
            assert any(state.pack.text.strip() in text for text in asked)
            await page.keyboard.press("Escape")
            await expect(dialog).to_be_hidden()


async def test_the_slider_shows_every_moment(staged: Staged, seen: Seen) -> None:
    async with staged() as stage:
        run = await stage.run()
        identity = run.tasks[0].deliberation_id
        async with seen(stage, f"deliberations/{identity}") as page:
            slider = page.get_by_role("slider", name="Moment")
            await expect(page.locator("#decision")).to_be_visible()
            await slider.focus()
            await page.keyboard.press("Home")
            await expect(page.locator("#moment-said")).to_contain_text("the task was put to")
            await expect(page.locator("#decision")).to_be_hidden()
            await expect(page.get_by_text("The context pack is not there yet.")).to_be_visible()
            await page.keyboard.press("ArrowRight")
            await expect(page.locator("#moment-said")).to_contain_text("the context pack came")
            await expect(page.get_by_role("article", name="Agent dev-1")).to_contain_text("running")
            await page.get_by_role("button", name="Now").click()
            await expect(page.locator("#decision")).to_be_visible()
            await page.get_by_role("button", name="Play").click()
            await expect(page.locator("#decision")).to_be_hidden()
            await expect(page.get_by_role("button", name="Play")).to_be_visible()
            await expect(page.locator("#decision")).to_be_visible()


async def test_councils_decisions_and_search(staged: Staged, seen: Seen) -> None:
    async with staged() as stage:
        run = await stage.run(
            {"id": "a", "title": "Do a", "role": "DEV"},
            {"id": "b", "title": "Do b", "role": "QA", "depends_on": ["a"]},
        )
        async with seen(stage, "councils") as page:
            await expect(page.get_by_role("row").filter(has_text="architect-3")).to_be_visible()
            await page.keyboard.press("g")
            await page.keyboard.press("g")
            graph = page.get_by_role("group", name="Decisions and what they rest on")
            await expect(graph.get_by_role("link")).to_have_count(2)
            await page.get_by_label("Story").select_option("s")
            recorded = page.get_by_role("region", name="Decisions in the context graph")
            await expect(recorded.get_by_role("row")).to_have_count(3)
            await page.keyboard.press("Escape")
            await page.locator("h1").click()
            await page.keyboard.press("/")
            await page.keyboard.type("mark revised")
            await page.keyboard.press("Enter")
            found = page.get_by_role("link", name="Do a")
            await expect(found).to_have_attribute("href", re.compile(run.tasks[0].deliberation_id))


async def test_only_what_failed_is_shown_when_asked(staged: Staged, seen: Seen) -> None:
    async with staged({"task": "bad", "fail": {"status": 400}}, {"text": "x"}) as stage:
        await stage.run({"id": "good", "title": "Good", "role": "DEV"})
        await stage.run({"id": "bad", "title": "Bad", "role": "DEV"})
        async with seen(stage, "deliberations") as page:
            await expect(page.get_by_role("link", name="Good")).to_be_visible()
            await page.get_by_label("failed only").check()
            await expect(page.get_by_role("link", name="Good")).to_be_hidden()
            await expect(page.get_by_role("link", name="Bad")).to_be_visible()


async def test_all_of_it_can_be_reached_by_keys(staged: Staged, seen: Seen) -> None:
    async with staged() as stage:
        await stage.run()
        async with seen(stage, "deliberations") as page:
            await expect(page.get_by_role("link", name="Do a")).to_be_visible()
            await page.keyboard.press("Tab")
            await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
            await page.keyboard.press("Enter")
            await expect(page.locator("main")).to_be_focused()
            await expect(page.get_by_role("heading", level=1)).to_have_text("Deliberations")
            for key, heading in (("p", "Plans"), ("d", "Deliberations"), ("j", "Jobs")):
                await page.keyboard.press("g")
                await page.keyboard.press(key)
                await expect(page.get_by_role("heading", level=1)).to_have_text(heading)
            await page.keyboard.press("g")
            await page.keyboard.press("d")
            link = page.get_by_role("link", name="Do a")
            await link.focus()
            outline = await link.evaluate("node => getComputedStyle(node).outlineStyle")
            assert outline == "solid"
            await page.keyboard.press("Enter")
            await expect(page.locator("#decision")).to_be_visible()
