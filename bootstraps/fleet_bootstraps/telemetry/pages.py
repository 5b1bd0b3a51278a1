"""`/metrics`, `/healthz` and `/readyz` over HTTP."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from fleet_bootstraps.settings import ServiceSettings
from fleet_bootstraps.telemetry.http import served_http
from fleet_bootstraps.telemetry.meters import Meters
from fleet_bootstraps.telemetry.readiness import Readiness

_FIELD = "metrics"
Refresh = Callable[[], Awaitable[None]]


async def nothing_to_ask() -> None:
    """There is no figure that is asked for when scraped."""


@dataclass(slots=True)
class Pages:
    """What is served.

    Attributes:
        readiness: as `/readyz` says it.
        meters: as `/metrics` does.
        token: what callers must send as a bearer token for metrics and reasons; empty for none.
        refresh: brings figures up to date that are asked for when scraped.
    """

    readiness: Readiness
    meters: Meters
    token: str = ""
    refresh: Refresh = nothing_to_ask

    async def metrics(self, request: web.Request) -> web.Response:
        """All metrics in Prometheus' text format; 401 without the token."""
        if not self._allowed(request):
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        self.meters.ready.set(not self.readiness.reasons)
        await self.refresh()
        return web.Response(
            body=generate_latest(self.meters.registry),
            headers={"Content-Type": CONTENT_TYPE_LATEST},
        )

    async def alive(self, request: web.Request) -> web.Response:  # noqa: ARG002 -- a handler
        """200 as long as the loop turns."""
        return web.json_response({"alive": True})

    async def ready(self, request: web.Request) -> web.Response:
        """200, or 503 with what is away; without the token only that."""
        reasons = self.readiness.reasons
        body: dict[str, object] = {"ready": not reasons}
        if reasons and self._allowed(request):
            body["reasons"] = dict(reasons)
        return web.json_response(body, status=503 if reasons else 200)

    def routes(self) -> list[web.RouteDef]:
        """The three pages."""
        return [
            web.get("/metrics", self.metrics),
            web.get("/healthz", self.alive),
            web.get("/readyz", self.ready),
        ]

    def _allowed(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        return not self.token or hmac.compare_digest(given, f"Bearer {self.token}".encode())


@asynccontextmanager
async def served_pages(pages: Pages, settings: ServiceSettings) -> AsyncIterator[str]:
    """Serve them at `settings.metrics` until the context is left; yields `host:port`.

    Beyond loopback the same is asked for as of RPCs: TLS and a token, or `insecure`.

    Raises:
        ProfileError: the address or a file is wrong, or the address is exposed.
        Unavailable: the address cannot be bound.
    """
    app = web.Application()
    app.add_routes(pages.routes())
    async with served_http(app, settings.metrics, settings, field=_FIELD) as address:
        yield address
