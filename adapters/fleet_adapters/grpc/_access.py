"""Who may call: a bearer token in the metadata, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc

from fleet_adapters.grpc._errors import Status
from fleet_adapters.grpc._surrounding import Context
from fleet_adapters.grpc.settings import GrpcServerSettings
from fleet_core.errors import ProfileError

_OPEN = "/grpc.health.v1.Health/"  # probes of a platform have no token
_SCHEME = "bearer "
_NO_TOKEN = Status(
    grpc.StatusCode.UNAUTHENTICATED, "no bearer token; send the metadata `authorization`"
)
_WRONG_TOKEN = Status(grpc.StatusCode.UNAUTHENTICATED, "the bearer token is not ours")
_NOT_ADMIN = Status(grpc.StatusCode.PERMISSION_DENIED, "this RPC asks for the admin token")


def bearer_token(name: str, secret: Callable[[str], str]) -> str:
    """The secret of that name; empty where there is no name.

    Raises:
        ProfileError: it is not set, or no header can carry it.
    """
    token = secret(name) if name else ""
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise ProfileError(
            f"the secret {name} holds what no header can carry",
            "use letters, digits and signs of ASCII, without spaces",
            field=name,
        )
    if name and not token:
        raise ProfileError(f"the secret {name} is empty", field=name)
    return token


class Access:
    """Refuses callers without the token; without a token set, refuses nobody.

    Args:
        settings: name the tokens.
        secret: resolves a secret's name.
        admin: full names of the methods that ask for the admin token, where one is set.
    """

    def __init__(
        self, settings: GrpcServerSettings, secret: Callable[[str], str], admin: frozenset[str]
    ) -> None:
        self._token = bearer_token(settings.token, secret).encode()
        self._admin_token = bearer_token(settings.admin_token, secret).encode()
        self._admin = admin

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Abort with UNAUTHENTICATED or PERMISSION_DENIED, or let it through."""
        refusal = self._refusal(method, context)
        if refusal is not None:
            await refusal.abort(context)
        yield

    def _refusal(self, method: str, context: Context) -> Status | None:
        if not (self._token or self._admin_token) or method.startswith(_OPEN):
            return None
        given = _bearer(context)
        admin = bool(self._admin_token) and hmac.compare_digest(given, self._admin_token)
        if admin:
            return None
        if self._admin_token and method in self._admin:
            known = bool(self._token) and hmac.compare_digest(given, self._token)
            return _NOT_ADMIN if known or not self._token else _unknown(given)
        if self._token and not hmac.compare_digest(given, self._token):
            return _unknown(given)
        return None


def _unknown(given: bytes) -> Status:
    return _WRONG_TOKEN if given else _NO_TOKEN


def _bearer(context: Context) -> bytes:
    for key, value in context.invocation_metadata() or ():
        if key != "authorization" or not isinstance(value, str):
            continue
        if value[: len(_SCHEME)].lower() == _SCHEME:
            return value[len(_SCHEME) :].strip().encode()
    return b""
