"""What is told of every RPC, on both sides: to the log, to counters, to whoever exports spans."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import grpc

from fleet_adapters.grpc._surrounding import Context
from fleet_plugins.kit import trace

_log = logging.getLogger("fleet.grpc")


@dataclass(frozen=True, slots=True)
class RpcCall:
    """An RPC that has ended.

    Attributes:
        side: `server` or `client`.
        service: the full name, e.g. `fleet.executor.v1.ExecutorService`.
        method: e.g. `GetStatus`.
        code: the status code's name, e.g. `OK`.
        duration_ms: from its begin to its last answer.
        traceparent: its own span; `parent` is the span it belongs to, or empty.
    """

    side: str
    service: str
    method: str
    code: str
    duration_ms: float
    traceparent: str
    parent: str


Observe = Callable[[RpcCall], None]
"""Is told of every RPC once it has ended; must not block. What it raises is logged."""


def unobserved(call: RpcCall) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; `unit` is e.g. `calls`, `ms`, `bytes`."""

    name: str
    value: float
    unit: str
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


class RpcCounters:
    """Counts RPCs by side, service, method and code; an `Observe`."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[str, str, str, str]] = Counter()
        self._ms: dict[tuple[str, str, str, str], float] = {}

    def __call__(self, call: RpcCall) -> None:
        """Count one."""
        key = (call.side, call.service, call.method, call.code)
        self._calls[key] += 1
        self._ms[key] = self._ms.get(key, 0.0) + call.duration_ms

    def figures(self) -> Iterator[Figure]:
        """`rpc_calls` and the `rpc_ms` that they took together."""
        for key in sorted(self._calls):
            labels = dict(zip(("side", "service", "method", "code"), key, strict=True))
            yield Figure("rpc_calls", self._calls[key], "calls", labels)
            yield Figure("rpc_ms", self._ms[key], "ms", labels)


@dataclass(slots=True)
class _Ending:
    code: str = "OK"


@contextmanager
def observed(side: str, path: str, parent: str, observe: Observe) -> Iterator[_Ending]:
    """A span around one RPC; the caller notes the code it ended with.

    Args:
        side: `server` or `client`.
        path: `/package.Service/Method`.
        parent: the `traceparent` it belongs to.
        observe: is told.
    """
    _, service, method = path.split("/", 2)
    began, began_ns = time.perf_counter(), time.time_ns()
    ending = _Ending()
    with trace.within(trace.child(parent)) as own:
        try:
            yield ending
        finally:
            took = (time.perf_counter() - began) * 1000
            told = parent if trace.valid(parent) else ""
            call = RpcCall(side, service, method, ending.code, took, own, told)
            if told or not service.startswith("grpc."):  # health is asked again and again
                trace.record(_span(call, began_ns))
            _log.debug("%s %s/%s: %s in %.1f ms", side, service, method, ending.code, took)
            try:
                observe(call)
            except Exception:  # noqa: BLE001 -- who watches may not change the outcome
                _log.exception("the observer of RPCs failed")


def _span(call: RpcCall, began_ns: int) -> trace.Span:
    return trace.Span(
        f"{call.service}/{call.method}",
        trace.Kind(call.side),
        call.traceparent,
        call.parent,
        began_ns,
        began_ns + round(call.duration_ms * 1_000_000),
        {"rpc.system": "grpc", "rpc.service": call.service, "rpc.method": call.method},
        "" if call.code == "OK" else call.code,
    )


class Telemetry:
    """Traces, logs and counts the RPCs of a server; belongs outermost.

    Args:
        observe: is told of each.
    """

    def __init__(self, observe: Observe) -> None:
        self._observe = observe

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Let the caller's trace go on."""
        parent = _traceparent(context)
        with observed("server", method, parent, self._observe) as ending:
            try:
                yield
            except asyncio.CancelledError:
                ending.code = grpc.StatusCode.CANCELLED.name
                raise
            except BaseException:
                ending.code = _name_of(context.code())
                raise
            ending.code = _name_of(context.code())


def _traceparent(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == trace.HEADER and isinstance(value, str) and trace.valid(value):
            return value
    return ""


_NAMES: dict[object, str] = {code.value[0]: code.name for code in grpc.StatusCode}
_NAMES[None] = grpc.StatusCode.OK.name  # none was set


def _name_of(code: object) -> str:
    """Where it is not one of its enum, the driver gives a code as a number."""
    return code.name if isinstance(code, grpc.StatusCode) else _NAMES.get(code, "UNKNOWN")
