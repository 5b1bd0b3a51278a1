"""What the figures count, case by case."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_bootstraps.telemetry.asking import refresh
from fleet_bootstraps.telemetry.measured_bus import MeasuredBus
from fleet_bootstraps.telemetry.measured_runner import MeasuredRunner
from fleet_bootstraps.telemetry.measured_state import MeasuredState
from fleet_bootstraps.telemetry.meters import Meters
from fleet_core.domain.events import COMPLETED, STARTED, Event
from fleet_core.domain.evolve import evolve
from fleet_core.domain.job import AgentJob, AgentResult, CheckRequest
from fleet_core.domain.model_call import Usage
from fleet_core.errors import Conflict, Unavailable
from fleet_core.ports.event_bus import Subscription
from fleet_core.ports.executor import ClusterStats
from fleet_core.ports.model import OnText
from fleet_core.ports.runner import Runner
from fleet_core.ports.state_store import Put
from fleet_core.testing.faults import Fault, FaultyState
from fleet_core.testing.jobs import a_job
from fleet_core.testing.playing import replied
from fleet_core.usecases.perform import failed
from fleet_plugins.api import PortName

pytestmark = pytest.mark.anyio


def clock() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def meters() -> Meters:
    return Meters("both", executes=True, deliberates=True)


def value(meters: Meters, name: str, **labels: str) -> float | None:
    return meters.registry.get_sample_value(name, labels)


@dataclass
class Ending(Runner):
    """Ends every job in one way."""

    how: Callable[[AgentJob], AgentResult]

    async def run(self, job: AgentJob, on_text: OnText | None = None) -> AgentResult:
        await asyncio.sleep(0)
        return self.how(job)

    async def stats(self) -> ClusterStats:
        raise Unavailable("away")


async def test_an_ended_deliberation_counts_once_however_often_it_is_published(
    meters: Meters,
) -> None:
    bus = MeasuredBus(InMemoryEventBus(clock), meters)
    state = MeasuredState(InMemoryStateStore(clock), meters)
    about = {"deliberation_id": "d", "phase": "decided", "decision": {"standing": "verified"}}
    ended = Event("d:9:completed", COMPLETED, about, 5_000)
    await bus.publish([Event("d:1:started", STARTED, {"deliberation_id": "d"}, 2_000)])
    keep = bus.joined(state)
    assert keep is not None
    await keep([], [ended])
    await bus.publish([ended])
    completed = {"outcome": "decided", "standing": "verified"}
    assert value(meters, "fleet_deliberations_completed_total", **completed) == 1
    seconds = "fleet_deliberation_duration_seconds_sum"
    assert value(meters, seconds, outcome="decided") == 3.0

    alone = {"deliberation_id": "e", "phase": "failed", "decision": None}
    elsewhere = {"deliberation_id": "f", "phase": "decided", "decision": {"ref": "sha256:0"}}
    await bus.publish([Event("e:2", COMPLETED, alone, 1), Event("f:2", COMPLETED, elsewhere, 1)])
    name = "fleet_deliberations_completed_total"
    assert value(meters, name, outcome="failed", standing="none") == 1
    assert value(meters, name, outcome="decided", standing="elsewhere") == 1
    assert value(meters, "fleet_deliberation_duration_seconds_count", outcome="failed") is None


async def test_conflicts_are_counted_by_the_kind_of_document(meters: Meters) -> None:
    state = MeasuredState(InMemoryStateStore(clock), meters)
    await state.commit([Put("claim/1", b"", 0)])
    with pytest.raises(Conflict):
        await state.commit([Put("claim/1", b"", 0)])
    keep = MeasuredBus(InMemoryEventBus(clock), meters).joined(InMemoryStateStore(clock))
    assert keep is not None
    with pytest.raises(Conflict):
        await keep([Put("deliberation/1", b"", 3)], [])
    assert value(meters, "fleet_store_conflicts_total", documents="claim") == 1
    assert value(meters, "fleet_store_conflicts_total", documents="deliberation") == 1
    count = "fleet_store_duration_seconds_count"
    assert value(meters, count, call="commit", outcome="ok") == 1
    assert value(meters, count, call="commit", outcome="conflict") == 1
    assert value(meters, count, call="joined", outcome="conflict") == 1


async def test_redeliveries_are_counted(meters: Meters) -> None:
    bus = MeasuredBus(InMemoryEventBus(clock), meters)
    await bus.publish([Event("1", "agent.results.t", {}, clock())])
    async with bus.subscribe(Subscription("mine", ("agent.results.>",))) as deliveries:
        await (await anext(deliveries)).nak()
        assert value(meters, "fleet_events_redelivered_total", durable="mine") is None
        await (await anext(deliveries)).ack()
    assert value(meters, "fleet_events_redelivered_total", durable="mine") == 1
    name = "fleet_events_consumed_total"
    assert value(meters, name, durable="mine", settled="nak") == 1
    assert value(meters, name, durable="mine", settled="ack") == 1


async def test_a_failed_call_counts_what_it_used_and_why_it_failed(meters: Meters) -> None:
    used = Usage(100, 20, 1_500_000, 3)
    runner = MeasuredRunner(Ending(lambda j: failed(j, "rate_limited", "x", 250, used)), meters)
    await runner.run(a_job())
    jobs = "fleet_job_duration_seconds_count"
    assert value(meters, jobs, work="model", outcome="failed", code="rate_limited") == 1
    calls = {"binding": "default", "outcome": "failed"}
    assert value(meters, "fleet_model_call_duration_seconds_sum", **calls) == 0.25
    assert value(meters, "fleet_model_attempts_total", binding="default") == 3
    assert value(meters, "fleet_tokens_total", binding="default", kind="prompt") == 100
    assert value(meters, "fleet_tokens_total", binding="default", kind="answer") == 20
    assert value(meters, "fleet_cost_usd_total", binding="default") == 1.5


async def test_a_job_that_ended_before_its_call_is_no_call(meters: Meters) -> None:
    late = MeasuredRunner(Ending(lambda job: failed(job, "deadline", "x")), meters)
    await late.run(a_job())
    check = CheckRequest("python", "pass")
    ran = MeasuredRunner(Ending(lambda job: evolve(replied(job, "x"), usage=Usage())), meters)
    await ran.run(a_job(work=check))
    jobs = "fleet_job_duration_seconds_count"
    assert value(meters, jobs, work="model", outcome="failed", code="deadline") == 1
    assert value(meters, jobs, work="check", outcome="ok", code="") == 1
    name = "fleet_model_call_duration_seconds_count"
    assert value(meters, name, binding="default", outcome="failed") is None


async def test_jobs_that_do_not_end_are_told_apart(meters: Meters) -> None:
    def away(_: AgentJob) -> AgentResult:
        raise Unavailable("away")

    def bug(_: AgentJob) -> AgentResult:
        raise ZeroDivisionError

    def stopped(_: AgentJob) -> AgentResult:
        raise asyncio.CancelledError

    for how in (away, bug, stopped):
        with pytest.raises((Unavailable, ZeroDivisionError, asyncio.CancelledError)):
            await MeasuredRunner(Ending(how), meters).run(a_job())
    jobs = "fleet_job_duration_seconds_count"
    assert value(meters, jobs, work="model", outcome="handed back", code="unavailable") == 1
    assert value(meters, jobs, work="model", outcome="broken", code="ZeroDivisionError") == 1
    assert value(meters, jobs, work="model", outcome="cancelled", code="") == 1


async def test_what_does_not_answer_is_no_number(meters: Meters) -> None:
    store = InMemoryStateStore(clock)
    await store.commit([Put("due/1/a", b""), Put("due/2/b", b""), Put("plan-open/p", b"")])
    runner = Ending(failed_at_once)
    await refresh(meters, {PortName.RUNNER: runner, PortName.STATE: store})
    assert value(meters, "fleet_deliberations_open") == 2
    assert value(meters, "fleet_plans_open") == 1
    assert value(meters, "fleet_runner_slots") != value(meters, "fleet_runner_slots")  # NaN

    fault = Fault()
    fault.dead.set()
    hung = FaultyState(store, fault)
    await refresh(meters, {PortName.RUNNER: runner, PortName.STATE: hung})
    assert value(meters, "fleet_plans_open") != value(meters, "fleet_plans_open")


def failed_at_once(job: AgentJob) -> AgentResult:
    return failed(job, "deadline", "x")
