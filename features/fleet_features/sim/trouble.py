"""What goes wrong by itself: services die and come again, clocks jump, servers go away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from fleet_features.sim.auditor import Auditor
from fleet_features.sim.services import Fleet, Service

_DOWN_S = 6.0
_AWAY_S = 3.0
_FUSE = 40
SERVERS = ("bus", "state", "graph", "blobs")


@dataclass(slots=True)
class ServerClock:
    """How wrong the stores' clock is."""

    offset_ms: int = 0


class Trouble:
    """Works as long as the adversary is active, and then mends everything."""

    def __init__(self, fleet: Fleet, stores_clock: ServerClock) -> None:
        self._fleet = fleet
        self._clock = stores_clock
        self._adversary = fleet.wire.adversary
        self._luck = fleet.wire.adversary.luck
        self._trace = fleet.wire.trace
        self._auditor: Auditor = fleet.auditor

    async def make(self) -> None:
        """Until the adversary's time is over."""
        temper = self._adversary.temper
        makers = (
            (temper.kill_s, self._strike),
            (temper.jump_s, self._jump),
            (temper.outage_s, self._outage),
        )
        try:
            async with asyncio.timeout(temper.active_s), asyncio.TaskGroup() as tasks:
                for every_s, act in makers:
                    if every_s:
                        tasks.create_task(self._again_and_again(every_s, act))
                await asyncio.sleep(temper.active_s + 1)
        except TimeoutError:
            pass
        self._mend()

    async def _again_and_again(self, every_s: float, act: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(self._luck.expovariate(1 / every_s))
            act()

    def _strike(self) -> None:
        alive = [service for service in self._fleet.services if service.up]
        if not alive:
            return
        service = self._luck.choice(alive)
        down_s = self._luck.random() * _DOWN_S
        if self._luck.random() < self._adversary.temper.graceful:
            service.stop()
            self._restart(service, down_s + 3.0)
            return
        lane = service.lane

        def blown() -> None:
            service.kill()
            self._restart(service, down_s)

        lane.on_fuse = blown
        lane.fuse = int(self._luck.random() ** 2 * _FUSE)

    def _restart(self, service: Service, after_s: float) -> None:
        loop = self._fleet.wire.loop
        loop.call_later(after_s, self._start, service, context=loop.outside.context)

    def _start(self, service: Service) -> None:
        if not service.up:
            service.start()

    def _jump(self) -> None:
        by_ms = round((self._luck.random() * 2 - 1) * self._adversary.temper.jump_ms)
        at = self._luck.randrange(len(self._fleet.services) + 1)
        if at == len(self._fleet.services):
            self._clock.offset_ms = by_ms
            self._auditor.calls.disturbed()
            self._trace.note("stores", f"their clock is {by_ms} ms off")
        else:
            service = self._fleet.services[at]
            service.offset_ms = by_ms
            self._trace.note(service.name, f"its clock is {by_ms} ms off")

    def _outage(self) -> None:
        server = self._luck.choice(SERVERS)
        loop = self._fleet.wire.loop
        self._trace.note(server, "is away")
        self._adversary.down.add(server)
        if server == "bus":
            self._fleet.hub.cut()
        after_s = self._luck.random() * _AWAY_S
        loop.call_later(after_s, self._back, server, context=loop.outside.context)

    def _back(self, server: str) -> None:
        if server in self._adversary.down:
            self._trace.note(server, "is back")
            self._adversary.down.discard(server)

    def _mend(self) -> None:
        """The adversary is called off."""
        self._trace.note("adversary", "is called off")
        self._adversary.active = False
        self._adversary.down.clear()
        self._auditor.calls.disturbed()
        self._clock.offset_ms = 0
        for service in self._fleet.services:
            service.offset_ms = 0
            service.lane.fuse = None
            if service.task is None or service.task.done() or service.lane.dead:
                self._start(service)
