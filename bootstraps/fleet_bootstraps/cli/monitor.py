"""`fleet monitor`: the pages over a FLEET_HOME, a fleet, or a file that was exported."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fleet_bootstraps.answering import executes_elsewhere, needed_ports
from fleet_bootstraps.cli.kept import find_plan, require_home
from fleet_bootstraps.cli.outcome import Exit, say
from fleet_bootstraps.cli.output import emit
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.monitor.log import read_log
from fleet_bootstraps.monitor.opening import access_of, file_site, fleet_site
from fleet_bootstraps.monitor.serving import Followed, address_of, served_monitor
from fleet_bootstraps.monitor.site import Site
from fleet_bootstraps.services.roles import Role, ports_of
from fleet_bootstraps.services.stopping import stopping
from fleet_plugins.api import PortName


async def monitor(opened: Session, what: str, *, listen: str, browser: bool, as_json: bool) -> Exit:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        opened: the profile.
        what: a file that `fleet export` wrote, or a plan to show first; empty for all.
        listen: `host:port` in place of the settings'.
        browser: whether to open one, where there is a screen.
        as_json: whether the address is told as JSON on stdout.
    """
    settings = opened.profile.settings.service(Role.MONITOR)
    address_of(settings, listen)  # refused before anything is opened
    async with (
        stopping() as stopped,
        _site(opened, what) as (site, page),
        served_monitor(site, settings, Followed(site.feed), listen=listen) as address,
    ):
        scheme = "https" if settings.tls_cert and settings.tls_key else "http"
        url = f"{scheme}://{address}/{page}"
        if as_json:
            emit({"address": address, "url": url, "pid": os.getpid()})
        say(f"the monitor of {site.name} is at {url} (Ctrl-C ends it)")
        if browser and _has_screen():
            webbrowser.open(url)
        await stopped.wait()
    return Exit.DONE


@asynccontextmanager
async def _site(opened: Session, what: str) -> AsyncIterator[tuple[Site, str]]:
    """The site, and the page to begin with."""
    context = opened.context
    access = access_of(opened.profile.settings.service(Role.MONITOR), context)
    path = Path(what)
    if what and _is_log(path):
        async with file_site(path, read_log(path), access, context.clock) as site:
            yield site, ""
        return
    require_home(opened)
    async with (
        opened.ports(*_wanted(opened)) as ports,
        fleet_site(opened.profile, context, ports, access) as site,
    ):
        page = ""
        if what:
            run = await find_plan(opened, ports[PortName.STATE], what)
            page = f"#/plans/{run.plan_id}"
        yield site, page


def _wanted(opened: Session) -> tuple[PortName, ...]:
    """What others share, and the strategies: nothing that would do any work."""
    profile = opened.profile
    wanted = {*ports_of(Role.MONITOR, profile.bindings), *needed_ports(profile)}
    if not executes_elsewhere(profile):
        wanted.add(PortName.GRAPH)  # a file beside the others; services have one that tells of it
    return tuple(wanted)


def _is_log(path: Path) -> bool:
    """A file that is no plan, as its name tells."""
    return path.is_file() and path.suffix not in {".yaml", ".yml", ".json"}


def _has_screen() -> bool:
    if sys.platform in {"darwin", "win32"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
