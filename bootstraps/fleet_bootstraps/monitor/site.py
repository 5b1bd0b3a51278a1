"""All that the monitor answers from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_bootstraps.monitor.access import Access
from fleet_bootstraps.monitor.acting import Acting
from fleet_bootstraps.monitor.feed import Feed
from fleet_bootstraps.monitor.history import Histories, History
from fleet_bootstraps.monitor.log import Log
from fleet_bootstraps.monitor.overview import Overview
from fleet_bootstraps.monitor.picture import Picture
from fleet_bootstraps.monitor.speaking import Speaking
from fleet_bootstraps.monitor.tracked import Tracked
from fleet_core.domain.council import Council
from fleet_core.domain.deliberation import Deliberation
from fleet_core.errors import InputError, NotFound
from fleet_core.ports.clock import Clock

if TYPE_CHECKING:
    from fleet_adapters.grpc.drawing import Draw

_FEWEST = 4


@dataclass(frozen=True, slots=True)
class Site:
    """What stands behind the pages.

    Attributes:
        source: what is shown: `fleet`, `home` (a FLEET_HOME) or `file`.
        name: of it, for a person.
        log: where events are read.
        feed: the log, followed.
        histories: states of the past, read when asked for.
        speaking: what agents say.
        overview: how the parts of the fleet are.
        councils: the councils that a task approved now would be put to; None where only the log
            tells of councils.
        saved: a deliberation's state as the store has it; None where there is no store.
        draw: asks the context graph for a story; None where nobody here can.
        acting: what can be done; None where nothing can.
        why_not: why nothing can be done.
        ranked: whether the core's ranking is the fleet's.
        access: who may look and act.
        clock: UTC milliseconds.
    """

    source: str
    name: str
    log: Log
    feed: Feed
    histories: Histories
    speaking: Speaking
    overview: Overview
    councils: Callable[[], Awaitable[dict[str, Council]]] | None
    saved: Callable[[str], Awaitable[Deliberation]] | None
    draw: Draw | None
    acting: Acting | None
    why_not: str
    ranked: bool
    access: Access
    clock: Clock

    @property
    def picture(self) -> Picture:
        """What the log was folded into."""
        return self.feed.picture

    def tracked(self, name: str) -> Tracked:
        """A deliberation by its id, or by a beginning of it that no other has.

        Raises:
            NotFound: there is none.
            InputError: several begin like that.
        """
        known = self.picture.deliberations
        if name in known:
            return known[name]
        found = [i for i in known if i.startswith(name)] if len(name) >= _FEWEST else []
        if not found:
            raise NotFound("there is no such deliberation", "GET /api/deliberations lists them")
        if len(found) > 1:
            raise InputError("several deliberations begin like that", "give more of its digits")
        return known[found[0]]

    async def state(self, tracked: Tracked, version: int = 0) -> Deliberation:
        """A state of a deliberation: of a version, or as it is now for 0.

        Where the log does not go so far, as where its first events have aged out, it is that which
        was saved.

        Raises:
            NotFound: neither log nor store tell it; says why.
        """
        if not version and tracked.complete and tracked.state is not None:
            return tracked.state
        history = await self.history(tracked)
        if not version and history.version < tracked.sequence and self.saved is not None:
            return await self.saved(tracked.deliberation_id)
        return history.at(version).state

    async def history(self, tracked: Tracked) -> History:
        """All that the log tells of a deliberation."""
        return await self.histories.of(tracked)
