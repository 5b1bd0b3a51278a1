"""How the parts of a fleet are, asked when somebody looks and not more often than once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fleet_core.errors import FleetError

_FRESH_MS = 1_000
_PATIENCE_S = 3.0
Ask = Callable[[], Awaitable[Mapping[str, Any]]]
"""Figures of a part, as it tells them; raises FleetError where it is not ready, with the reason."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the fleet as it is shown.

    Attributes:
        kind: `service`, `store`, `stream`, `runner`, `model` or `log`.
        state: `ready`, `not ready`, or `unknown` where nobody here can ask it.
        reason: why it is not ready, or cannot be asked.
        figures: as it tells them itself; never made up.
    """

    kind: str
    name: str
    state: str
    address: str = ""
    reason: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """A part and how it is asked; with `ask` None, `reason` says why it is not."""

    kind: str
    name: str
    ask: Ask | None
    address: str = ""
    reason: str = ""


class Overview:
    """Asks all parts at once; a burst of lookers asks them once.

    Args:
        parts: what is asked.
        clock: UTC milliseconds.
    """

    def __init__(self, parts: Sequence[Asked], clock: Callable[[], int]) -> None:
        self._parts, self._clock = parts, clock
        self._kept: tuple[int, list[Part]] | None = None
        self._asking = asyncio.Lock()

    async def parts(self) -> list[Part]:
        """Every part as it is now."""
        async with self._asking:
            now = self._clock()
            if self._kept is None or not 0 <= now - self._kept[0] < _FRESH_MS:
                found = await asyncio.gather(*(_told(part) for part in self._parts))
                self._kept = (now, list(found))
            return self._kept[1]

    async def data(self) -> list[dict[str, Any]]:
        """The same as JSON data."""
        return [asdict(part) for part in await self.parts()]


async def _told(part: Asked) -> Part:
    if part.ask is None:
        return Part(part.kind, part.name, "unknown", part.address, part.reason)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            figures = await part.ask()
    except TimeoutError:
        reason = f"no answer within {_PATIENCE_S:g} s"
    except FleetError as error:
        reason = str(error)
    else:
        return Part(part.kind, part.name, "ready", part.address, "", dict(figures))
    return Part(part.kind, part.name, "not ready", part.address, reason)
