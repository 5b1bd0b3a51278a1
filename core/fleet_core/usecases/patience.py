"""Waiting for what is away: with back-off, for as long as the error says that it may come back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fleet_core.errors import FleetError

T = TypeVar("T")
_log = logging.getLogger("fleet.patience")
FIRST_DELAY_MS, LONGEST_DELAY_MS = 100, 10_000


def delay_ms(attempt: int) -> int:
    """How long to wait after the failed attempt of that number, from 1."""
    # The exponent is bounded so that the thousandth attempt makes no number of 300 digits.
    return min(FIRST_DELAY_MS << min(attempt - 1, 16), LONGEST_DELAY_MS)


async def until_available(act: Callable[[], Awaitable[T]], what: str) -> T:
    """What `act` returns, tried again after every retryable error until it is cancelled.

    Raises:
        FleetError: one that is not retryable.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return await act()
        except FleetError as error:
            if not error.retryable:
                raise
            _log.warning("%s waits: %s", what, error)
        await asyncio.sleep(delay_ms(attempt) / 1000)
