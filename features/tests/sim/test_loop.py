"""The loop of the simulation: time, lanes, and what a kill leaves undone."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable

import pytest

from fleet_features.sim.loop import Lane, Runaway, SimulatedLoop, Stalled


@pytest.fixture
def loop() -> SimulatedLoop:
    return SimulatedLoop(random.Random(1), most=10_000)


def started(loop: SimulatedLoop, lane: Lane, act: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await act()

    loop.create_task(run(), context=lane.context.copy())


def unwind(loop: SimulatedLoop, lane: Lane) -> None:
    """For the sake of the tests' own process, which lives on and collects garbage."""
    lane.dead = False
    if lane.queue:
        loop._ready_lanes.append(lane)
    for task in lane.tasks:
        task.cancel()
    loop.run_until_complete(asyncio.wait(lane.tasks))
    loop.close()


def test_time_is_virtual(loop: SimulatedLoop) -> None:
    async def main() -> float:
        await asyncio.sleep(1_000_000)
        return loop.time()

    assert loop.run_until_complete(main()) == pytest.approx(1_000_000)
    loop.close()


def test_a_killed_process_does_nothing_more(loop: SimulatedLoop) -> None:
    """No `finally`, no `except`, no timer, no child task; not even when garbage is collected."""
    said: list[str] = []
    lane = Lane("victim")
    answer: asyncio.Future[None] = loop.create_future()

    async def child() -> None:
        await asyncio.sleep(2)
        said.append("child")

    async def victim() -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(child())
                loop.call_later(2, said.append, "timer")
                await answer
        except BaseException:
            said.append("except")
            raise
        finally:
            said.append("finally")

    async def main() -> None:
        started(loop, lane, victim)
        await asyncio.sleep(1)
        assert lane.ran
        loop.kill(lane)
        answer.set_result(None)
        gc.collect()
        await asyncio.sleep(10)

    loop.run_until_complete(main())
    assert said == []
    unwind(loop, lane)


def test_a_fuse_goes_off_between_two_callbacks(loop: SimulatedLoop) -> None:
    said: list[int] = []
    lane = Lane("victim")

    async def victim() -> None:
        for step in range(10):
            said.append(step)
            await asyncio.sleep(0)

    async def main() -> None:
        lane.on_fuse = lambda: loop.kill(lane)
        lane.fuse = 4
        started(loop, lane, victim)
        await asyncio.sleep(1)

    loop.run_until_complete(main())
    assert said == [0, 1, 2, 3]
    unwind(loop, lane)


def order_of(seed: int) -> list[str]:
    loop = SimulatedLoop(random.Random(seed))
    said: list[str] = []

    async def main() -> None:
        for name in "abc":
            lane = Lane(name)
            for number in range(3):
                loop.call_soon(said.append, f"{name}{number}", context=lane.context)
        await asyncio.sleep(1)

    loop.run_until_complete(main())
    loop.close()
    return said


def test_a_seed_orders_processes_and_never_one_of_them() -> None:
    orders = {tuple(order_of(seed)) for seed in range(20)}
    assert len(orders) > 5
    for order in orders:
        for name in "abc":
            assert [said for said in order if said[0] == name] == [f"{name}{n}" for n in range(3)]
    assert order_of(3) == order_of(3)


def test_a_wait_for_ever_is_told(loop: SimulatedLoop) -> None:
    forever: asyncio.Future[None] = loop.create_future()

    async def main() -> None:
        await forever

    task = loop.create_task(main())
    with pytest.raises(Stalled):
        loop.run_until_complete(task)
    forever.set_result(None)
    loop.run_until_complete(task)
    loop.close()


def test_a_loop_that_turns_round_is_told(loop: SimulatedLoop) -> None:
    turning = True

    async def main() -> None:
        while turning:  # noqa: ASYNC110 -- that is the point
            await asyncio.sleep(0)

    task = loop.create_task(main())
    with pytest.raises(Runaway):
        loop.run_until_complete(task)
    turning = False
    loop._most = 20_000
    loop.run_until_complete(task)
    loop.close()
