"""Whether a service can work now: asked of its bus and its stores, told to health checks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from fleet_core.domain.events import PLAN_APPROVED
from fleet_core.errors import FleetError
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.state_store import StateStore

_log = logging.getLogger("fleet.readiness")
EVERY_S, PATIENCE_S = 1.0, 3.0
_BEYOND_ALL = 1 << 60

Probe = Callable[[], Awaitable[None]]


def probes(
    bus: EventBus, state: StateStore, graph: ContextGraph | None = None
) -> Mapping[str, Probe]:
    """A question to each, which changes nothing; to the graph of services that have one."""

    async def ask_state() -> None:
        await state.get(["readiness"])

    async def ask_bus() -> None:
        async for _ in bus.replay([PLAN_APPROVED], after=_BEYOND_ALL):
            return

    async def ask_graph(known: ContextGraph) -> None:
        await known.revision("readiness")

    asked: dict[str, Probe] = {"bus": ask_bus, "state": ask_state}
    if graph is not None:
        asked["graph"] = partial(ask_graph, graph)
    return asked


async def watch(
    asked: Mapping[str, Probe],
    tell: Callable[[bool], Awaitable[None]],
    *,
    noted: Callable[[Mapping[str, str]], None] = lambda _: None,
    every_s: float = EVERY_S,
    patience_s: float = PATIENCE_S,
) -> None:
    """Ask again and again until cancelled; tells, and logs, what changes. Ready to begin with.

    `noted` is told each time why what does not answer does not.
    """
    away: dict[str, str] = {}
    while True:
        await asyncio.sleep(every_s)
        now = await unanswered(asked, patience_s)
        for name in now.keys() - away.keys():
            _log.warning("not ready: %s: %s", name, now[name])
        for name in away.keys() - now.keys():
            _log.info("%s answers again", name)
        noted(now)
        if bool(now) != bool(away):
            await tell(not now)
        away = now


async def unanswered(asked: Mapping[str, Probe], patience_s: float) -> dict[str, str]:
    """Why each that does not answer does not."""
    answers = await asyncio.gather(*(_reason(probe, patience_s) for probe in asked.values()))
    return {name: reason for name, reason in zip(asked, answers, strict=True) if reason}


async def _reason(probe: Probe, patience_s: float) -> str:
    try:
        async with asyncio.timeout(patience_s):
            await probe()
    except TimeoutError:
        return f"no answer within {patience_s:g} s"
    except FleetError as error:
        return str(error)
    return ""
