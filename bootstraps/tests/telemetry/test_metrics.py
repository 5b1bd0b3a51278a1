"""The figures of a fleet are those of what it did."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fleet_bootstraps.settings import ServiceSettings
from fleet_bootstraps.stack.nats import running_nats
from fleet_bootstraps.telemetry.masks import Masks
from fleet_bootstraps.telemetry.watching import Watching, watching
from fleet_core.domain.events import Event

pytestmark = [pytest.mark.anyio, pytest.mark.connected]
HYDRATED = ("hydrate", "ack")
Started = Callable[..., AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def watched(service: str) -> AsyncIterator[Watching]:
    async with watching(
        service,
        ServiceSettings(metrics="127.0.0.1:0"),
        lambda name: name,
        {},
        Masks(),
        executes=service == "executor",
        deliberates=service == "orchestrator",
    ) as found:
        yield found


class Scraped(dict[tuple[str, tuple[str, ...]], float]):
    """Values by name and label values, in the order of the labels' names."""

    def __call__(self, name: str, *labels: str) -> float:
        return self[name, labels]


async def get(address: str, path: str = "/metrics") -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as got:
        return got.status, await got.text()


async def scraped(address: str) -> Scraped:
    found = Scraped()
    for family in text_string_to_metric_families((await get(address))[1]):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found[sample.name, labels] = sample.value
    return found


async def until(address: str, true: Callable[[Scraped], bool]) -> Scraped:
    async with asyncio.timeout(20):
        while not true(found := await scraped(address)):  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.02)
    return found


async def readiness(address: str, status: int) -> str:
    """What is said once it is so."""
    async with asyncio.timeout(20):
        while (told := await get(address, "/readyz"))[0] != status:  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0.05)
    return told[1]


async def test_a_task_leaves_its_figures_in_all_services(services: Started) -> None:
    async with (
        watched("executor") as executor,
        watched("context") as context,
        watched("orchestrator") as orchestrator,
        services(executor=executor, context=context, orchestrator=orchestrator) as running,
    ):
        before = await scraped(orchestrator.address)
        await running.decided()
        asked = running.model.total
        theirs = await until(
            orchestrator.address,
            lambda s: (
                s.get(("fleet_plans_open", ())) == 0
                and s.get(("fleet_deliberations_open", ())) == 0
                and s("fleet_events_consumed_total", "deliberate", "ack") == asked
            ),
        )
        ours = await scraped(executor.address)
        recorded = await until(
            context.address, lambda s: s.get(("fleet_events_consumed_total", HYDRATED)) == 2
        )

        told = {(f.name, tuple(f.labels.values())): f for f in orchestrator.figures()}

    completed = told["fleet_deliberations_completed_total", ("decided", "unverified")]
    assert (completed.value, completed.unit) == (1, "count")
    assert told["fleet_store_duration_seconds_sum", ("commit", "ok")].unit == "s"
    names = {name for name, _ in told}
    assert not any(name.endswith("_bucket") for name in names)
    assert "fleet_deliberations_open" not in names  # as old as the last scrape

    assert before("fleet_deliberations_open") == 0
    assert asked == 3
    service = "fleet.executor.v1.ExecutorService"
    ok = ("OK", "ExecuteDeliberation", service)
    assert ours("fleet_rpc_duration_seconds_count", *ok) == 1
    assert ours("fleet_job_duration_seconds_count", "", "ok", "model") == asked
    assert ours("fleet_model_call_duration_seconds_count", "default", "ok") == asked
    assert ours("fleet_model_attempts_total", "default") == asked
    assert ours("fleet_tokens_total", "default", "prompt") > 0
    assert ours("fleet_tokens_total", "default", "answer") > 0
    assert ours("fleet_events_published_total", "agent.results") == asked
    assert ours("fleet_journal_hits_total") == 0
    assert ours("fleet_runner_slots") == 66
    assert ours("fleet_runner_running") == ours("fleet_runner_waiting") == 0
    assert ours("fleet_store_duration_seconds_count", "commit", "ok") >= asked
    assert ("fleet_deliberations_open", ()) not in ours

    asked_of_it = ("OK", "GetContext", "fleet.context.v1.ContextService")
    assert recorded("fleet_rpc_duration_seconds_count", *asked_of_it) == 1
    assert recorded("fleet_events_published_total", "context.updated") == 1
    assert ("fleet_deliberations_open", ()) not in recorded
    assert ("fleet_runner_slots", ()) not in recorded

    assert theirs("fleet_deliberations_completed_total", "decided", "unverified") == 1
    assert theirs("fleet_deliberation_duration_seconds_count", "decided") == 1
    assert theirs("fleet_events_consumed_total", "deliberate", "ack") == asked
    assert theirs("fleet_event_handling_seconds_count", "deliberate") == asked
    assert theirs("fleet_events_published_total", "orchestration.deliberation.completed") == 1
    assert theirs("fleet_executor_call_duration_seconds_count", "submit", "ok") == 1
    assert ("fleet_runner_slots", ()) not in theirs
    # No ids among the labels: as many series after a thousand tasks as after one.
    assert not any("story-" in label for _, labels in [*ours, *theirs] for label in labels)


async def test_a_job_that_is_journaled_is_a_hit_and_no_call(services: Started) -> None:
    async with (
        watched("executor") as executor,
        services(executor=executor, orchestrator=Watching()) as running,
    ):
        await running.decided()
        before = await scraped(executor.address)
        jobs = await running.jobs()
        await running.executor.submit(jobs)
        after = await until(executor.address, lambda s: s("fleet_journal_hits_total") > 0)

    assert after("fleet_journal_hits_total") == len(jobs) == 3
    called = ("fleet_model_attempts_total", "default")
    assert after(*called) == before(*called)
    published = ("fleet_events_published_total", "agent.results")
    assert after(*published) == before(*published) + len(jobs)


async def test_dead_letters_and_redeliveries_are_counted_by_durable(services: Started) -> None:
    async with (
        watched("orchestrator") as orchestrator,
        services(executor=Watching(), orchestrator=orchestrator) as running,
    ):
        name = "fleet_dead_letters"
        known = (await scraped(orchestrator.address)).get((name, ("plans",)), 0.0)
        poison = Event(f"poison:{os.urandom(4).hex()}", "planning.plan.approved", {"plan_id": "x"})
        await running.bus.publish([poison])
        found = await until(orchestrator.address, lambda s: s.get((name, ("plans",)), 0.0) > known)
        assert found(name, "plans") == known + 1
        assert found("fleet_events_consumed_total", "plans", "term") >= 1


async def test_while_the_bus_is_away_a_service_is_not_ready_and_says_why(
    services: Started, tmp_path: Path
) -> None:
    async with (
        watched("executor") as executor,
        watched("orchestrator") as orchestrator,
    ):
        assert (await get(executor.address, "/readyz"))[0] == 503
        async with running_nats(tmp_path / "own") as server:
            opened = services(
                executor=executor,
                orchestrator=orchestrator,
                **{"bus.servers": f'["{server.url}"]', "bus.answer_ms": 500},
            )
            await opened.__aenter__()
            assert await get(executor.address, "/readyz") == (200, '{"ready": true}')
        try:
            assert '"bus": ' in await readiness(executor.address, 503)
            assert (await get(executor.address, "/healthz"))[0] == 200
            async with running_nats(tmp_path / "own", port=server.port):
                assert await readiness(executor.address, 200)
        finally:
            await opened.__aexit__(None, None, None)
