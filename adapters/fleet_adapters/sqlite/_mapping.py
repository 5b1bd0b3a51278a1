"""Text and JSON as they are kept: bytes, so that whatever a model wrote can be kept.

UTF-8 with lone surrogates passed through (JSON can carry them, SQLite's own text cannot); the
order of the bytes is the order of the text.
"""

from __future__ import annotations

import json
from typing import Any

from fleet_plugins.kit.json_bytes import dump

__all__ = ["TEXT", "dump", "load", "to_bytes", "to_text"]

TEXT = ("utf-8", "surrogatepass")
"""The encoding, and what becomes of what it has no place for."""


def to_bytes(text: str) -> bytes:
    """A text as kept."""
    return text.encode(*TEXT)


def to_text(kept: bytes) -> str:
    """The text that was kept."""
    return kept.decode(*TEXT)


def load(kept: bytes) -> Any:
    """The JSON data that was kept."""
    return json.loads(kept.decode(*TEXT))  # told of bytes, it looks for their encoding
