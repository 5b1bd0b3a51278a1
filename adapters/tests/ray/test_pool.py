"""The pool, with workers of paper."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fleet_adapters.ray.pool import Hand, Limits, Pool, WorkerLost
from fleet_adapters.ray.wire import Message, packed, unpacked
from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.job import AgentResult, CheckRequest
from fleet_core.errors import FleetError, PluginError, Unavailable
from fleet_core.testing.jobs import a_job
from fleet_core.testing.playing import REFERENCE_CALL

pytestmark = pytest.mark.anyio


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0)


class PaperHand(Hand):
    """Keeps what it is given; a test tells what happens."""

    def __init__(self) -> None:
        self.batches: list[list[Message]] = []
        self.news: asyncio.Queue[list[Message] | None] = asyncio.Queue()

    async def take(self, data: bytes) -> None:
        self.batches.append(unpacked(data))

    async def listen(self) -> bytes:
        news = await self.news.get()
        if news is None:
            raise WorkerLost("torn")
        return packed(news)

    def given(self, kind: str = "run") -> list[int]:
        return [m[1] for batch in self.batches for m in batch if m[0] == kind]

    def tell(self, *messages: Message) -> None:
        self.news.put_nowait(list(messages))


class Office:
    """A pool and its workers."""

    def __init__(self, limits: Limits, errors: tuple[FleetError | WorkerLost, ...] = ()) -> None:
        self.hands: list[PaperHand] = []
        self.told: list[Message] = []
        self.errors = list(errors)
        self.pool = Pool(self.hire, self.told.append, limits)

    @asynccontextmanager
    async def hire(self) -> AsyncIterator[Hand]:
        if self.errors:
            raise self.errors.pop(0)
        hand = PaperHand()
        self.hands.append(hand)
        yield hand

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Office]:
        serving = asyncio.create_task(self.pool.serve())
        await asyncio.sleep(0)
        try:
            yield self
        finally:
            serving.cancel()
            await asyncio.wait([serving])

    def run(self, number: int, *, deadline_ms: int = 4_000_000_000_000, check: bool = False) -> Any:
        work = CheckRequest("python", "pass") if check else REFERENCE_CALL
        job = to_data(a_job(number, deadline_ms=deadline_ms, work=work))
        self.pool.run(number, job, heard=True)
        return job


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_what_is_given_in_one_turn_goes_in_one_call_to_each_worker() -> None:
    async with Office(Limits(2, 3, 1, 1)).open() as office:
        await office.pool.started(5)
        for number in range(1, 9):
            office.run(number)
        office.run(9, check=True)
        await until(lambda: sum(len(hand.given()) for hand in office.hands) == 7)
        assert [len(hand.batches) for hand in office.hands] == [1, 1]
        assert sorted(len(hand.given()) for hand in office.hands) == [3, 4]
        assert office.pool.stats() == (8, 7, 2)
        (first, *_) = office.hands[0].given()
        office.hands[0].tell(["done", first, {}])
        await until(lambda: 7 in office.hands[0].given())
        assert office.told == [["done", first, {}]]


async def test_what_a_lost_worker_had_is_run_again_before_all_others_and_begins_anew() -> None:
    async with Office(Limits(1, 2, 1, 1)).open() as office:
        await office.pool.started(5)
        for number in (1, 2, 3):
            office.run(number)
        first = office.hands[0]
        await until(lambda: first.given() == [1, 2])
        first.tell(["said", 1, ["a"]])
        await until(lambda: office.told)
        first.news.put_nowait(None)
        await until(lambda: len(office.hands) == 2 and office.hands[1].given())
        assert office.hands[1].given() == [1, 2]
        office.hands[1].tell(["done", 1, {"usage": {"attempts": 1}}], ["done", 2, {}])
        await until(lambda: 3 in office.hands[1].given())
        assert office.told == [
            ["said", 1, ["a"]],
            ["said", 1, [""]],
            ["done", 1, {"usage": {"attempts": 2}}],
            ["done", 2, {"usage": {"attempts": 1}}],
        ]


async def test_a_job_that_loses_its_worker_too_often_fails_and_says_so() -> None:
    async with Office(Limits(1, 2, 1, 0)).open() as office:
        await office.pool.started(5)
        job = office.run(1)
        await until(office.hands[0].given)
        office.hands[0].news.put_nowait(None)
        await until(lambda: office.told)
        ((_, _, data),) = office.told
        result = from_data(AgentResult, data)
        assert (result.job_id, result.task) == (job["job_id"], job["task"])
        assert result.failure is not None
        assert result.failure.reason == "its worker ended under it 1 times"
        assert office.pool.stats()[1:] == (0, 0)


async def test_cancelling_tells_the_end_once_and_only_when_it_has_ended() -> None:
    async with Office(Limits(1, 1, 1, 1)).open() as office:
        await office.pool.started(5)
        office.run(1)
        office.run(2)
        hand = office.hands[0]
        await until(hand.given)
        for number in (1, 2, 3):
            office.pool.cancel(number)
            office.pool.cancel(number)
        assert office.told == [["gone", 2]]
        await until(lambda: hand.given("cancel") == [1])
        assert office.pool.stats()[1:] == (1, 0)
        hand.tell(["said", 1, ["x"]], ["gone", 1])
        await until(lambda: office.told[-1] == ["gone", 1])
        assert office.pool.stats()[1:] == (0, 0)


async def test_a_cancelled_job_of_a_lost_worker_is_gone_and_not_run_again() -> None:
    async with Office(Limits(1, 1, 1, 1)).open() as office:
        await office.pool.started(5)
        office.run(1)
        await until(office.hands[0].given)
        office.pool.cancel(1)
        office.hands[0].news.put_nowait(None)
        await until(lambda: len(office.hands) == 2 and office.told)
        assert office.told == [["gone", 1]]
        assert office.hands[1].given() == []


async def test_a_deadline_that_passes_while_a_job_waits_ends_it() -> None:
    async with Office(Limits(1, 1, 1, 1)).open() as office:
        await office.pool.started(5)
        office.run(1)
        office.run(2, deadline_ms=now_ms() + 30)
        await until(lambda: office.told)
        ((_, number, data),) = office.told
        assert (number, data["failure"]["code"]) == (2, "deadline")
        assert "waited" in data["failure"]["reason"]
        office.hands[0].tell(["done", 1, {}])
        await until(lambda: len(office.told) == 2)
        assert office.hands[0].given() == [1]


async def test_a_worker_that_does_not_keep_a_deadline_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fleet_adapters.ray.pool._LATE_S", 0.01)
    async with Office(Limits(1, 1, 1, 1)).open() as office:
        await office.pool.started(5)
        office.run(1, deadline_ms=now_ms() + 30)
        await until(lambda: office.told)
        assert office.told[0][2]["failure"]["code"] == "deadline"
        await until(lambda: office.hands[0].given("cancel") == [1])
        assert office.pool.stats()[1:] == (1, 0)
        office.hands[0].tell(["done", 1, {}])
        await until(lambda: office.pool.stats()[1:] == (0, 0))
        assert len(office.told) == 1


async def test_a_job_that_a_workers_bug_ends_fails_with_its_words() -> None:
    async with Office(Limits(1, 1, 1, 1)).open() as office:
        await office.pool.started(5)
        office.run(1)
        await until(office.hands[0].given)
        office.hands[0].tell(["broken", 1, "ZeroDivisionError: x"])
        await until(lambda: office.told)
        failure = office.told[0][2]["failure"]
        assert failure == {"code": "internal", "reason": "ZeroDivisionError: x"}


async def test_the_first_worker_that_refuses_ends_the_start() -> None:
    async with Office(Limits(1, 1, 1, 1), (PluginError("other versions"),)).open() as office:
        with pytest.raises(PluginError, match="other versions"):
            await office.pool.started(5)


async def test_a_worker_lost_at_the_start_is_tried_again() -> None:
    async with Office(Limits(1, 1, 1, 1), (WorkerLost("torn"),)).open() as office:
        with pytest.raises(Unavailable, match=r"no worker was ready within 0\.001 s"):
            await office.pool.started(0.001)
        await office.pool.started(5)
        assert office.pool.ready == 1
