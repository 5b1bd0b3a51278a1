"""Claims, takeover, large results; dead letters; packs by a real tokenizer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise

import pytest

from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.graph import InMemoryContextGraph
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_core.domain.codec import from_data
from fleet_core.domain.context import ANCHORS, PackRequest
from fleet_core.domain.decision import Decision, DecisionStanding
from fleet_core.domain.events import DEAD, MAX_INLINE_BYTES, PLAN_APPROVED, RESULTS, Event
from fleet_core.domain.job import AgentJob, AgentResult, Outcome
from fleet_core.domain.plan import Plan, Task, plan_id
from fleet_core.errors import InputError, StoreError, Unavailable
from fleet_core.ports.event_bus import Subscription
from fleet_core.ports.model import OnText
from fleet_core.ports.state_store import Delete, Put, Write
from fleet_core.testing.faults import Fault, FaultyBus, FaultyState
from fleet_core.testing.jobs import HeldRunner, a_job
from fleet_core.testing.playing import replied
from fleet_core.testing.process import Silence
from fleet_core.testing.saying import ObedientModel
from fleet_core.usecases import deliberate, hydrate, keys, plans
from fleet_core.usecases.consume import PATIENT, consume
from fleet_core.usecases.documents import dump_object
from fleet_core.usecases.execute import Execute, ExecuteSettings
from fleet_core.usecases.hydrate import Hydrate
from fleet_core.usecases.patience import delay_ms
from fleet_core.usecases.payload import opened
from fleet_core.usecases.stores import Stores

pytestmark = pytest.mark.anyio
Clock = Callable[[], int]


@pytest.fixture
def stores(clock: Clock, anyio_backend: object) -> Callable[[], Stores]:
    return lambda: Stores(
        InMemoryEventBus(clock), InMemoryStateStore(clock), InMemoryBlobStore(), clock
    )


@asynccontextmanager
async def executing(
    stores: Stores, runner: HeldRunner, owner: str = "one", fault: Fault | None = None
) -> AsyncIterator[Execute]:
    seen = stores
    if fault is not None:
        seen = replace(
            stores, bus=FaultyBus(stores.bus, fault), state=FaultyState(stores.state, fault)
        )
    async with Execute(runner, seen, Silence(), ExecuteSettings(owner, 3_000)).running() as execute:
        yield execute


async def results(stores: Stores, number: int, within_s: float = 60) -> list[AgentResult]:
    async with asyncio.timeout(within_s):
        while True:
            found = [s.event async for s in stores.bus.replay([f"{RESULTS}.>"])]
            if len(found) >= number:
                return [from_data(AgentResult, await opened(e.data, stores.blobs)) for e in found]
            await asyncio.sleep(0.01)


async def test_a_job_held_by_another_is_waited_for(stores: Callable[[], Stores]) -> None:
    there, first, second = stores(), HeldRunner(), HeldRunner()
    first.go.clear()
    async with executing(there, first, "one") as one, executing(there, second, "two") as two:
        await one.submit([a_job()])
        await asyncio.sleep(1)
        await two.submit([a_job()])
        await asyncio.sleep(20)  # six times as long as a claim lives: it is renewed
        assert not second.begun
        first.go.set()
        await results(there, 1)
        await asyncio.sleep(1)
        (status,) = await two.status(a_job().deliberation_id)
        assert (status.phase, status.outcome) == ("done", Outcome.OK)
    assert not second.begun


async def test_the_claim_of_a_dead_executor_is_taken_over(stores: Callable[[], Stores]) -> None:
    there, runner = stores(), HeldRunner()
    job = a_job()
    await there.state.commit([Put(keys.claim(job.job_id), b"the dead", 0, ttl_ms=3_000)])
    async with executing(there, runner) as execute:
        await execute.submit([job])
        await asyncio.sleep(2)
        assert not runner.begun
        await results(there, 1, within_s=3)


async def test_a_claim_found_to_be_ones_own_is_made_to_last(
    stores: Callable[[], Stores],
) -> None:
    """Of an answer that was lost, or of an earlier life: it may be about to run out."""
    there, first, second = stores(), HeldRunner(), HeldRunner()
    job = a_job()
    first.go.clear()
    await there.state.commit([Put(keys.claim(job.job_id), b"one", 0, ttl_ms=3_000)])
    await asyncio.sleep(2.5)
    async with executing(there, first, "one") as one, executing(there, second, "two") as two:
        await one.submit([job])
        await two.submit([job])
        await asyncio.sleep(5)
        assert first.begun
        assert not second.begun


async def test_a_claim_whose_answer_is_slow_begins_nothing_that_has_ended(
    stores: Callable[[], Stores], clock: Clock
) -> None:
    """The same job was submitted twice, and the second submission was quicker."""
    answer = asyncio.Event()

    class Slow(InMemoryStateStore):
        commits = 0

        async def commit(self, writes: Sequence[Write]) -> Sequence[int]:
            self.commits += 1
            first = self.commits == 1
            versions = await super().commit(writes)
            if first:
                await answer.wait()
            return versions

    there, runner = replace(stores(), state=Slow(clock)), HeldRunner()
    async with executing(there, runner) as execute, asyncio.TaskGroup() as tasks:
        tasks.create_task(execute.submit([a_job()]))
        await asyncio.sleep(0.1)
        await execute.submit([a_job()])
        await results(there, 1)
        answer.set()
        await asyncio.sleep(5)
        assert runner.begun.total() == 1
        assert not await there.state.scan("claim/")


async def test_a_runner_that_comes_back_repeats_nothing_that_was_journaled_meanwhile(
    stores: Callable[[], Stores],
) -> None:
    """Its claim had lapsed, e.g. because the store's clock jumped, and another ran the job."""
    there, runner, job = stores(), HeldRunner(), a_job()
    runner.errors = [Unavailable("the worker was lost")]
    async with executing(there, runner) as execute:
        await execute.submit([job])
        while not runner.begun:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
        kept = Put(keys.journal(job.job_id), dump_object(replied(job, "another's")), 0)
        await there.state.commit([kept, Delete(keys.claim(job.job_id))])
        (result,) = await results(there, 1)
        assert result.text == "another's"
        assert runner.begun.total() == 1
        await asyncio.sleep(1)
        assert not await execute.active()


async def test_an_executor_knows_its_own_claim_again(
    stores: Callable[[], Stores], clock: Clock
) -> None:
    """The claim was made and the answer lost: it must not wait for itself."""
    there, runner = stores(), HeldRunner()
    async with executing(there, runner, fault=Fault(1, after=True)) as execute:
        with pytest.raises(Unavailable):
            await execute.submit([a_job()])
        before = clock()
        await execute.submit([a_job()])
        await results(there, 1)
        assert clock() - before < 1_000


async def test_leaving_gives_claims_back(stores: Callable[[], Stores]) -> None:
    there, runner = stores(), HeldRunner()
    runner.go.clear()
    async with executing(there, runner) as execute:
        await execute.submit([a_job(1), a_job(2)])
        await asyncio.sleep(0.1)
        assert len(await there.state.scan("claim/")) == 2
    assert not await there.state.scan("claim/")
    assert len(runner.stopped) == 2
    assert not await there.state.scan("journal/"), "stopped is not ended: it will be run again"


async def test_an_answer_that_is_there_is_kept_when_the_executor_leaves(
    stores: Callable[[], Stores],
) -> None:
    there, runner = stores(), HeldRunner()
    fault = Fault(2)  # after the claim: the first attempt to journal
    async with executing(there, runner, fault=fault) as execute:
        await execute.submit([a_job()])
        while "state.commit" not in fault.seen[1:]:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
    assert len(await there.state.scan("journal/")) == 1


async def test_a_cancel_that_comes_while_the_answer_is_kept_hits_nothing(
    stores: Callable[[], Stores],
) -> None:
    there, runner = stores(), HeldRunner()
    fault = Fault(also=frozenset({2, 3, 4}))
    async with executing(there, runner, fault=fault) as execute:
        await execute.submit([a_job()])
        while len(fault.seen) < 3:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
        assert await execute.cancel(a_job().deliberation_id) == 0
        (result,) = await results(there, 1)
        assert result.outcome is Outcome.OK


async def test_whoever_journals_first_is_right(stores: Callable[[], Stores]) -> None:
    """An executor that lost its claim while it slept adds nothing of its own."""
    there, slow, quick = stores(), HeldRunner(), HeldRunner()
    slow.go.clear()
    fault = Fault()
    async with executing(there, slow, "slow", fault) as one, executing(there, quick, "two") as two:
        await one.submit([a_job()])
        await asyncio.sleep(0.1)
        fault.also = frozenset(range(1, 1000))  # its renewals fail from here on
        await two.submit([a_job()])
        (first,) = await results(there, 1)
        fault.also = frozenset()
        slow.go.set()
        await asyncio.sleep(5)
        assert await results(there, 1) == [first]
    assert len(quick.begun) == 1


async def test_a_large_result_travels_by_reference(stores: Callable[[], Stores]) -> None:
    class Long(HeldRunner):
        async def run(self, job: AgentJob, on_text: OnText | None = None) -> AgentResult:
            return replied(job, "é" * MAX_INLINE_BYTES)

    there = stores()
    async with executing(there, Long()) as execute:
        await execute.submit([a_job()])
        (result,) = await results(there, 1)
        assert len(result.text) == MAX_INLINE_BYTES
    (event,) = [s.event async for s in there.bus.replay([f"{RESULTS}.>"])]
    assert event.data.keys() == {"ref"}


async def test_nothing_is_published_that_is_not_journaled(
    stores: Callable[[], Stores], clock: Clock
) -> None:
    """Else a crash between the two would run, and pay, what its deliberation has already seen."""
    there = stores()

    class Watched(InMemoryEventBus):
        async def publish(self, events: Sequence[Event]) -> None:
            for event in events:
                key = keys.journal(event.event_id.removeprefix("result:"))
                assert (await there.state.get([key]))[0] is not None
            await super().publish(events)

    there = replace(there, bus=Watched(clock))
    async with executing(there, HeldRunner()) as execute:
        await execute.submit([a_job(1), a_job(2)])
        assert len(await results(there, 2)) == 2


async def test_any_text_of_a_model_is_kept(stores: Callable[[], Stores]) -> None:
    class Odd(HeldRunner):
        async def run(self, job: AgentJob, on_text: OnText | None = None) -> AgentResult:
            return replied(job, "half \ud83d of a pair \x00")

    there = stores()
    async with executing(there, Odd()) as execute:
        await execute.submit([a_job()])
        (result,) = await results(there, 1)
        assert result.text == "half \ud83d of a pair \x00"


async def test_poison_is_buried_with_the_reason(stores: Callable[[], Stores], clock: Clock) -> None:
    there, handled = stores(), []

    async def handle(event: Event) -> None:
        handled.append(event.event_id)
        if event.event_id == "bad":
            raise StoreError("it is poison")
        if event.event_id == "bug":
            raise ZeroDivisionError

    async with asyncio.TaskGroup() as tasks:
        eater = tasks.create_task(
            consume(there.bus, Subscription("d", (PLAN_APPROVED,)), handle, clock)
        )
        await there.bus.publish([Event(i, PLAN_APPROVED, {}) for i in ("bad", "bug", "good")])
        await asyncio.sleep(60)
        eater.cancel()
    assert sorted(handled) == ["bad", "bug", "good"]
    letters = {s.event.event_id: s.event async for s in there.bus.replay([f"{DEAD}.>"])}
    assert letters.keys() == {"dead:d:bad", "dead:d:bug"}
    assert letters["dead:d:bad"].data["reason"] == "it is poison"
    assert letters["dead:d:bad"].subject == f"{DEAD}.{PLAN_APPROVED}"
    assert "ZeroDivisionError" in letters["dead:d:bug"].data["reason"]


@pytest.mark.parametrize(("attempts", "buried"), [(3, False), (5, True)])
async def test_what_may_pass_is_tried_again_with_back_off(
    stores: Callable[[], Stores], clock: Clock, attempts: int, buried: bool
) -> None:
    there = stores()
    times: list[int] = []

    async def handle(event: Event) -> None:
        times.append(clock())
        if len(times) <= attempts:
            raise Unavailable("not now")

    async with asyncio.TaskGroup() as tasks:
        eater = tasks.create_task(
            consume(there.bus, Subscription("d", (PLAN_APPROVED,), max_deliver=5), handle, clock)
        )
        await there.bus.publish([Event("e", PLAN_APPROVED, {})])
        await asyncio.sleep(120)
        eater.cancel()
    assert len(times) == min(attempts + 1, 5)
    waits = [later - sooner for sooner, later in pairwise(times)]
    assert waits == sorted(waits)
    assert waits[0] >= 100
    assert bool([s async for s in there.bus.replay([f"{DEAD}.>"])]) is buried


async def test_the_fleets_own_consumers_outlast_a_quarter_of_an_hour() -> None:
    assert sum(delay_ms(n) for n in range(1, PATIENT)) >= 15 * 60_000
    for user in (deliberate, hydrate, plans):
        assert user.SUBSCRIPTION.max_deliver == PATIENT


class Stingy(ObedientModel):
    """A tokenizer to which the whole is more than its parts."""

    extra = 0

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def count(self, texts: Sequence[str]) -> Sequence[int]:
        self.asked += texts
        return [len(t.split()) + self.extra * t.count("\n\n") for t in texts]

    def tokenizer(self) -> str:
        return "stingy"


PLAN = Plan(
    "s",
    "S",
    (
        Task("a", "A", "DEV"),
        Task("b", "B", "DEV", "Do.", ("x",), ("y",), ("a",)),
        *(Task(f"t{n}", f"Task number {n}", "QA") for n in range(5)),
    ),
)


def decision(text: str) -> Decision:
    return Decision(
        "d1", "x", "s", plan_id(PLAN), "a", "DEV", "T", "R", text, "dev-1",
        DecisionStanding.UNVERIFIED, "alone", 1,
    )  # fmt: skip


@pytest.mark.parametrize("extra", [0, 3, 10])
async def test_no_pack_goes_over_its_budget_or_loses_an_anchor(
    stores: Callable[[], Stores], extra: int
) -> None:
    model = Stingy()
    model.extra = extra
    hydrator = Hydrate(InMemoryContextGraph(), model, stores())
    await hydrator.record(decision("word " * 50))
    fitted = 0
    for budget in range(5, 200, 3):
        request = PackRequest(plan_id(PLAN), PLAN, "b", "DEV", 10**15, budget)
        try:
            pack = await hydrator.pack(request)
        except InputError as error:
            said = str(error)
            assert str(budget) in said
            continue
        fitted += 1
        assert pack.tokens == (await model.count([pack.text]))[0] <= budget
        assert pack.counted_by == "stingy"
        assert all(e.included for e in pack.ledger if e.kind in ANCHORS)
        items = [e.item for e in pack.ledger]
        assert len(items) == len(set(items)) == 9 + bool(pack.ledger[0].item.startswith("story"))
        assert all(e.reason for e in pack.ledger)
    assert fitted > 10


async def test_counts_are_asked_for_once(stores: Callable[[], Stores]) -> None:
    model = Stingy()
    hydrator = Hydrate(InMemoryContextGraph(), model, stores())
    request = PackRequest(plan_id(PLAN), PLAN, "b", "DEV", 10**15, 500)
    first = await hydrator.pack(request)
    asked = list(model.asked)
    assert len(asked) == len(set(asked))
    assert await hydrator.pack(request) == first
    assert model.asked == asked
