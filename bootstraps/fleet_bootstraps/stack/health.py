"""What the services of a stack say of their health, asked again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from fleet_adapters.grpc.health import Ask, opened_health
from fleet_adapters.grpc.settings import GrpcExecutorSettings
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.services.roles import Role
from fleet_bootstraps.stack.parts import Part
from fleet_core.errors import FleetError, ProfileError
from fleet_plugins.api import PortName

EVERY_S = 1.0
READY = "ready"
Tell = Callable[[str, str], None]


def calling(profile: Profile, role: Role) -> GrpcExecutorSettings | None:
    """How the service of that name is called; None where the profile does not say how.

    Only the executor's callers have settings in a profile. Where the orchestrator speaks TLS too,
    they are taken to do for both.
    """
    if not profile.settings.service(role).tls_cert:
        return GrpcExecutorSettings()
    bound: Any = profile.bindings[PortName.EXECUTOR]
    settings = bound.settings
    if isinstance(settings, GrpcExecutorSettings) and settings.encrypted:
        return settings
    return None


async def watch(
    parts: Sequence[Part],
    profile: Profile,
    secret: Callable[[str], str],
    tell: Tell,
    *,
    every_s: float = EVERY_S,
) -> None:
    """Ask every service among the parts until cancelled; tells its name and its state."""
    async with asyncio.TaskGroup() as tasks:
        for part in parts:
            if part.name not in set(Role):
                continue
            settings = calling(profile, Role(part.name))
            if settings is not None:
                tasks.create_task(_watch(part, settings, secret, tell, every_s))


async def _watch(
    part: Part,
    settings: GrpcExecutorSettings,
    secret: Callable[[str], str],
    tell: Tell,
    every_s: float,
) -> None:
    try:
        async with opened_health(part.name, part.address, settings, secret) as ask:
            while True:
                tell(part.name, await _state(ask))
                await asyncio.sleep(every_s)
    except ProfileError as error:  # it serves; we cannot ask it
        tell(part.name, f"unknown: {error}")


async def _state(ask: Ask) -> str:
    try:
        ready = await ask()
    except FleetError as error:
        return f"not ready: {error.message}"
    return READY if ready else "not ready: its bus or its state store is away"
