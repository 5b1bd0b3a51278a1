from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from fleet_bootstraps.plans import load_plan
from fleet_core.domain.deliberation import Phase
from fleet_core.domain.events import DEAD, PLAN_APPROVED, Event, to_cloudevent
from fleet_core.domain.plan import plan_id
from fleet_core.usecases.approvals import approval

pytestmark = pytest.mark.anyio
Staged = Callable[..., AbstractAsyncContextManager[Any]]
SLOW = {"text": "slow", "delay_ms": 60_000}


async def under_way(stage: Any) -> str:
    """A deliberation whose agents have been asked."""
    await stage.approve()
    deliberations = stage.site.picture.deliberations
    await stage.until(lambda: any(d.state and d.state.outstanding for d in deliberations.values()))
    return str(next(iter(deliberations)))


async def test_a_test_case_is_submitted_once(staged: Staged) -> None:
    async with staged(SLOW) as stage:
        path = "/api/admin/test-cases/execute?test_case=basic"
        done = await stage.post(path)
        await stage.until(lambda: done["plan_id"] in stage.site.picture.plans)
        await stage.until(lambda: bool(stage.site.picture.deliberations))
        again = await stage.post(path, status=409)

        assert done["carried_out"] is True
        assert done["plan_id"] == plan_id(load_plan("basic", ("DEV", "QA", "ARCHITECT", "DEVOPS")))
        assert again["carried_out"] is False
        assert "under way already" in again["said"]
        for wrong in ("nothing", "", "first"):
            path = f"/api/admin/test-cases/execute?test_case={wrong}"
            await stage.post(path, status=400)
        await stage.post("/api/admin/test-cases/execute", status=400)


async def test_every_test_case_can_be_submitted(staged: Staged) -> None:
    async with staged(SLOW) as stage:
        for case in ("basic", "medium", "complex"):
            path = f"/api/admin/test-cases/execute?test_case={case}"
            assert (await stage.post(path))["carried_out"] is True
        await stage.until(lambda: len(stage.site.picture.plans) == 3)


async def test_a_plan_of_ones_own_is_submitted_and_decided(staged: Staged) -> None:
    async with staged() as stage:
        plan = "story: mine\ntitle: Mine\ntasks:\n  - {id: a, title: Do a, role: dev}\n"
        done = await stage.post("/api/admin/plans", {"plan": plan})
        await stage.until(
            lambda: (
                done["plan_id"] in stage.site.picture.plans
                and stage.site.picture.plans[done["plan_id"]].run.settled
            )
        )
        decided = await stage.post("/api/admin/plans", {"plan": plan}, 409)
        anew = await stage.post("/api/admin/plans", {"plan": plan, "fresh": True})

        assert decided["carried_out"] is False
        assert "decided already" in decided["said"]
        assert anew["attempt"] == 2


@pytest.mark.parametrize("plan", ["", "x", "tasks: [", "story: s\ntasks: []\n", "\x00", "\ud800"])
async def test_a_plan_that_is_none_is_refused(staged: Staged, plan: str) -> None:
    async with staged() as stage:
        told = await stage.post("/api/admin/plans", {"plan": plan}, 400)
        assert told["error"]["message"]


async def test_a_deliberation_is_cancelled_once(staged: Staged) -> None:
    async with staged(SLOW) as stage:
        identity = await under_way(stage)
        path = f"/api/admin/deliberations/{identity}/cancel"
        done = await stage.post(path, {"reason": "no longer wanted"})
        state = await stage.fleet.deliberate.get(identity)
        again = await stage.post(path, status=409)

        assert done["carried_out"] is True
        assert state.phase is Phase.CANCELLED
        assert state.failure.reason == "no longer wanted"
        assert again == {"carried_out": False, "said": "it has ended already: it is cancelled"}
        await stage.until(lambda: stage.site.picture.deliberations[identity].phase == "cancelled")
        await stage.post("/api/admin/deliberations/nothing/cancel", status=404)


async def test_a_lease_is_raised_while_it_burns(staged: Staged) -> None:
    async with staged(SLOW) as stage:
        identity = await under_way(stage)
        path = f"/api/admin/deliberations/{identity}/lease"
        before = (await stage.fleet.deliberate.get(identity)).lease
        done = await stage.post(path, {"tokens": 1_000, "ms": 60_000})
        after = (await stage.fleet.deliberate.get(identity)).lease
        money = await stage.post(path, {"micro_usd": 5}, 409)

        assert done["carried_out"] is True
        assert after.tokens == before.tokens + 1_000
        assert after.deadline_ms == before.deadline_ms + 60_000
        assert "without a limit" in money["said"]
        for wrong in (
            {},
            {"tokens": 0},
            {"tokens": -1},
            {"tokens": "1"},
            {"tokens": 1.5},
            {"x": 1},
        ):
            await stage.post(path, wrong, 400)
        await stage.post(f"/api/admin/deliberations/{identity}/cancel")
        assert "has ended already" in (await stage.post(path, {"tokens": 1}, 409))["said"]


async def test_a_job_is_killed_and_the_others_go_on(staged: Staged) -> None:
    async with staged(SLOW) as stage:
        identity = await under_way(stage)
        (job, *others) = await stage.fleet.executor.active()
        path = f"/api/admin/deliberations/{identity}/jobs/{job.job_id}/kill"
        done = await stage.post(path)

        def ended() -> dict[str, str]:
            state = stage.site.picture.deliberations[identity].state
            return {j.job_id: j.ended.outcome.value for j in state.jobs() if j.ended}

        await stage.until(lambda: bool(ended()))
        assert done["carried_out"] is True
        assert ended() == {job.job_id: "cancelled"}
        assert {j.job_id for j in await stage.fleet.executor.active()} == {j.job_id for j in others}
        assert (await stage.post(path, status=409))["carried_out"] is False
        nothing = f"/api/admin/deliberations/{identity}/jobs/nothing/kill"
        assert (await stage.post(nothing, status=409))["carried_out"] is False


async def test_a_dead_letter_is_replayed_or_discarded(staged: Staged) -> None:
    async with staged() as stage:
        plan = load_plan("basic", tuple(await stage.fleet.councils.all()))
        buried = approval(plan, 1, 1)
        letters = [
            Event(
                f"l{n}", f"{DEAD}.{PLAN_APPROVED}", {"event": to_cloudevent(buried), "reason": "x"}
            )
            for n in (1, 2)
        ]
        broken = Event("l3", f"{DEAD}.x", {"event": {"type": "\u202e"}, "reason": "broken"})
        await stage.fleet.bus.publish([*letters, broken])
        await stage.until(lambda: stage.site.picture.letters == 3)
        found = (await stage.get("/api/dead-letters"))["letters"]
        at = {letter["event_id"]: letter["position"] for letter in found}

        done = await stage.post(f"/api/admin/dead-letters/{at[buried.event_id]}/replay")
        await stage.until(lambda: plan_id(plan) in stage.site.picture.plans)
        twice = await stage.post(
            f"/api/admin/dead-letters/{at[buried.event_id]}/replay", status=409
        )
        no_event = await stage.post(f"/api/admin/dead-letters/{at['l3']}/replay", status=409)
        gone = await stage.post(f"/api/admin/dead-letters/{at['l3']}/discard", {"reason": "noise"})
        left = (await stage.get("/api/dead-letters"))["letters"]

        assert done["event_id"] == f"{buried.event_id}~replay:1"
        assert "was replayed as" in twice["said"]
        assert "holds no event" in no_event["said"]
        assert gone["carried_out"] is True
        assert at["l3"] not in {letter["position"] for letter in left}
        assert {x["fate"] for x in (await stage.get("/api/dead-letters?all=true"))["letters"]} >= {
            "replayed",
            "discarded",
        }
        for nowhere in ("999", "x", "-1", "9" * 101):
            await stage.post(f"/api/admin/dead-letters/{nowhere}/replay", status=404)


@pytest.mark.parametrize("raw", [b"[]", b"1", b"{", b"\xff", b'{"reason": NaN}', b'{"other": 1}'])
async def test_a_body_that_is_none_is_refused(staged: Staged, raw: bytes) -> None:
    async with staged() as stage:
        url = f"{stage.url}/api/admin/deliberations/x/cancel"
        headers = {"Content-Type": "application/json"}
        async with stage.http.post(url, data=raw, headers=headers) as response:
            assert response.status == 400
            assert json.loads(await response.read())["error"]["message"]


async def test_a_form_and_a_flood_are_refused(staged: Staged) -> None:
    async with staged() as stage:
        url = f"{stage.url}/api/admin/plans"
        async with stage.http.post(url, data={"plan": "x"}) as response:
            assert response.status == 400
        async with stage.http.post(url, data=io.BytesIO(b"x" * 3_000_000)) as response:
            assert response.status == 413
