"""The monitor's server, from its settings to its stop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from fleet_bootstraps.monitor.app import application
from fleet_bootstraps.monitor.feed import Feed
from fleet_bootstraps.monitor.guard import answer
from fleet_bootstraps.monitor.site import Site
from fleet_bootstraps.settings import DEFAULT_PORTS, ServiceSettings
from fleet_bootstraps.telemetry.http import require_safe, served_http
from fleet_bootstraps.telemetry.readiness import Readiness

NAME = "monitor"
STILL_READING = "it is still being read"


class Followed(Readiness):
    """Ready once the log has been read, and while it can be followed."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed
        self.tell({})

    @property
    def reasons(self) -> Mapping[str, str]:
        """What is away; see `Readiness`."""
        if self._feed.trouble or not self._feed.caught_up.is_set():
            return {"log": self._feed.trouble or STILL_READING}
        return super().reasons


@asynccontextmanager
async def served_monitor(
    site: Site, settings: ServiceSettings, readiness: Readiness, *, listen: str = ""
) -> AsyncIterator[str]:
    """Serve until the context is left; yields `host:port`.

    Args:
        site: what is served.
        settings: of the service `monitor`.
        readiness: as `/readyz` says it.
        listen: in place of the settings' address.

    Raises:
        ProfileError: the address or a file is wrong, or the address is exposed.
        Unavailable: the address cannot be bound.
    """
    token = site.access.token
    app = application(site, _health(readiness, token))
    address = address_of(settings, listen)
    async with served_http(app, address, settings, field="listen") as taken:
        yield taken


def address_of(settings: ServiceSettings, listen: str = "") -> str:
    """Where it is served.

    Raises:
        ProfileError: others reach it there without TLS and a token.
    """
    address = listen or settings.listen or f"127.0.0.1:{DEFAULT_PORTS[NAME]}"
    require_safe(address, settings, field="listen")
    return address


def _health(readiness: Readiness, token: str) -> list[web.RouteDef]:
    """`/healthz`, `/readyz`, `/metrics` as every service has them.

    Where the package that makes metrics is not installed, which a FLEET_HOME of one process does
    without, `/metrics` says so.
    """
    try:
        from fleet_bootstraps.telemetry.meters import Meters  # noqa: PLC0415 -- an extra
        from fleet_bootstraps.telemetry.pages import Pages  # noqa: PLC0415 -- an extra
    except ImportError as error:
        missing = f"needs the module {error.name}: pip install 'swe-ai-fleet[telemetry]'"
        return _without_metrics(readiness, missing)
    pages = Pages(readiness, Meters(NAME, executes=False, deliberates=False), token)
    return pages.routes()


def _without_metrics(readiness: Readiness, missing: str) -> list[web.RouteDef]:
    async def alive(_: web.Request) -> web.Response:
        return answer({"alive": True})

    async def ready(_: web.Request) -> web.Response:
        reasons = readiness.reasons
        return answer({"ready": not reasons}, 503 if reasons else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(status=501, text=missing)

    return [
        web.get("/healthz", alive),
        web.get("/readyz", ready),
        web.get("/metrics", metrics),
    ]
