"""The CloudEvents envelope: what is read of it, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fleet_core.domain.events import Event, decode, encode, from_cloudevent, to_cloudevent
from fleet_core.errors import DecodeError

EVENT = Event("id-1", "agent.results.t", {"n": 1}, 1_700_000_000_123, 7, "00-ab-cd-01")


def test_an_event_comes_back_as_it_went() -> None:
    assert decode(encode(EVENT)) == EVENT


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"specversion": "2.0"}, "specversion"),
        ({"specversion": 1}, "specversion"),
        ({"id": ""}, "id"),
        ({"type": None}, "type"),
        ({"data": [1]}, "data"),
        ({"time": "yesterday"}, "time or sequence"),
        ({"time": "2026-01-01T00:00:00"}, "time"),
        ({"sequence": "x"}, "time or sequence"),
        ({"sequence": float("inf")}, "time or sequence"),
        ({"sequence": float("nan")}, "time or sequence"),
        ({"sequence": [1]}, "time or sequence"),
    ],
)
def test_what_is_wrong_in_an_envelope_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        from_cloudevent({**to_cloudevent(EVENT), **change}, source="here")
    assert (caught.value.source, caught.value.field) == ("here", field)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[]", b"{", b"[" * 100_000])
def test_what_is_no_envelope_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(raw)


def test_text_that_is_not_unicode_travels() -> None:
    event = Event("id-2", "agent.results.t", {"text": "\ud800"})
    assert decode(encode(event)).data == {"text": "\ud800"}
    assert json.loads(encode(event))["id"] == "id-2"
