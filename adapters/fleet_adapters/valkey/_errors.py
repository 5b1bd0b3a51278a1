"""The server's and the driver's errors in the words of the ports."""

from __future__ import annotations

import ssl

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from fleet_core.errors import FleetError, StoreError, Unavailable

COMMANDS = (
    *("get", "mget", "set", "getrange", "del", "pttl", "time", "zadd", "zrem"),
    *("zrangebylex", "zrangebyscore", "eval", "evalsha", "info"),
)
"""What a user of the server must be allowed, on the keys of the namespace."""

# By the code that a reply begins with: what the server does, and the way out.
_LATER = "try again when it serves writes"
_NOT_NOW = {
    "LOADING": ("is loading its data", _LATER),
    "READONLY": ("is a replica now", "set url to the primary"),
    "MASTERDOWN": ("is a replica that has lost its primary", "set url to the primary"),
    "NOREPLICAS": ("lacks the replicas that its min-replicas-to-write asks for", _LATER),
    "BUSY": ("is held up by a script", "look at its slow log"),
}
_FOREIGN = (
    "holds something else under a key of this namespace",
    "set a namespace that nothing else uses",
)
_CLUSTER = ("is a node of a cluster", "name a server that stands alone")
_REFUSED = {
    "OOM": ("has used up its maxmemory; nothing was written", "raise maxmemory, or make room"),
    "MISCONF": ("cannot write to its disk", "see to its disk; its log says more"),
    "WRONGTYPE": _FOREIGN,
    "FOREIGN": _FOREIGN,
    **dict.fromkeys(("MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN", "TRYAGAIN"), _CLUSTER),
}


def translated(error: RedisError, where: str) -> FleetError:
    """The error as the ports name it.

    Args:
        error: the driver's.
        where: the server, for the message.
    """
    said = str(error) or type(error).__name__
    code = error.status_code or said.partition(" ")[0]
    if isinstance(error, AuthenticationError | AuthorizationError):
        return StoreError(
            f"{where} refuses the credentials: {said}",
            "set username, and password to the name of the secret that holds it",
        )
    if isinstance(error, NoPermissionError) or "can't run this command" in said:
        return refused_commands(f"{where} does not permit this: {said}")
    if code in _NOT_NOW:
        what, way_out = _NOT_NOW[code]
        return Unavailable(f"{where} {what}: {said}", way_out)
    if code in _REFUSED:
        what, way_out = _REFUSED[code]
        return StoreError(f"{where} {what}: {said}", way_out)
    if isinstance(error, ResponseError):
        return StoreError(f"{where} refuses: {said}", "look at its log")
    if _has_bad_certificate(error):
        return StoreError(f"{where}: {said}", "set ca to the authority of its certificate")
    unknown = "if this was a write, it is unknown whether it was made"
    return Unavailable(f"{where} does not answer: {said}; {unknown}", "see whether it runs there")


def refused_commands(message: str) -> StoreError:
    """A user of the server may not do what the stores need."""
    allowed = " ".join(f"+{command}" for command in COMMANDS)
    return StoreError(message, f"ACL SETUSER <user> ~<namespace>:* {allowed}")


def _has_bad_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
