"""What every mapping from messages stands on: JSON text, enums, and fields that must be there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from fleet_core.errors import DecodeError

E = TypeVar("E", bound=StrEnum)


class Names(dict[E, Any]):
    """The numbers of a domain enum's members on the wire, and back.

    Args:
        kind: the domain's enum.
        wire: the generated one, whose names are `PREFIX_MEMBER`.
        prefix: of those names.
    """

    def __init__(self, kind: type[E], wire: Any, prefix: str) -> None:
        super().__init__({m: wire.Value(f"{prefix}_{m.name}") for m in kind})
        self._back: dict[int, E] = {number: member for member, number in self.items()}

    def read(self, number: int, at: str) -> E:
        """The member of a number; DecodeError for one that has no meaning, 0 among them."""
        try:
            return self._back[number]
        except KeyError:
            allowed = ", ".join(str(m.value) for m in self)
            said = "is not given" if number == 0 else f"{number} has no meaning"
            raise DecodeError(said, f"one of: {allowed}", field=at) from None


def json_text(value: Any) -> str:
    """JSON data as ASCII text."""
    return _encode(value)


def json_object(text: str, at: str) -> Mapping[str, Any]:
    """The object in a JSON text; empty text is an empty object.

    Raises:
        DecodeError: it is no JSON, or no object.
    """
    if not text:
        return {}
    try:
        data = _decode(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"is not JSON: {error}", field=at) from None
    if not isinstance(data, dict):
        raise DecodeError("should be a JSON object", field=at)
    return data


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


# Made once: this is done for every job.
_encode: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_decode: Callable[[str], Any] = json.JSONDecoder(parse_constant=_no_constant).decode


def required(text: str, at: str) -> str:
    """A text that may not be empty."""
    if not text:
        raise DecodeError("is empty", field=at)
    return text
