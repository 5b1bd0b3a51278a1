"""The deadline of the RPC that is being served, passed on to the calls made for it.

Work that an RPC only set off (a job, a deliberation's next step) outlives it and has deadlines of
its own: once the RPC has been answered, its deadline binds nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class _Served:
    until: float  # of the loop's clock
    answered: bool = False


_serving: ContextVar[_Served | None] = ContextVar("fleet_rpc_deadline", default=None)


@contextmanager
def served_within(seconds: float | None) -> Iterator[None]:
    """Calls made meanwhile, and in tasks begun meanwhile, end with the RPC's own deadline."""
    if seconds is None:
        yield
        return
    served = _Served(asyncio.get_running_loop().time() + seconds)
    token = _serving.set(served)
    try:
        yield
    finally:
        served.answered = True
        _serving.reset(token)


def remaining(limit_s: float) -> float:
    """Seconds that a call may take: `limit_s`, or less where the RPC it is made for ends sooner."""
    served = _serving.get()
    if served is None or served.answered:
        return limit_s
    return max(0.0, min(limit_s, served.until - asyncio.get_running_loop().time()))
