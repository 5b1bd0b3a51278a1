"""Large payloads travel as a reference to a blob: `{"ref": "sha256:..."}` in place of the data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fleet_core.domain.events import MAX_INLINE_BYTES
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
    raw = json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if len(raw) <= MAX_INLINE_BYTES:
        return data
    return {"ref": await blobs.put(raw)}


async def opened(data: Mapping[str, Any], blobs: BlobStore) -> Mapping[str, Any]:
    """The data behind a payload, whether it travelled inline or by reference.

    Raises:
        NotFound: the blob is gone.
        DecodeError: what it holds is not a JSON object.
    """
    if data.keys() != {"ref"}:
        return data
    raw = await blobs.get(str(data["ref"]))
    try:
        found = json.loads(raw.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"is not JSON: {error}", source=str(data["ref"])) from None
    if not isinstance(found, dict):
        raise DecodeError("should be an object", source=str(data["ref"]))
    return found
