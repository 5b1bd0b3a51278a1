"""`fleet dead`: events that could not be handled, with the reason."""

from __future__ import annotations

from fleet_bootstraps.cli.kept import require_home
from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import emit, line, table
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.report.data import stamp
from fleet_core.domain.events import DEAD
from fleet_plugins.api import PortName


async def list_dead(opened: Session, *, as_json: bool) -> Exit:
    """Print every dead letter, oldest first."""
    require_home(opened)
    rows = []
    async with opened.ports(PortName.BUS) as ports:
        async for stored in ports[PortName.BUS].replay([f"{DEAD}.>"]):
            event = stored.event
            rows.append(
                {
                    "position": stored.position,
                    "time": stamp(event.time_ms),
                    "subject": event.subject.removeprefix(f"{DEAD}."),
                    "event": event.data["event"]["id"],
                    "attempts": event.data.get("attempts", 0),
                    "reason": str(event.data.get("reason", "")),
                }
            )
    if as_json:
        emit(rows)
    elif not rows:
        line("there are no dead letters")
    else:
        table(tuple(rows[0]), (tuple(row.values()) for row in rows), limit=120)
    return Exit.DONE
