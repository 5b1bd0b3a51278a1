"""What is done from the pages, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from playwright.async_api import Page, expect

from fleet_bootstraps.monitor.access import Access
from fleet_core.domain.events import DEAD, PLAN_APPROVED, Event, to_cloudevent
from fleet_core.usecases.approvals import approval

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(180)]
Staged = Callable[..., AbstractAsyncContextManager[Any]]
Seen = Callable[..., AbstractAsyncContextManager[Page]]
SLOW = {"text": "slow", "delay_ms": 60_000}


async def under_way(stage: Any) -> str:
    """A deliberation whose agents have been asked."""
    await stage.approve()
    deliberations = stage.site.picture.deliberations
    await stage.until(lambda: any(d.state and d.state.outstanding for d in deliberations.values()))
    return str(next(iter(deliberations)))


async def test_a_test_case_is_submitted_and_a_second_time_it_is_not(
    staged: Staged, seen: Seen
) -> None:
    async with staged(SLOW) as stage, seen(stage, "plans") as page:
        await page.get_by_text("Submit a plan").click()
        await page.get_by_role("button", name="Run the test case").click()
        await expect(page.locator(".toast.done")).to_contain_text("submitted as attempt 1")
        await expect(page.get_by_role("group", name="Tasks and what").first).to_be_visible()
        await page.get_by_role("button", name="Run the test case").click()
        await expect(page.locator(".toast.not")).to_contain_text("not carried out: attempt 1 is")


async def test_a_plan_of_ones_own_is_submitted_or_refused(staged: Staged, seen: Seen) -> None:
    async with staged() as stage, seen(stage, "plans") as page:
        await page.get_by_text("Submit a plan").click()
        text = page.get_by_label("A plan of your own")
        await text.fill("story: s\ntitle: Mine\ntasks: [{id: a, title: A, role: nobody}]")
        await page.get_by_role("button", name="Submit the plan").click()
        await expect(page.locator(".toast.not")).to_contain_text("has no council")
        await text.fill("story: s\ntitle: Mine\ntasks: [{id: a, title: A, role: dev}]")
        await page.get_by_role("button", name="Submit the plan").click()
        await expect(page.get_by_role("heading", name="Mine")).to_be_visible()


async def test_a_deliberation_is_given_more_and_then_cancelled(staged: Staged, seen: Seen) -> None:
    async with staged(SLOW) as stage:
        identity = await under_way(stage)
        before = (await stage.fleet.deliberate.get(identity)).lease.tokens
        async with seen(stage, f"deliberations/{identity}") as page:
            await page.get_by_label("more tokens").fill("777")
            await page.get_by_role("button", name="Raise the lease").click()
            await expect(page.locator(".toast.done")).to_contain_text("the lease is")
            assert (await stage.fleet.deliberate.get(identity)).lease.tokens == before + 777
            await page.get_by_role("button", name="Cancel", exact=True).click()
            await expect(page.locator(".head .chip").first).to_contain_text("cancelled")
            await expect(page.get_by_text("cancelled in the monitor")).to_be_visible()
            await expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()


async def test_a_job_is_killed(staged: Staged, seen: Seen) -> None:
    async with staged(SLOW) as stage:
        await under_way(stage)
        async with seen(stage, "jobs") as page:
            rows = page.get_by_role("row").filter(has_text="dev-")
            await expect(rows).to_have_count(3)
            await rows.first.get_by_role("button", name="Kill").click()
            await expect(page.locator(".toast.done")).to_contain_text("the job is stopped")
            await expect(rows).to_have_count(2)


async def test_an_action_that_comes_too_late_is_shown_as_not_carried_out(
    staged: Staged, seen: Seen
) -> None:
    async with staged(SLOW) as stage:
        identity = await under_way(stage)
        async with seen(stage, f"deliberations/{identity}") as page:
            button = page.get_by_role("button", name="Cancel", exact=True)
            await expect(button).to_be_visible()
            # The page does not hear in time that somebody else was quicker.
            await page.route("**/api/deliberations/**", lambda route: route.fulfill(status=404))
            await stage.fleet.deliberate.cancel(identity, "by somebody else")
            await button.click()
            toast = page.locator(".toast.not")
            await expect(toast).to_contain_text("not carried out: it has ended already")


async def test_dead_letters_are_replayed_and_discarded(staged: Staged, seen: Seen) -> None:
    async with staged() as stage, seen(stage, "letters") as page:
        await expect(page.get_by_text("Everything could be handled.")).to_be_visible()
        run = await stage.run()
        buried = approval(run.plan, 2, 1, fresh=True)
        letters = [
            Event(
                "l1", f"{DEAD}.{PLAN_APPROVED}", {"event": to_cloudevent(buried), "reason": "full"}
            ),
            Event("l2", f"{DEAD}.x.y", {"reason": "noise"}),
        ]
        await stage.fleet.bus.publish(letters)
        badge = page.locator("#nav .badge")
        await expect(badge).to_have_text("2")
        first = page.locator("section.card").filter(has_text="full")
        await first.get_by_role("button", name="Replay").click()
        await expect(page.locator(".toast.done")).to_contain_text("~replay:1")
        second = page.locator("section.card").filter(has_text="noise")
        await second.get_by_role("button", name="Discard").click()
        await expect(page.get_by_text("Everything could be handled.")).to_be_visible()
        await expect(badge).to_be_hidden()
        await stage.until(lambda: stage.site.picture.plans[run.plan_id].run.attempt == 2)


async def test_signing_in_with_the_tokens(staged: Staged, seen: Seen) -> None:
    async with staged(SLOW, access=Access("look", "act")) as stage:
        identity = await under_way(stage)
        async with seen(stage, f"deliberations/{identity}") as page:
            await page.get_by_label("Token", exact=True).fill("wrong")
            await page.get_by_role("button", name="Sign in").click()
            await expect(page.get_by_role("alert")).to_have_text("that is not the token")
            await page.get_by_label("Token", exact=True).fill("look")
            await page.get_by_role("button", name="Sign in").click()
            await expect(page.get_by_role("article", name="Agent dev-1")).to_be_visible()
            await expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()
            assert await page.evaluate("document.cookie") == ""
            await page.get_by_role("button", name="Sign out").click()
            await page.get_by_label("Token", exact=True).fill("act")
            await page.get_by_role("button", name="Sign in").click()
            await expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_visible()
