"""What the services of a stack say of their health, asked again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from fleet_adapters.grpc.health import Ask, opened_health
from fleet_adapters.grpc.settings import GrpcClientSettings, GrpcExecutorSettings
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.services.roles import Role
from fleet_bootstraps.stack.parts import Part
from fleet_core.errors import FleetError, ProfileError
from fleet_plugins.api import PortName

EVERY_S = 1.0
READY = "ready"
NEEDED = {
    Role.ORCHESTRATOR: "its bus or its state store",
    Role.EXECUTOR: "its bus or its state store",
    Role.CONTEXT: "its bus, its state store or its graph",
}
Tell = Callable[[str, str], None]


def calling(profile: Profile, role: Role) -> GrpcClientSettings | None:
    """How the service of that name is called; None where the profile does not say how.

    Only callers of executor and context service have settings in a profile. Where the orchestrator
    speaks TLS too, those of the executor are taken to do for both.
    """
    if not profile.settings.service(role).tls_cert:
        return GrpcExecutorSettings()
    port = PortName.HYDRATOR if role is Role.CONTEXT else PortName.EXECUTOR
    bound: Any = profile.bindings[port]
    settings = bound.settings
    if isinstance(settings, GrpcClientSettings) and settings.encrypted:
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
            if part.name not in NEEDED:
                continue
            settings = calling(profile, Role(part.name))
            if settings is not None:
                tasks.create_task(_watch(part, settings, secret, tell, every_s))


async def _watch(
    part: Part,
    settings: GrpcClientSettings,
    secret: Callable[[str], str],
    tell: Tell,
    every_s: float,
) -> None:
    try:
        async with opened_health(part.name, part.address, settings, secret) as ask:
            while True:
                tell(part.name, await _state(ask, NEEDED[Role(part.name)]))
                await asyncio.sleep(every_s)
    except ProfileError as error:  # it serves; we cannot ask it
        tell(part.name, f"unknown: {error}")


async def _state(ask: Ask, needed: str) -> str:
    try:
        ready = await ask()
    except FleetError as error:
        return f"not ready: {error.message}"
    return READY if ready else f"not ready: {needed} is away"
