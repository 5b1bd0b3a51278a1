"""Reading a neighbourhood while others write between its statements."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, LiteralString

import pytest
from neo4j import AsyncDriver, Record

from fleet_adapters.neo4j import _cypher as cypher
from fleet_adapters.neo4j._around import Around
from fleet_adapters.neo4j._link import Link
from fleet_core.errors import StoreError
from fleet_plugins.contracts.stories import Story

pytestmark = [pytest.mark.connected, pytest.mark.anyio]


class Interrupted(Link):
    """A link on the same server that does something else before decisions are read."""

    def __init__(self, link: Link, act: Callable[[], Awaitable[object]]) -> None:
        vars(self).update(vars(link))
        self._act = act

    async def rows(
        self, text: LiteralString, *, locks: bool = False, **values: Any
    ) -> list[Record]:
        if text == cypher.TOLD:
            await self._act()
        return await super().rows(text, locks=locks, **values)


async def test_a_decision_that_is_dropped_meanwhile_is_not_missed(opener: Any) -> None:
    """What took its place is told, and the revision is that of the second reading."""
    graph = await opener.open()
    story = Story()
    old, new = story.decision("p", "T1", "old"), story.decision("p", "T1", "new")
    await graph.record_decision(old, 1)

    async def replace_it() -> None:
        await graph.record_decision(new, 2)
        await graph.prune(story.name, 10**15)

    around = Around(Interrupted(graph._link, replace_it))
    found = await around.neighbourhood(story.query("p", "T2", "T1"))
    assert [told.decision_id for told in found.ancestors] == [new.decision_id]
    assert found.revision == 2


async def test_a_decision_that_somebody_else_deleted_is_named(
    opener: Any, driver: AsyncDriver
) -> None:
    graph = await opener.open()
    story = Story()
    await graph.record_decision(story.decision("p", "T1", affects=("T5",)), 1)
    async with driver.session() as session:
        theirs = "MATCH (:Decision {story: $story})-[a:AFFECTS]->() SET a.decision_id = 'gone'"
        await (await session.run(theirs, story=story.name)).consume()
    with pytest.raises(StoreError, match="has lost the decision gone") as caught:
        await graph.neighbourhood(story.query("q", "T5"))
    assert "who else writes" in caught.value.hint


@pytest.mark.parametrize(
    "server", [{"db.transaction.concurrent.maximum": "3"}], indirect=True, ids=["three at once"]
)
async def test_a_statement_that_the_server_has_no_room_for_is_run_again(
    opener: Any, driver: AsyncDriver
) -> None:
    graph = await opener.open()
    story = Story()
    await graph.record_plan(story.plan("p"))
    async with AsyncExitStack() as theirs:
        for _ in range(3):
            session = await theirs.enter_async_context(driver.session())
            transaction = await theirs.enter_async_context(await session.begin_transaction())
            await (await transaction.run("RETURN 1")).consume()
        reading = asyncio.create_task(graph.neighbourhood(story.query("q", "T1")))
        refused, _ = await asyncio.wait([reading], timeout=0.5)
        assert not refused
    assert (await reading).revision == 1
