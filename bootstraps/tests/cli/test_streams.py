"""`fleet streams` on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from fleet_bootstraps.stack.nats import nats_server
from fleet_core.domain.events import STREAMS

pytestmark = pytest.mark.connected

Fleet = Callable[..., Any]


@pytest.fixture
def on_nats(tmp_path: Path) -> Iterator[list[str]]:
    """The options that bind a bus on a server without streams."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(nats_server(tmp_path / "nats")) as url,
    ):
        yield ["--set", "bus.use=nats", "--set", f"bus.servers={url}"]


def test_apply_makes_what_diff_finds_missing(fleet: Fleet, on_nats: list[str]) -> None:
    ran = fleet("streams", "diff", *on_nats, "--json")
    assert ran.code == 1, ran.err
    missing = ran.json
    assert [(m["stream"], m["setting"]) for m in missing] == [(s.name, "stream") for s in STREAMS]

    applied = fleet("streams", "apply", *on_nats)
    assert "PLANNING_EVENTS is missing" in applied.out
    assert fleet("streams", "apply", *on_nats).out == "nothing to change\n"

    shorter = [*on_nats, "--set", "bus.dedup_s=60"]
    differs = fleet("streams", "diff", *shorter)
    assert "CONTEXT_EVENTS: duplicate_window is 86400.0, should be 60.0" in differs.out
    assert fleet("streams", "apply", *shorter).code == 0
    same = fleet("streams", "diff", *shorter)
    assert (same.code, same.out) == (0, "nothing differs\n")


def test_a_bus_without_streams_and_one_that_is_away_are_named(fleet: Fleet) -> None:
    embedded = fleet("streams", "diff", "--profile", "embedded")
    assert (embedded.code, "the bus sqlite keeps no streams" in embedded.err) == (2, True)

    nowhere = ["--set", "bus.servers=nats://127.0.0.1:9", "--set", "bus.connect_ms=200"]
    away = fleet("streams", "diff", "--set", "bus.use=nats", *nowhere)
    assert (away.code, "127.0.0.1:9 does not answer" in away.err) == (3, True)
