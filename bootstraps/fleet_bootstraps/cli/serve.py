"""`fleet serve`: one service of the fleet, until it is stopped."""

from __future__ import annotations

from dataclasses import asdict

from fleet_bootstraps.cli.outcome import Exit, say
from fleet_bootstraps.cli.output import emit
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.services.roles import Role
from fleet_bootstraps.services.running import SERVICES, Up, run_until_stopped
from fleet_core.errors import InputError
from fleet_plugins.settings import close_matches


async def serve(opened: Session, name: str, *, as_json: bool) -> Exit:
    """Serve; says where once it does, on stdout as one line of JSON with `as_json`."""
    if name not in set(Role):
        raise InputError(
            f"there is no service {name!r}", close_matches(name, [str(r) for r in Role])
        )
    role = Role(name)

    def up(which: Up) -> None:
        if as_json:
            emit(asdict(which))
        say(f"{which.service} serves {which.address}")

    service = SERVICES[role](opened.profile, opened.context, observe_ports=opened.registry.observe)
    await run_until_stopped(role, service, up)
    return Exit.DONE
