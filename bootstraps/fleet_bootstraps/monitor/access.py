"""Who may look and who may act: tokens, the cookie of a sign-in, and where a request comes from.

The rule is that of the RPCs: a token to look, where one is set; the admin token to act, where one
is set, else the token is enough. With neither, on loopback, whoever is on this machine may.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum
from urllib.parse import urlsplit

from aiohttp import web

from fleet_adapters.grpc.exposure import is_loopback

COOKIE = "fleet_monitor"
_SESSIONS, _SESSION_S = 1_000, 12 * 3600
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN_LENGTH = 4_096


class Level(IntEnum):
    """What somebody may do."""

    NOTHING = 0
    LOOK = 1
    ACT = 2


class Access:
    """Decides about each request.

    Args:
        token, admin_token: the secrets themselves; empty for none.
        secure: whether it is served over TLS, so that the cookie is sent over nothing else.
        anywhere: served beyond loopback on purpose without a token.
        monotonic: seconds.
    """

    def __init__(
        self,
        token: str = "",
        admin_token: str = "",
        *,
        secure: bool = False,
        anywhere: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.token, self._admin_token = token, admin_token
        self._secure, self._anywhere, self._now = secure, anywhere, monotonic
        self._sessions: OrderedDict[str, tuple[Level, float]] = OrderedDict()

    @property
    def asks_for_a_token(self) -> bool:
        """Whether looking asks for a sign-in."""
        return bool(self.token)

    @property
    def asks_for_an_admin_token(self) -> bool:
        """Whether acting asks for one of its own."""
        return bool(self._admin_token)

    def level(self, request: web.Request) -> Level:
        """What the sender of a request may do."""
        given = request.headers.get("Authorization", "")
        if given.startswith("Bearer "):
            return max(self._of_token(given.removeprefix("Bearer ")), self._of_nobody())
        return max(self._of_cookie(request), self._of_nobody())

    def refusal(self, request: web.Request) -> str:
        """Why a request is not answered whoever sent it; empty where it is.

        A page of another site can make a browser send requests here: those that change something
        must come from our own page. And where no token is asked for, a name that anybody can
        point at this machine must not do.
        """
        host = _host(request.host)
        if not (self.token or self._anywhere or is_loopback(host)):
            return f"this monitor is not served as {host[:80]!r}: without a token, only on loopback"
        if request.method in _SAFE:
            return ""
        origin = request.headers.get("Origin")
        if origin is None:
            if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
                return "the request comes from another site"
            if request.cookies.get(COOKIE):
                return "the request does not say where it comes from (header Origin)"
            return ""
        if self._is_ours(origin, request.host):
            return ""
        return f"the request comes from another origin: {origin[:120]}"

    def _is_ours(self, origin: str, host: str) -> bool:
        """Whether an origin is this server; a proxy before it may speak TLS where it does not."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        schemes = {"https"} if self._secure else {"http", "https"}
        return parts.scheme in schemes and parts.netloc == host

    def signed_in(self, token: str, response: web.StreamResponse) -> Level:
        """Begin a session with a token, and give its cookie to a response."""
        level = self._of_token(token)
        if level is Level.NOTHING:
            return level
        name = secrets.token_urlsafe(32)
        self._sessions[name] = (level, self._now() + _SESSION_S)
        while len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)
        response.set_cookie(
            COOKIE,
            name,
            max_age=_SESSION_S,
            httponly=True,
            samesite="Strict",
            secure=self._secure,
            path="/",
        )
        return level

    def signed_out(self, request: web.Request, response: web.StreamResponse) -> None:
        """End the session of a request."""
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")

    def _of_nobody(self) -> Level:
        if self.token:
            return Level.NOTHING
        return Level.LOOK if self._admin_token else Level.ACT

    def _of_token(self, given: str) -> Level:
        if len(given) > _TOKEN_LENGTH:
            return Level.NOTHING
        if _same(given, self._admin_token):
            return Level.ACT
        if _same(given, self.token):
            return Level.LOOK if self._admin_token else Level.ACT
        return Level.NOTHING

    def _of_cookie(self, request: web.Request) -> Level:
        level, until = self._sessions.get(request.cookies.get(COOKIE, ""), (Level.NOTHING, 0.0))
        return level if self._now() < until else Level.NOTHING


def _same(given: str, wanted: str) -> bool:
    return bool(wanted) and hmac.compare_digest(
        given.encode("utf-8", "surrogateescape"), wanted.encode("utf-8", "surrogateescape")
    )


def _host(given: str) -> str:
    """The host of a `Host` header, without port and brackets."""
    try:
        return urlsplit(f"//{given}").hostname or ""
    except ValueError:
        return ""
