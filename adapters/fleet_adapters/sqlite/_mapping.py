"""Text and JSON as they are kept: bytes, so that whatever a model wrote can be kept.

UTF-8 with lone surrogates passed through (JSON can carry them, SQLite's own text cannot); the
order of the bytes is the order of the text.
"""

from __future__ import annotations

import json
from typing import Any

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def to_bytes(text: str) -> bytes:
    """A text as kept."""
    return text.encode("utf-8", "surrogatepass")


def to_text(kept: bytes) -> str:
    """The text that was kept."""
    return kept.decode("utf-8", "surrogatepass")


def dump(data: object) -> bytes:
    """JSON data as kept."""
    return _encode(data).encode("utf-8", "surrogatepass")


def load(kept: bytes) -> Any:
    """The JSON data that was kept."""
    return json.loads(kept)
