from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from fleet_bootstraps.fleet import core_strategies
from fleet_bootstraps.monitor.history import Histories
from fleet_bootstraps.monitor.log import FileLog
from fleet_bootstraps.monitor.picture import SUBJECTS, Picture
from fleet_bootstraps.monitor.tracked import Tracked
from fleet_core.domain.events import Event
from fleet_core.errors import FleetError, NotFound, Unavailable

pytestmark = pytest.mark.anyio
Staged = Callable[..., AbstractAsyncContextManager[Any]]


class Failing(FileLog):
    """A log whose payloads cannot be fetched for a while."""

    def __init__(self, events: list[Event], error: FleetError) -> None:
        super().__init__(events)
        self.error: FleetError | None = error
        self.left = 3  # that can

    async def opened(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        self.left -= 1
        if self.error is not None and self.left < 0:
            raise self.error
        return await super().opened(data)


@pytest.fixture
async def told(staged: Staged) -> tuple[list[Event], Tracked]:
    """The events of a deliberation, and what is known of it."""
    async with staged({"text": "def f(): pass"}) as stage:
        run = await stage.run({"id": "a", "title": "Do a", "role": "DEV"})
        events = [stored.event async for stored in stage.fleet.bus.replay(SUBJECTS)]
    picture = Picture(core_strategies())
    for position, event in enumerate(events, 1):
        picture.take(event, position)
    return events, picture.deliberations[run.tasks[0].deliberation_id]


async def test_a_history_that_was_cut_short_by_an_outage_is_read_on(
    told: tuple[list[Event], Tracked],
) -> None:
    events, tracked = told
    log = Failing(events, Unavailable("the store is away"))
    histories = Histories(log, core_strategies())
    with pytest.raises(Unavailable):
        await histories.of(tracked)

    log.error = None
    history = await histories.of(tracked)

    assert [moment.version for moment in history.moments] == list(range(1, tracked.sequence + 1))
    assert history.at().state == tracked.state
    assert not history.gap


async def test_a_history_ends_where_what_it_refers_to_is_gone(
    told: tuple[list[Event], Tracked],
) -> None:
    events, tracked = told
    log = Failing(events, NotFound("blob x is not kept any more"))

    history = await Histories(log, core_strategies()).of(tracked)

    assert [moment.version for moment in history.moments] == [1, 2, 3]
    assert history.gap == "blob x is not kept any more"
