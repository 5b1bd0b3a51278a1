"""The streams: created, compared, reported, changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.nats import streams
from fleet_adapters.nats._connecting import linked
from fleet_adapters.nats._link import Link
from fleet_adapters.nats._positions import ORDER, position, sequences
from fleet_adapters.nats.settings import NatsSettings
from fleet_bootstraps.stack.nats import nats_server
from fleet_core.domain.events import STREAMS
from fleet_core.errors import StoreError
from fleet_plugins.api import FactoryContext

pytestmark = pytest.mark.anyio

_NS = 1_000_000_000


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[NatsSettings]:
    async with nats_server(tmp_path / "server") as url:
        yield NatsSettings((url,))


@pytest.fixture
async def link(empty: NatsSettings, tmp_path: Path) -> AsyncIterator[Link]:
    async with linked(empty, _context(tmp_path), "test") as link:
        yield link


def _context(home: Path) -> FactoryContext:
    return FactoryContext(lambda: 0, str, home)


async def _config(link: Link, name: str) -> dict[str, Any]:
    return dict((await link.api(f"STREAM.INFO.{name}"))["config"])


async def test_what_is_missing_is_created_once(link: Link, empty: NatsSettings) -> None:
    missing = await streams.diff(link, empty)
    assert [str(difference) for difference in missing] == [f"{s.name} is missing" for s in STREAMS]
    async with asyncio.TaskGroup() as tasks:  # several services start at once
        for _ in range(4):
            tasks.create_task(streams.create_missing(link, empty))
    assert await streams.diff(link, empty) == []
    for stream in STREAMS:
        config = await _config(link, stream.name)
        assert config["subjects"] == [stream.subjects]
        assert config["max_age"] == stream.max_age_s * _NS
        assert config["retention"] == ("workqueue" if stream.work_queue else "limits")
        assert config["storage"] == ("memory" if stream.memory else "file")
    assert (await _config(link, "VLLM_STREAMING"))["max_bytes"] == 64 * 1024 * 1024
    assert (await _config(link, "AGENT_RESULTS"))["duplicate_window"] == 3600 * _NS
    assert (await _config(link, "PLANNING_EVENTS"))["duplicate_window"] == 86_400 * _NS


async def test_other_settings_are_reported_with_the_difference_and_left(
    link: Link, empty: NatsSettings, opener: Any, caplog: pytest.LogCaptureFixture
) -> None:
    other = {"name": "CONTEXT_EVENTS", "subjects": ["context.>"], "max_age": 60 * _NS}
    await link.api("STREAM.CREATE.CONTEXT_EVENTS", other)
    opener.url = empty.servers[0]
    with caplog.at_level(logging.WARNING):
        await opener.open("bus")
    assert "CONTEXT_EVENTS: max_age is 60.0, should be 604800.0" in caplog.text
    assert "fleet streams apply" in caplog.text
    assert (await _config(link, "CONTEXT_EVENTS"))["max_age"] == 60 * _NS


async def test_apply_changes_what_differs_and_nothing_else(link: Link, empty: NatsSettings) -> None:
    await link.api(
        "STREAM.CREATE.CONTEXT_EVENTS",
        {
            "name": "CONTEXT_EVENTS",
            "subjects": ["context.>"],
            "max_age": 3600 * _NS,
            "description": "ours",
        },
    )
    changed = await streams.apply(link, empty)
    assert {d.stream for d in changed} == {s.name for s in STREAMS}
    config = await _config(link, "CONTEXT_EVENTS")
    assert (config["max_age"], config["description"]) == (7 * 86_400 * _NS, "ours")
    assert await streams.apply(link, empty) == []


async def test_a_change_that_the_server_refuses_says_why(link: Link, empty: NatsSettings) -> None:
    wrong = {"name": "AGENT_JOBS", "subjects": ["agent.jobs.>"], "storage": "memory"}
    await link.api("STREAM.CREATE.AGENT_JOBS", wrong)
    with pytest.raises(StoreError, match=r"STREAM\.UPDATE\.AGENT_JOBS: .*storage type"):
        await streams.apply(link, empty)


async def test_subjects_that_another_stream_holds_are_named(
    link: Link, empty: NatsSettings
) -> None:
    await link.api("STREAM.CREATE.OTHER", {"name": "OTHER", "subjects": ["context.updated"]})
    with pytest.raises(StoreError, match=r"CONTEXT_EVENTS: subjects overlap"):
        await streams.create_missing(link, empty)


def test_positions_know_every_stream() -> None:
    assert set(ORDER) == {stream.name for stream in STREAMS}
    passed = {name: number for number, name in enumerate(ORDER, 1)}
    assert sequences(position(passed)) == passed
    assert sequences(-1) == dict.fromkeys(ORDER, 0)
