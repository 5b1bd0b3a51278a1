"""The one place where FleetErrors become gRPC statuses, and statuses FleetErrors again.

A status carries the error whole: its class by code, its message, its hint, and what its class adds
(`google.rpc.ErrorInfo`), with `BadRequest` and `RetryInfo` for clients that know only those. What
carries none of that was not said by a service of ours, but by the transport.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus

from fleet_core import errors
from fleet_core.errors import (
    AlreadyExists,
    CheckRefused,
    Conflict,
    FleetError,
    InputError,
    LeaseExceeded,
    ModelError,
    ModelUnavailable,
    NotFound,
    PluginError,
    RateLimited,
    StoreError,
    StreamCut,
    Unavailable,
)

DOMAIN = "fleet"
DETAILS_KEY = "grpc-status-details-bin"
_LONGEST = 1000  # characters of one text; the whole must stay within what HTTP/2 peers accept
_CODE = grpc.StatusCode


class Full(Unavailable):
    """The service holds as much as it takes; `retry_after_ms` says when to ask again."""

    code = "full"

    def __init__(self, message: str, hint: str = "", *, retry_after_ms: int = 1_000) -> None:
        super().__init__(message, hint)
        self.retry_after_ms = retry_after_ms


class Ended(FleetError):
    """What was to be changed has ended."""

    code = "ended"


_CODES: dict[type[FleetError], grpc.StatusCode] = {
    InputError: _CODE.INVALID_ARGUMENT,
    NotFound: _CODE.NOT_FOUND,
    Conflict: _CODE.ABORTED,
    AlreadyExists: _CODE.ALREADY_EXISTS,
    Ended: _CODE.FAILED_PRECONDITION,
    Unavailable: _CODE.UNAVAILABLE,
    Full: _CODE.RESOURCE_EXHAUSTED,
    StoreError: _CODE.FAILED_PRECONDITION,
    PluginError: _CODE.FAILED_PRECONDITION,
    LeaseExceeded: _CODE.FAILED_PRECONDITION,
    CheckRefused: _CODE.FAILED_PRECONDITION,
    ModelError: _CODE.FAILED_PRECONDITION,
    ModelUnavailable: _CODE.UNAVAILABLE,
    StreamCut: _CODE.UNAVAILABLE,
    RateLimited: _CODE.RESOURCE_EXHAUSTED,
    FleetError: _CODE.UNKNOWN,
}
_KINDS: dict[str, type[FleetError]] = {
    kind.code: kind
    for kind in (*vars(errors).values(), Full, Ended)
    if isinstance(kind, type) and issubclass(kind, FleetError)
}
_KIND_OF_CODE: dict[grpc.StatusCode, type[FleetError]] = {
    _CODE.INVALID_ARGUMENT: InputError,
    _CODE.NOT_FOUND: NotFound,
    _CODE.ABORTED: Conflict,
    _CODE.ALREADY_EXISTS: AlreadyExists,
    _CODE.UNAVAILABLE: Unavailable,
    _CODE.RESOURCE_EXHAUSTED: Full,
}
_FROM_TRANSPORT_FOR_GOOD: dict[grpc.StatusCode, str] = {
    _CODE.RESOURCE_EXHAUSTED: "raise max_message_bytes on both sides",
    _CODE.UNIMPLEMENTED: "install the same version of the fleet on both sides",
}
_ACCESS = (_CODE.UNAUTHENTICATED, _CODE.PERMISSION_DENIED)


@dataclass(frozen=True, slots=True)
class Status:
    """What an RPC is aborted with; `details` is a serialised `google.rpc.Status`."""

    code: grpc.StatusCode
    message: str
    details: bytes = b""

    async def abort(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """End the RPC with it. Never returns: raises `grpc.aio.AbortError`."""
        trailing = ((DETAILS_KEY, self.details),) if self.details else ()
        await context.abort(self.code, self.message, trailing)


def to_status(error: BaseException) -> Status:
    """The status of an error; of one that is not a FleetError only that there was one."""
    if not isinstance(error, FleetError):
        return _internal()
    code = next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)
    spoken = _short(str(error))
    known = next(k for k in type(error).__mro__ if _KINDS.get(getattr(k, "code", "")) is k)
    info = ErrorInfo(reason=known.code, domain=DOMAIN)
    told = {"message": error.message, "hint": error.hint}
    for name in ("source", "field", "key"):
        told[name] = getattr(error, name, "")
    for name, text in told.items():
        if text:
            info.metadata[name] = _short(str(text))
    status = RpcStatus(code=code.value[0], message=spoken)
    status.details.add().Pack(info)
    if isinstance(error, InputError) and error.field:
        violation = BadRequest.FieldViolation(
            field=_short(error.field), description=_short(error.message)
        )
        status.details.add().Pack(BadRequest(field_violations=[violation]))
    if isinstance(error, Full | RateLimited):
        delay = Duration()
        delay.FromMilliseconds(error.retry_after_ms)
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    return Status(code, spoken, status.SerializeToString())


def _internal() -> Status:
    """No word of what happened: a traceback may hold what a caller must not see."""
    said = "the service failed; its log says how"
    status = RpcStatus(code=_CODE.INTERNAL.value[0], message=said)
    status.details.add().Pack(ErrorInfo(reason="internal", domain=DOMAIN))
    return Status(_CODE.INTERNAL, said, status.SerializeToString())


def from_rpc_error(error: grpc.aio.AioRpcError, peer: str) -> FleetError:
    """What a call ended with, as the error the service raised, or what the transport says of it.

    Args:
        error: as the driver raised it.
        peer: names the service and its address, for messages.
    """
    info, retry_after_ms = _told(error)
    said = error.details() or error.code().name
    if info is not None:
        kind = _KINDS.get(info.reason)
        if kind is None:  # of a newer service, or a defect of it
            kind, said = _KIND_OF_CODE.get(error.code(), StoreError), f"{peer}: {said}"
        return _made(kind, info, said, retry_after_ms)
    code = error.code()
    if code in _ACCESS:
        return Unavailable(f"{peer} refuses us: {said}", "give both sides the same token")
    if code in _FROM_TRANSPORT_FOR_GOOD:
        return StoreError(f"{peer}: {said}", _FROM_TRANSPORT_FOR_GOOD[code])
    if code is _CODE.DEADLINE_EXCEEDED:
        return Unavailable(f"{peer} did not answer in time")
    return Unavailable(f"{peer} does not answer: {said}")


def _told(
    error: grpc.aio.AioRpcError,
) -> tuple[ErrorInfo | None, int]:
    """What a service of ours put into the status: the error, and when to ask again."""
    found: ErrorInfo | None = None
    retry_after_ms = 0
    for key, value in error.trailing_metadata() or ():
        if key != DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            status = RpcStatus.FromString(value)
        except DecodeError:
            continue  # not one of ours
        for detail in status.details:
            info, retry = ErrorInfo(), RetryInfo()
            if detail.Unpack(info) and info.domain == DOMAIN:
                found = info
            elif detail.Unpack(retry):
                retry_after_ms = retry.retry_delay.ToMilliseconds()
    return found, retry_after_ms


def _made(kind: type[FleetError], info: ErrorInfo, said: str, retry_after_ms: int) -> FleetError:
    told = info.metadata
    message, hint = told.get("message", said), told.get("hint", "")
    if issubclass(kind, InputError):
        source, field = told.get("source", ""), told.get("field", "")
        return kind(message, hint, source=source, field=field)
    if issubclass(kind, Conflict):
        return kind(message, hint, key=told.get("key", ""))
    if issubclass(kind, Full | RateLimited):
        return kind(message, hint, retry_after_ms=retry_after_ms)
    return kind(message, hint)


def _short(text: str) -> str:
    """A text that fits a header, without what UTF-8 cannot hold."""
    clean = text.encode("utf-8", "replace").decode("utf-8")
    return clean if len(clean) <= _LONGEST else clean[: _LONGEST - 3] + "..."
