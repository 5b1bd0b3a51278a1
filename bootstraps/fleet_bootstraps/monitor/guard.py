"""What is around every request: where it may come from, what it may do, and how errors are told."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from fleet_bootstraps.monitor.access import Access, Level
from fleet_core.errors import (
    AlreadyExists,
    Conflict,
    FleetError,
    InputError,
    NotFound,
    Unavailable,
)
from fleet_plugins.kit.json_bytes import dump_wire

_log = logging.getLogger("fleet.monitor")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HEADERS = {
    # Whatever an agent wrote, nothing but our own files is run, drawn or asked.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_STATUSES: tuple[tuple[type[FleetError], int], ...] = (
    (InputError, 400),
    (NotFound, 404),
    (AlreadyExists, 409),
    (Conflict, 409),
    (Unavailable, 503),
    (FleetError, 502),  # something behind us refuses
)
_OPEN = frozenset({"/api/session", "/api/openapi.json"})


def answer(data: object, status: int = 200) -> web.Response:
    """JSON data; what it tells is not to be kept by anybody on the way."""
    return web.Response(
        body=dump_wire(data),
        status=status,
        content_type="application/json",
        charset="utf-8",
        headers={"Cache-Control": "no-store"},
    )


def error(code: str, message: str, status: int, hint: str = "") -> web.Response:
    """An error as every operation tells it."""
    return answer({"error": {"code": code, "message": message, "hint": hint}}, status)


def guarded(access: Access) -> Middleware:
    """The middleware."""

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = _refused(access, request)
        if response is None:
            response = await _answered(request, handler)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    return around


def _refused(access: Access, request: web.Request) -> web.StreamResponse | None:
    reason = access.refusal(request)
    if reason:
        return error("forbidden", reason, 403)
    path = request.path
    if not path.startswith("/api/") or path in _OPEN:
        return None
    level = access.level(request)
    if level is Level.NOTHING:
        refused = error("unauthenticated", "sign in with the token", 401)
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused
    if path.startswith("/api/admin/") and level is not Level.ACT:
        return error("forbidden", "this asks for the admin token", 403)
    return None


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        told = error(str(refusal.reason).lower().replace(" ", "_"), refusal.reason, refusal.status)
        for name in ("Allow",):
            if name in refusal.headers:
                told.headers[name] = refusal.headers[name]
        return told
    except FleetError as failure:
        status = next(status for kind, status in _STATUSES if isinstance(failure, kind))
        where = getattr(failure, "field", "")
        said = f"{where}: {failure.message}" if where else failure.message
        return error(failure.code, said, status, failure.hint)
    except ConnectionError:
        raise
    except Exception:  # noqa: BLE001 -- told as what it is, and logged
        _log.exception("%s %s failed", request.method, request.path[:200])
        return error("bug", "the monitor failed; its log says how", 500)
