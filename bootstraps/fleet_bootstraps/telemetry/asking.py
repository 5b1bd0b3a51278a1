"""Figures that nobody counts as they change: they are asked for when somebody scrapes."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Mapping
from typing import Any

from prometheus_client import Gauge

from fleet_bootstraps.telemetry.meters import Meters
from fleet_core.domain.events import DEAD
from fleet_core.errors import FleetError
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.runner import Runner
from fleet_core.ports.state_store import StateStore
from fleet_core.usecases import keys
from fleet_core.usecases.patience import until_available
from fleet_plugins.api import PortName

_log = logging.getLogger("fleet.telemetry")
_PATIENCE_S = 2.0
_PAGE = 1_000


async def refresh(meters: Meters, ports: Mapping[PortName, Any]) -> None:
    """Ask runner and store; what does not answer within two seconds is told as NaN."""
    asked: list[Awaitable[None]] = []
    if meters.executes:
        gauges = (meters.slots, meters.running, meters.waiting, meters.nodes)
        asked.append(_told(_ask_runner(meters, ports[PortName.RUNNER]), *gauges))
    if meters.deliberates:
        state = ports[PortName.STATE]
        asked.append(_told(_count(meters.open, state, keys.DUE), meters.open))
        asked.append(_told(_count(meters.plans_open, state, keys.PLAN_OPEN), meters.plans_open))
    await asyncio.gather(*asked)


async def _told(answer: Awaitable[None], *gauges: Gauge) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await answer
    except (FleetError, TimeoutError) as error:
        _log.debug("not measured: %s", error or "no answer in time")
        for gauge in gauges:
            gauge.set(math.nan)


async def _ask_runner(meters: Meters, runner: Runner) -> None:
    stats = await runner.stats()
    meters.slots.set(stats.slots)
    meters.running.set(stats.running)
    meters.waiting.set(stats.waiting)
    meters.nodes.set(stats.nodes)


async def _count(gauge: Gauge, state: StateStore, prefix: str) -> None:
    """How many documents there are; each open deliberation has one deadline, each plan a mark."""
    found, after = 0, prefix
    while page := await state.scan(prefix, after=after, limit=_PAGE):
        found += len(page)
        after = page[-1].key
        if len(page) < _PAGE:
            break
    gauge.set(found)


async def follow_dead_letters(meters: Meters, bus: EventBus) -> None:
    """Count dead letters by the durable that gave the event up, from the oldest kept one on."""
    position = 0

    async def follow() -> None:
        nonlocal position
        async for stored in bus.replay([f"{DEAD}.>"], after=position, follow=True):
            position = stored.position
            meters.dead.labels(str(stored.event.data.get("durable", "unknown"))).inc()

    await until_available(follow, "the count of dead letters")
