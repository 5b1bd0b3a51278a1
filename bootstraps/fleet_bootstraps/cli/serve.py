"""`fleet serve`: one service of the fleet, until it is stopped."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import asdict, replace
from functools import partial

from fleet_bootstraps.cli.outcome import Exit, say, told
from fleet_bootstraps.cli.output import emit
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.services.roles import Role, ports_of
from fleet_bootstraps.services.running import SERVICES, Up, run_until_stopped
from fleet_bootstraps.telemetry.logs import JsonLines, TextLines, logged
from fleet_bootstraps.telemetry.masks import Masks
from fleet_bootstraps.telemetry.watching import watching
from fleet_core.errors import InputError
from fleet_plugins.api import PortName
from fleet_plugins.settings import close_matches

_log = logging.getLogger("fleet.serve")
FORMATS = ("text", "json")


async def serve(opened: Session, name: str, *, as_json: bool, log: str = "") -> Exit:
    """Serve; says where once it does, on stdout as one line of JSON with `as_json`.

    Args:
        opened: the profile.
        name: of the service.
        as_json: whether it is told on stdout, too.
        log: `text` or `json`; empty: JSON, unless stderr is a terminal.
    """
    if name not in set(Role):
        raise InputError(
            f"there is no service {name!r}", close_matches(name, [str(r) for r in Role])
        )
    if log not in ("", *FORMATS):
        raise InputError(f"there is no log format {log!r}", close_matches(log, FORMATS))
    role, masks = Role(name), Masks(os.environ)
    level = logging.getLogger("fleet").level  # as --verbose says
    if (log or ("text" if sys.stderr.isatty() else "json")) == "text":
        with logged(TextLines(masks), level):
            return await _serve(opened, role, masks, as_json=as_json, structured=False)
    with logged(JsonLines(name, masks), min(level, logging.INFO)):
        try:
            return await _serve(opened, role, masks, as_json=as_json, structured=True)
        except (Exception, BaseExceptionGroup) as failure:  # noqa: BLE001 -- all is told, as JSON
            return told(failure, partial(_log.error, "%s", exc_info=failure))


async def _serve(
    opened: Session, role: Role, masks: Masks, *, as_json: bool, structured: bool
) -> Exit:
    profile, name = opened.profile, str(role)
    context = replace(opened.context, secret=masks.resolving(opened.context.secret))
    async with watching(
        name,
        profile.settings.service(name),
        context.secret,
        os.environ,
        masks,
        executes=PortName.RUNNER in ports_of(role, profile.bindings),
        deliberates=role is Role.ORCHESTRATOR,
    ) as watched:

        def up(which: Up) -> None:
            if as_json:
                emit({**asdict(which), "metrics": watched.address})
            tell = _log.info if structured else say
            tell(f"{which.service} serves {which.address}")
            if watched.address:
                tell(f"metrics and health at {watched.address}")

        service = SERVICES[role](
            profile, context, observe_ports=opened.registry.observe, watching=watched
        )
        await run_until_stopped(role, service, up)
    return Exit.DONE
