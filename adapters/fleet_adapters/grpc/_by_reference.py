"""What is too large for a message, or cannot stand in one, travels as a reference to a blob."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

from fleet_core.domain.codec import from_data, to_data
from fleet_core.errors import DecodeError, NotFound
from fleet_core.ports.blob_store import BlobStore
from fleet_plugins.kit.json_bytes import dump

T = TypeVar("T")
M = TypeVar("M", bound=Message)


def inline(value: T, message_of: Callable[[T], M], limit: int) -> M | None:
    """The message of a value; None where it is over `limit` bytes, or cannot hold the value.

    A message cannot hold texts with lone surrogates, and numbers beyond 64 bits.
    """
    try:
        message = message_of(value)
    except ValueError:
        return None
    return message if message.ByteSize() <= limit else None


async def kept(value: object, blobs: BlobStore) -> str:
    """A reference to the JSON of a dataclass instance."""
    return await blobs.put(dump(to_data(value)))


async def fetched(kind: type[T], ref: str, blobs: BlobStore, at: str) -> T:
    """The instance behind a reference.

    Raises:
        DecodeError: there is no such blob, or it holds something else; `at` is the field.
        Unavailable: the blob store is away.
    """
    try:
        data = json.loads((await blobs.get(ref)).decode("utf-8", "surrogatepass"))
    except NotFound as error:
        raise DecodeError(error.message, "both sides need the same blob store", field=at) from None
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"is not the JSON of a {kind.__name__}: {error}", field=at) from None
    return from_data(kind, data, at=at)
