"""Plain data over a pipe: what crosses between the host, the task's tests and the proposal.

A value is packed by its type, so the other side gets plain data and never an object of the
proposal's own class: an overridden `__eq__` does not cross. A subclass of a plain type (a named
tuple, a Counter) arrives as the plain type.

Packed form: JSON scalars and lists stand for themselves; everything else is `{tag: payload}`.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False  # importing typing would double the start-up time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Packer = Callable[[object], Any]
    Unpacker = Callable[[str, Any], Any]

MAX_DEPTH = 100
HEADER = 4
SHOWN = 200


class Malformed(Exception):
    """Bytes from the other side are not a packed value."""


def shown(value: object, limit: int = SHOWN) -> str:
    """`repr`, shortened; a `repr` that fails is said to."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 -- a proposal's __repr__ may raise anything
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def pack(value: object, other: Packer, depth: int = 0) -> Any:
    """JSON data of a value; `other` packs what is not plain data."""
    if value is None or value is True or value is False:
        return value
    if depth > MAX_DEPTH:
        return {"r": shown(value)}
    packed = _scalar(value)
    if packed is None:
        packed = _collection(value, other, depth + 1)
    return other(value) if packed is None else packed


def _scalar(value: object) -> Any:
    # Through the base class's own methods: a subclass may have overridden its own.
    if isinstance(value, int):
        number = int.__index__(value)
        return number if number.bit_length() <= 64 else {"i": hex(number)}  # json limits digits
    if isinstance(value, float):
        return {"f": float.hex(value)}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray):
        return {"b": bytes(value).hex()}
    return None


def _collection(value: object, other: Packer, depth: int) -> Any:
    if isinstance(value, list):
        return [pack(item, other, depth) for item in list.__iter__(value)]
    if isinstance(value, tuple):
        return {"t": [pack(item, other, depth) for item in tuple.__iter__(value)]}
    if isinstance(value, set):
        return {"s": [pack(item, other, depth) for item in set.__iter__(value)]}
    if isinstance(value, frozenset):
        return {"z": [pack(item, other, depth) for item in frozenset.__iter__(value)]}
    if isinstance(value, dict):
        items = dict.items(value)
        return {"d": [[pack(k, other, depth), pack(v, other, depth)] for k, v in items]}
    return None


def unpack(data: Any, other: Unpacker, depth: int = 0) -> Any:
    """The value of packed data; `other` takes the tags that are not plain data.

    Raises:
        Malformed: the data are not a packed value.
    """
    if depth > MAX_DEPTH + 2:
        raise Malformed("nested too deeply")
    if data is None or isinstance(data, bool | int | str):
        return data
    if isinstance(data, list):
        return [unpack(item, other, depth + 1) for item in data]
    if not isinstance(data, dict) or len(data) != 1:
        raise Malformed("not a packed value")
    ((tag, payload),) = data.items()
    try:
        return _untag(tag, payload, other, depth)
    except (TypeError, ValueError, OverflowError) as error:
        raise Malformed(str(error)) from None


def _untag(tag: str, payload: Any, other: Unpacker, depth: int) -> Any:
    match tag:
        case "f":
            return float.fromhex(payload)
        case "i":
            return int(payload, 16)
        case "b":
            return bytes.fromhex(payload)
        case "d":
            return {unpack(k, other, depth + 1): unpack(v, other, depth + 1) for k, v in payload}
        case "t" | "s" | "z":
            kind = {"t": tuple, "s": set, "z": frozenset}[tag]
            return kind(unpack(item, other, depth + 1) for item in payload)
        case _:
            return other(tag, payload)


def encode(data: Any) -> bytes:
    """A frame: four bytes of length, big endian, and JSON."""
    body = json.dumps(data, separators=(",", ":")).encode("ascii")
    return len(body).to_bytes(HEADER, "big") + body


def decode(body: bytes) -> Any:
    """The JSON data of a frame's body; Malformed where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {type(error).__name__}") from None


def write_frame(fd: int, data: Any) -> None:
    """Write one frame, whole."""
    view = memoryview(encode(data))
    while view:
        view = view[os.write(fd, view) :]


def read_frame(fd: int, limit: int) -> Any:
    """Read one frame; EOFError where the other side is gone, Malformed where it is too large."""
    size = int.from_bytes(_read_exactly(fd, HEADER), "big")
    if size > limit:
        raise Malformed(f"a frame of {size} bytes")
    return decode(_read_exactly(fd, size))


def _read_exactly(fd: int, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        chunk = os.read(fd, size - len(parts))
        if not chunk:
            raise EOFError
        parts += chunk
    return bytes(parts)
