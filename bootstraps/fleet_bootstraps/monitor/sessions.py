"""Signing in and out, and what the caller may do."""

from __future__ import annotations

from aiohttp import web

from fleet_bootstraps.monitor.access import Level
from fleet_bootstraps.monitor.guard import answer, error
from fleet_bootstraps.monitor.operations import Call
from fleet_bootstraps.monitor.site import Site


async def session(call: Call) -> web.Response:
    """What the caller may do."""
    return answer(_told(call.site, call.site.access.level(call.request)))


async def sign_in(call: Call) -> web.Response:
    """Begin a session; 401 for a wrong token."""
    access = call.site.access
    response = answer({})
    level = access.signed_in(call.body["token"], response)
    if level is Level.NOTHING:
        return error("unauthenticated", "that is not the token", 401)
    told = answer(_told(call.site, level))
    response.body = told.body
    return response


async def sign_out(call: Call) -> web.Response:
    """End the session."""
    response = answer({})
    call.site.access.signed_out(call.request, response)
    return response


def _told(site: Site, level: Level) -> dict[str, object]:
    look = level >= Level.LOOK
    return {
        "look": look,
        "act": level is Level.ACT,
        "asks_for_a_token": site.access.asks_for_a_token,
        "asks_for_an_admin_token": site.access.asks_for_an_admin_token,
        "can_act": site.acting is not None,
        "why_not": site.why_not,
        "source": site.source if look else "",
        "name": site.name if look else "",
    }
