"""A service from its start to its stop by signal."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from fleet_bootstraps.services.context import context_service
from fleet_bootstraps.services.executor import executor_service
from fleet_bootstraps.services.orchestrator import orchestrator_service
from fleet_bootstraps.services.roles import Role
from fleet_bootstraps.services.stopping import stopping


@dataclass(frozen=True, slots=True)
class Up:
    """A service that serves, as it is told to whoever started it."""

    service: str
    address: str
    pid: int


class Serving(Protocol):
    """A service that serves, at `address`: `host:port`."""

    @property
    def address(self) -> str:
        """Where, with the port that it got."""


def _monitor_service(*given: Any, **named: Any) -> AbstractAsyncContextManager[Serving]:
    from fleet_bootstraps.services.monitor import (  # noqa: PLC0415 -- a web server: only for it
        monitor_service,
    )

    return monitor_service(*given, **named)


SERVICES: dict[Role, Callable[..., AbstractAsyncContextManager[Serving]]] = {
    Role.CONTEXT: context_service,
    Role.EXECUTOR: executor_service,
    Role.MONITOR: _monitor_service,
    Role.ORCHESTRATOR: orchestrator_service,
}


async def run_until_stopped(
    role: Role, service: AbstractAsyncContextManager[Serving], say: Callable[[Up], None]
) -> None:
    """Serve until SIGTERM or SIGINT; then stop in order."""
    async with stopping() as stopped, service as served:
        say(Up(str(role), served.address, os.getpid()))
        await stopped.wait()
