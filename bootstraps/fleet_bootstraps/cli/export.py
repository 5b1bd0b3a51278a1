"""`fleet export`: the event log as a file, whole, for the monitor and for other programs."""

from __future__ import annotations

from fleet_bootstraps.cli.kept import find_plan, require_home
from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import written
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.monitor.log import BusLog, exported
from fleet_bootstraps.monitor.picture import SUBJECTS
from fleet_plugins.api import PortName


async def export(opened: Session, plan: str, out: str) -> Exit:
    """Write the events of a plan, or of all, one a line; what travelled by reference is in it.

    Raises:
        InputError: the file cannot be written.
        NotFound: what an event refers to is gone.
    """
    require_home(opened)
    async with opened.ports(PortName.BUS, PortName.STATE, PortName.BLOBS) as ports:
        plan_id = (await find_plan(opened, ports[PortName.STATE], plan)).plan_id if plan else ""
        log = BusLog(ports[PortName.BUS], ports[PortName.BLOBS])
        with written(out) as file:
            async for line in exported(log, SUBJECTS, plan_id):
                file.write(f"{line}\n")
    return Exit.DONE
