"""Identities by content: the same thing has the same id on every machine and in every run."""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache

TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def canonical(value: object) -> bytes:
    """UTF-8 JSON with sorted keys and no white space: equal values give equal bytes."""
    return _encode(value).encode("utf-8", "surrogatepass")


def content_id(*parts: object) -> str:
    """The first 32 hex digits (128 bits) of SHA-256 over the canonical form of `parts`."""
    return hashlib.sha256(canonical(parts)).hexdigest()[:32]


@lru_cache(maxsize=1024)
def text_hash(text: str) -> str:
    """SHA-256 of a text, 64 hex digits; orders candidates without regard to who wrote them."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def task_token(plan_id: str, task_id: str) -> str:
    """The `{task}` part of a subject: 12 hex digits of the plan's id, a hyphen, the task's id."""
    return f"{plan_id[:12]}-{task_id}"
