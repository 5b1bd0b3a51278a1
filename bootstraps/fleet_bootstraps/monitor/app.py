"""The web application: the API, the page's files, and health."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from aiohttp import web

from fleet_bootstraps.monitor.api import OPERATIONS
from fleet_bootstraps.monitor.guard import answer, guarded
from fleet_bootstraps.monitor.openapi import document
from fleet_bootstraps.monitor.site import Site

_MOST_BYTES = 2 * 1024 * 1024  # a plan of 1 MiB, with what JSON puts around it
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def application(site: Site, health: Sequence[web.RouteDef] = ()) -> web.Application:
    """The application.

    Args:
        site: what it answers from.
        health: routes of health and metrics, which have a rule of access of their own.
    """
    app = web.Application(middlewares=[guarded(site.access)], client_max_size=_MOST_BYTES)
    described = document(OPERATIONS)

    async def openapi(_: web.Request) -> web.Response:
        return answer(described)

    app.router.add_get("/api/openapi.json", openapi)
    for operation in OPERATIONS:
        app.router.add_route(operation.method, operation.path, operation.handler(site))
    app.add_routes(health)
    for path, served in page_files().items():
        app.router.add_get(path, served)
    return app


def page_files() -> dict[str, Any]:
    """Handlers of the page's files, by path; read once."""
    found: dict[str, Any] = {}
    for entry in files("fleet_bootstraps.monitor").joinpath("static").iterdir():
        suffix = f".{entry.name.rpartition('.')[2]}"
        if suffix in _TYPES:
            path = "/" if entry.name == "index.html" else f"/static/{entry.name}"
            found[path] = _file(entry.read_bytes(), _TYPES[suffix])
    return found


def _file(body: bytes, media: str) -> Any:
    async def serve(_: web.Request) -> web.Response:
        response = web.Response(
            body=body,
            content_type=media,
            charset="utf-8",
            headers={"Cache-Control": "no-cache"},
        )
        response.enable_compression()
        return response

    return serve
