"""Sessions: the same packs for the same id, until they run out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from fleet_adapters.memory.state import InMemoryStateStore
from fleet_core.domain.context import ContextPack, PackRequest
from fleet_core.domain.decision import Decision
from fleet_core.domain.plan import Plan, Task, plan_id
from fleet_core.errors import AlreadyExists, InputError
from fleet_core.ports.hydrator import Hydrator
from fleet_core.usecases.sessions import HOUR_MS, Sessions, Wanted

pytestmark = pytest.mark.anyio
PLAN = Plan("s", "S", (Task("a", "A", "DEV"),))
WANTED = Wanted(plan_id(PLAN), "a", ("DEV", "QA"), "", 100)


class Counting(Hydrator):
    """Each pack says how many were made before it; the budget says whether one can be made."""

    def __init__(self) -> None:
        self.made = 0

    async def pack(self, request: PackRequest) -> ContextPack:
        if request.budget < 10:
            raise InputError("is too small", field="budget")
        self.made += 1
        number = self.made
        await asyncio.sleep(0.01)
        return ContextPack(
            "s", "a", request.role, f"pack {number}", 1, request.budget, 2, "by hand"
        )

    async def record(self, decision: Decision) -> int:
        raise NotImplementedError


@pytest.fixture
def hydrator() -> Counting:
    return Counting()


@pytest.fixture
async def sessions(hydrator: Counting, clock: Callable[[], int]) -> Sessions:
    return Sessions(hydrator, InMemoryStateStore(clock), clock)


async def requests(budget: int = 100) -> Sequence[PackRequest]:
    return [PackRequest(plan_id(PLAN), PLAN, "a", role, 1, budget) for role in WANTED.roles]


async def test_packs_are_made_once_in_the_order_of_the_roles(
    sessions: Sessions, hydrator: Counting, clock: Callable[[], int]
) -> None:
    assert await sessions.kept("one") is None
    first = await sessions.packs("one", WANTED, requests, HOUR_MS)
    assert [(pack.role, pack.text) for pack in first.packs] == [("DEV", "pack 1"), ("QA", "pack 2")]
    assert first.expires_ms == clock() + HOUR_MS
    await asyncio.sleep(60)
    assert await sessions.packs("one", WANTED, requests, HOUR_MS) == first
    assert await sessions.kept("one") == first
    assert hydrator.made == 2


async def test_of_several_at_once_all_are_told_what_one_of_them_made(sessions: Sessions) -> None:
    found = await asyncio.gather(
        *(sessions.packs("one", WANTED, requests, HOUR_MS) for _ in range(5))
    )
    assert all(session == found[0] for session in found)
    assert await sessions.kept("one") == found[0]


async def test_they_run_out_and_asking_again_does_not_prolong_it(
    sessions: Sessions, hydrator: Counting
) -> None:
    await sessions.packs("one", WANTED, requests, 10_000)
    await asyncio.sleep(9)
    await sessions.packs("one", WANTED, requests, 10_000)
    await asyncio.sleep(2)
    assert await sessions.kept("one") is None
    again = await sessions.packs("one", WANTED, requests, 10_000)
    assert again.packs[0].text == "pack 3"
    assert hydrator.made == 4


async def test_another_request_under_the_same_id_is_refused(sessions: Sessions) -> None:
    first = await sessions.packs("one", WANTED, requests, HOUR_MS)
    other = Wanted(WANTED.plan_id, "a", ("QA",), "", 100)
    with pytest.raises(AlreadyExists, match="session one holds the packs of another request"):
        await sessions.packs("one", other, requests, HOUR_MS)
    assert await sessions.kept("one") == first


async def test_where_a_pack_is_refused_nothing_is_kept(sessions: Sessions) -> None:
    with pytest.raises(InputError, match="too small"):
        await sessions.packs("one", WANTED, lambda: requests(5), HOUR_MS)
    assert await sessions.kept("one") is None
