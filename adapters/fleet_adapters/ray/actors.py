"""Workers as Ray actors. Only the driver process imports this."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import ray
from ray.exceptions import RayError

from fleet_adapters.ray.plugin import RaySettings
from fleet_adapters.ray.pool import Hand, WorkerLost
from fleet_adapters.ray.versions import refuse_skew
from fleet_adapters.ray.wire import error_of
from fleet_adapters.ray.worker import Worker
from fleet_core.errors import PluginError

_log = logging.getLogger("fleet.runner.ray")
_CLOSE_S = 3.0


class ActorHand(Hand):
    """A worker in an actor."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def take(self, data: bytes) -> None:
        """See Hand."""
        with _lost():
            await self._actor.take.remote(data)

    async def listen(self) -> bytes:
        """See Hand."""
        with _lost():
            return await self._actor.listen.remote()  # type: ignore[no-any-return]  # see Worker


@asynccontextmanager
async def hired(
    settings: RaySettings, opening: bytes, ours: Mapping[str, str]
) -> AsyncIterator[Hand]:
    """An actor that has opened its models and checks; it ends with the context.

    Waits as long as the cluster has no room for it.

    Raises:
        WorkerLost: it ended before it was ready.
        PluginError: it runs other versions, or the fleet is not installed there.
        FleetError: what its adapters refuse with.
    """
    with _lost():
        # In a thread: where the head is gone, this blocks until Ray ends the process.
        actor = await asyncio.to_thread(_actor, settings)
    try:
        with _lost():
            about = json.loads(await actor.about.remote())
            refuse_skew(ours, about, "a Ray worker")
            refused = json.loads(await actor.open.remote(opening))
        if refused is not None:
            raise error_of(refused)
        _log.info("worker ready: process %s", about["pid"])
        yield ActorHand(actor)
        await _close(actor)
    except asyncio.CancelledError:
        await _close(actor)
        raise
    finally:
        with suppress(RayError):  # it has ended already
            await asyncio.to_thread(ray.kill, actor)


def _actor(settings: RaySettings) -> Any:
    kind: Any = ray.remote(Worker)
    return kind.options(
        num_cpus=settings.cpus,
        resources=dict(settings.resources) or None,
        max_restarts=0,  # a restarted one has no models: the pool makes a new one instead
        max_task_retries=0,
        scheduling_strategy="SPREAD",
    ).remote()


async def _close(actor: Any) -> None:
    """Let it close what it holds; it is ended in any case."""
    try:
        async with asyncio.timeout(_CLOSE_S):
            await actor.close.remote()
    except (TimeoutError, RayError) as error:
        _log.info("a worker did not close by itself: %s", error)


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except RayError as error:
        said = " ".join(str(error).split())
        if "No module named 'fleet_" in said or "No module named 'fleet'" in said:
            raise PluginError(
                "a Ray worker cannot import the fleet",
                "install swe-ai-fleet, at this executor's version, on every node of the cluster",
            ) from None
        raise WorkerLost(said[:500] or type(error).__name__) from None
