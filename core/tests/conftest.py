"""What the core's tests share: a loop whose time is virtual, and a clock that shows it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("fleet", deadline=None, max_examples=60)
settings.load_profile("fleet")

EPOCH_MS = 1_700_000_000_000


class _Impatient(selectors.SelectSelector):
    """Never waits: it tells the loop how long it would have."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self.skipped += timeout + 1e-6  # beyond the timer: one met exactly may not fire
        elif timeout is None:
            raise RuntimeError("every task waits for something that no timer will bring")
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Goes on to the next timer as soon as nothing else can run."""

    def __init__(self) -> None:
        self._impatient = _Impatient()
        super().__init__(self._impatient)

    def time(self) -> float:
        return self._impatient.skipped


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return ("asyncio", {"loop_factory": VirtualTimeLoop})


@pytest.fixture
def clock() -> Callable[[], int]:
    """UTC milliseconds of the virtual time."""
    return lambda: EPOCH_MS + round(asyncio.get_running_loop().time() * 1000)
