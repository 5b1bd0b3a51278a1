"""JSON as bytes, fast: orjson where it can, the standard library where it cannot."""

from __future__ import annotations

import json
from typing import Any

import orjson

from fleet_core.usecases import documents

_STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def dump_wire(data: Any) -> bytes:
    """JSON data as compact bytes that are UTF-8 in any case: lone surrogates travel escaped.

    Raises:
        TypeError: it is not JSON data.
    """
    try:
        return orjson.dumps(data, option=_STRICT)
    except orjson.JSONEncodeError:
        return json.dumps(data, separators=(",", ":")).encode("ascii")


def load_texts(raw: bytes) -> Any:
    """JSON that `dump` made of texts, and of lists of them; numbers could come back as others.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:  # a lone surrogate in it
        return json.loads(raw)


def dump(data: Any) -> bytes:
    """JSON data as compact UTF-8, to be kept; decoded, it is what `fleet_core`'s own `dump` gives.

    What orjson refuses (lone surrogates, whole numbers beyond 64 bits, deep nesting) the standard
    library writes. A number that is not finite, which is no JSON, becomes null.

    Raises:
        TypeError: it is not JSON data.
    """
    try:
        return orjson.dumps(data, option=_STRICT)
    except orjson.JSONEncodeError:
        return documents.dump(data)
