"""The JSON bytes of stored documents."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from fleet_core.domain.codec import from_data, to_data
from fleet_core.errors import DecodeError
from fleet_core.ports.state_store import Document

T = TypeVar("T")
_encode: Callable[[Any], str] = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, check_circular=False
).encode


def dump(data: Any) -> bytes:
    """JSON data as UTF-8 bytes; lone surrogates, which models do send, survive."""
    return _encode(data).encode("utf-8", "surrogatepass")


def dump_object(value: object) -> bytes:
    """A dataclass instance as bytes."""
    return dump(to_data(value))


def load(document: Document) -> Any:
    """The JSON data of a document.

    Raises:
        DecodeError: names the document's key.
    """
    try:
        return json.loads(document.value.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"is not JSON: {error}", source=document.key) from None


def load_object(cls: type[T], document: Document) -> T:
    """An instance from a document; DecodeError names the key and the field."""
    return from_data(cls, load(document), source=document.key)
