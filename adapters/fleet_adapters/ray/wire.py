"""Messages between the runner, its driver process and the workers: JSON, several in a frame.

Each message is a list whose first item says what it is:

- to the driver: `open` (once, first), then `run`, `cancel` and `stats`;
- to a worker: `run`, `cancel`;
- from a worker: `said`, `done`, `gone` (a cancelled run has ended), `broken` (by a bug), and
  before one of these `traced`, where the run belongs to a trace that is recorded: its spans;
- from the driver: `ready` or `refused` (once, first), then `said`, `traced`, `done`, `gone`,
  `stats`, and `leaving` where it ends by itself.

The second item is the number of a run, unlike any other's of the same driver.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fleet_core.errors import FleetError, PluginError, ProfileError, StoreError, Unavailable
from fleet_plugins.api import Bound, PortName
from fleet_plugins.kit.json_bytes import dump_wire

Message = list[Any]

_LENGTH = 4
_ERRORS = {kind.code: kind for kind in (PluginError, StoreError, Unavailable)}


def packed(messages: Sequence[Message]) -> bytes:
    """Messages as one text."""
    return dump_wire(messages)


def unpacked(data: bytes) -> list[Message]:
    """The messages of one text."""
    return json.loads(data)  # type: ignore[no-any-return]  # what `packed` wrote


def framed(messages: Sequence[Message]) -> bytes:
    """A frame: the length of its text in 4 bytes, and the text."""
    text = packed(messages)
    return len(text).to_bytes(_LENGTH, "big") + text


async def read_frame(reader: asyncio.StreamReader) -> list[Message] | None:
    """The messages of the next frame; None where the other side has ended."""
    try:
        size = int.from_bytes(await reader.readexactly(_LENGTH), "big")
        return unpacked(await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def error_data(error: FleetError) -> list[str]:
    """An error as data: code, message, hint, field."""
    return [error.code, error.message, error.hint, getattr(error, "field", "")]


def error_of(data: Sequence[str]) -> FleetError:
    """The error again; one whose class is not known here keeps its words."""
    code, message, hint, field = data
    if code == ProfileError.code:
        return ProfileError(message, hint, field=field)
    return _ERRORS.get(code, FleetError)(message, hint)


def bindings_data(bindings: Mapping[str, Mapping[str, Bound]]) -> dict[str, Any]:
    """Bindings as JSON data."""
    return {
        str(port): {
            name: [b.adapter, dict(b.settings), b.distribution, b.version]
            for name, b in named.items()
        }
        for port, named in bindings.items()
    }


def bindings_of(data: Mapping[str, Any]) -> dict[PortName, Mapping[str, Bound]]:
    """The bindings again."""
    return {
        PortName(port): {name: Bound(*fields) for name, fields in named.items()}
        for port, named in data.items()
    }
