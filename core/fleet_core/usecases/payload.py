"""Large payloads travel as a reference to a blob: `{"ref": "sha256:..."}` in place of the data.

Of a deliberation's events only the large members (`input`, `decision`) are replaced, so that who
watches can still tell what an event is about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fleet_core.domain.events import MAX_INLINE_BYTES, Event
from fleet_core.domain.evolve import evolve
from fleet_core.errors import DecodeError
from fleet_core.ports.blob_store import BlobStore

_CHARACTER_BYTES = 4


async def closed(data: Mapping[str, Any], characters: int, blobs: BlobStore) -> Mapping[str, Any]:
    """`data`, or a reference to it where it is too large to travel.

    Args:
        data: JSON data.
        characters: about how much text it holds; below a quarter of the limit it is not measured.
        blobs: keeps what is too large.
    """
    if characters * _CHARACTER_BYTES < MAX_INLINE_BYTES:
        return data
    return await _closed(data, MAX_INLINE_BYTES, blobs)


async def travelling(event: Event, blobs: BlobStore) -> Event:
    """An event of a deliberation with its large members by reference; each is measured."""
    limit = MAX_INLINE_BYTES // 2
    members = {
        key: await _closed(value, limit, blobs) if isinstance(value, Mapping) else value
        for key, value in event.data.items()
    }
    return evolve(event, data=members)


async def _closed(data: Mapping[str, Any], limit: int, blobs: BlobStore) -> Mapping[str, Any]:
    raw = json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return data if len(raw) <= limit else {"ref": await blobs.put(raw)}


async def opened(data: Mapping[str, Any], blobs: BlobStore) -> Mapping[str, Any]:
    """The data behind a payload, whether it or members of it travelled by reference.

    Raises:
        NotFound: the blob is gone.
        DecodeError: what it holds is not a JSON object.
    """
    if _is_reference(data):
        return await _fetched(data, blobs)
    if not any(_is_reference(value) for value in data.values()):
        return data
    return {
        key: await _fetched(value, blobs) if _is_reference(value) else value
        for key, value in data.items()
    }


def _is_reference(value: object) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"ref"}


async def _fetched(reference: Mapping[str, Any], blobs: BlobStore) -> Mapping[str, Any]:
    ref = str(reference["ref"])
    try:
        found = json.loads((await blobs.get(ref)).decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"is not JSON: {error}", source=ref) from None
    if not isinstance(found, dict):
        raise DecodeError("should be an object", source=ref)
    return found
