"""Which files are refused, what a failing write does to others, what ages out."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.sqlite import _checkpoint, _file, _schema
from fleet_core.domain.decision import Decision, DecisionStanding
from fleet_core.domain.events import Event
from fleet_core.domain.told import as_recorded
from fleet_core.errors import Conflict, FleetError, NotFound, ProfileError, StoreError, Unavailable
from fleet_core.ports.event_bus import Subscription
from fleet_core.ports.state_store import Put
from fleet_plugins.contracts.stories import Story

pytestmark = pytest.mark.anyio
_DAY_MS = 24 * 3_600_000


def _sql(path: Path, *statements: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return [row for statement in statements for row in connection.execute(statement)]
    finally:
        connection.close()


async def test_a_file_that_is_not_sqlite_is_refused(opener: Any) -> None:
    path = opener.home / "fleet.sqlite"
    path.write_bytes(b"these are notes, not a database " * 100)
    with pytest.raises(StoreError, match="not an SQLite file") as caught:
        await opener.open("bus")
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert path.read_bytes().startswith(b"these are notes")


async def test_another_programs_file_is_refused(opener: Any) -> None:
    _sql(opener.home / "fleet.sqlite", "CREATE TABLE precious(x)")
    with pytest.raises(StoreError, match="another program"):
        await opener.open("state")
    assert _sql(opener.home / "fleet.sqlite", "SELECT name FROM sqlite_schema") == [("precious",)]


async def test_another_schema_version_is_refused(opener: Any) -> None:
    await opener.open("state")
    await opener.close()
    _sql(opener.home / "fleet.sqlite", "PRAGMA user_version=99")
    with pytest.raises(StoreError, match="schema version 99, this program reads 3"):
        await opener.open("state")


_TO_VERSION_2 = (
    "DROP INDEX decision_current",
    "CREATE INDEX decision_current ON decision(plan_id, task_id) WHERE superseded_by IS NULL",
    "DROP INDEX decision_superseded",
    "DROP INDEX plan_approved",
    "DROP TABLE told",
    "ALTER TABLE plan DROP COLUMN tasks",
)
_TO_VERSION_1 = ("DROP INDEX decision_story", "DROP INDEX plan_story")


@pytest.mark.parametrize(
    ("version", "undo"), [(1, (*_TO_VERSION_2, *_TO_VERSION_1)), (2, _TO_VERSION_2)]
)
async def test_a_file_of_an_earlier_schema_version_is_brought_up_and_loses_nothing(
    opener: Any, version: int, undo: tuple[str, ...]
) -> None:
    story = Story()
    state, graph = await opener.open("state"), await opener.open("graph")
    await state.commit([Put("kept", b"whole")])
    await graph.record_plan(story.plan("p"))
    decision = story.decision("p", "T1")
    await graph.record_decision(decision, 10, replace(as_recorded(decision), by="R 1"))
    query = story.query("q", "T2", told_by="R 1")
    known = await graph.neighbourhood(query)
    await opener.close()
    path = opener.home / "fleet.sqlite"
    newest = _shape(path)
    for statement in undo:
        _sql(path, statement)
    _sql(path, f"PRAGMA user_version={version}")
    found = await (await opener.open("state")).get(["kept"])
    graph = await opener.open("graph")
    again = await graph.neighbourhood(query)
    assert await graph.plan(story.plan("p").plan_id) == story.plan("p")
    await opener.close()
    assert [document.value for document in found] == [b"whole"]
    # What was told had no place before: it is told as it was recorded, by nobody's redactor.
    assert again == replace(known, siblings=(as_recorded(decision),))
    assert _shape(path) == newest
    assert _sql(path, "PRAGMA user_version") == [(3,)]


def _shape(path: Path) -> list[tuple[Any, ...]]:
    """Tables with their columns, and indexes; not the words that made them."""
    return _sql(
        path,
        "SELECT s.type, s.name, c.name, c.type FROM sqlite_schema s"
        " LEFT JOIN pragma_table_xinfo(s.name) c ORDER BY 1, 2, c.cid",
    )


async def test_a_folder_in_the_files_place_is_refused(opener: Any) -> None:
    (opener.home / "fleet.sqlite").mkdir()
    with pytest.raises(StoreError):
        await opener.open("state")


async def test_a_folder_that_cannot_be_written_is_refused(opener: Any) -> None:
    if os.geteuid() == 0:  # root may write anywhere but where nobody can
        opener.home = Path("/proc/fleet")
        said = "/proc/fleet"
    else:
        opener.home.chmod(stat.S_IRUSR | stat.S_IXUSR)
        said = "cannot be opened"
    try:
        with pytest.raises(StoreError, match=said):
            await opener.open("state")
    finally:
        if os.geteuid():
            opener.home.chmod(stat.S_IRWXU)


async def test_a_file_that_cannot_be_written_is_refused_at_the_start(
    opener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opener.open("state")
    await opener.close()

    def read_only(path: Path, wait_s: float = 0.0) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )

    monkeypatch.setattr(_schema, "connect", read_only)
    with pytest.raises(StoreError, match="cannot be written"):
        await opener.open("state")


async def test_ports_of_one_path_share_and_must_agree(opener: Any) -> None:
    await opener.open("bus")
    await opener.open("state")
    assert len(_file._shared) == 1
    opener.durability = "power"
    with pytest.raises(ProfileError, match="open with durability"):
        await opener.open("graph")
    opener.durability = "sometimes"
    with pytest.raises(ProfileError, match="no durability"):
        await opener.open("graph")
    await opener.close()
    assert not _file._shared
    assert sorted(p.name for p in opener.home.iterdir()) == ["fleet.sqlite", "fleet.sqlite-lock"]


async def test_a_full_disk_refuses_writes_and_harms_nothing(opener: Any) -> None:
    state, bus = await opener.open("state"), await opener.open("bus")
    await state.commit([Put("before", b"x")])
    file = next(iter(_file._shared.values())).file
    assert file is not None
    connection = file.writer._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 10}")
    results = await asyncio.gather(
        state.commit([Put("large", b"x" * 1_000_000)]),
        state.commit([Put("small", b"x")]),
        bus.publish([Event("a", "context.updated", {})]),
        return_exceptions=True,
    )
    assert isinstance(results[0], StoreError)
    assert "full" in results[0].message
    assert list(results[1:]) == [[1], None]
    found = await state.get(["before", "large", "small"])
    assert [d and d.value for d in found] == [b"x", None, b"x"]


async def test_writes_wait_for_another_writer_without_blocking_the_loop(opener: Any) -> None:
    state = await opener.open("state")
    other = sqlite3.connect(opener.home / "fleet.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    commit = asyncio.create_task(state.commit([Put("a", b"x")]))
    done, _ = await asyncio.wait([commit], timeout=0.1)
    assert not done
    assert await state.get(["a"]) == [None]
    other.execute("ROLLBACK")
    other.close()
    assert await commit == [1]


async def test_what_nobody_waits_for_any_more_is_kept_whole_or_not_at_all(opener: Any) -> None:
    state = await opener.open("state")
    tasks = [
        asyncio.create_task(state.commit([Put(f"a{n}", b"x"), Put(f"b{n}", b"x")]))
        for n in range(50)
    ]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    keys = {d.key for d in await state.scan("")}
    assert {k[1:] for k in keys if k[0] == "a"} == {k[1:] for k in keys if k[0] == "b"}
    assert {f"a{n}" for n in range(1, 50, 2)} <= keys


async def test_the_log_file_stays_bounded_under_load(
    opener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_checkpoint, "_LOG_BYTES", 1_000_000)
    state = await opener.open("state")
    sizes: list[int] = []
    loop = asyncio.get_running_loop()
    until = loop.time() + 20
    while sum(b < a for a, b in pairwise(sizes)) < 5:
        assert loop.time() < until, sizes
        value = b"%05d" % len(sizes) * 2000
        await asyncio.gather(*(state.commit([Put(f"{k}", value)]) for k in range(4)))
        sizes.append((opener.home / "fleet.sqlite-wal").stat().st_size)
    assert [d.value for d in await state.scan("")] == [value] * 4


async def test_events_blobs_and_documents_age_out(opener: Any) -> None:
    opener.clock_ms = 100 * _DAY_MS
    bus, state, blobs = [await opener.open(name) for name in ("bus", "state", "blobs")]
    await bus.publish([Event("result", "agent.results.x", {}), Event("c", "context.updated", {})])
    await state.commit([Put("claim", b"x", ttl_ms=1000), Put("kept", b"x")])
    ref = await blobs.put(b"old")
    async with bus.subscribe(Subscription("d", (">",))) as deliveries:
        assert (await anext(deliveries)).event.event_id == "result"
    for name in ("bus", "state", "blobs"):
        await opener.close()
        opener.clock_ms += 3 * _DAY_MS if name != "blobs" else 40 * _DAY_MS
        bus, state, blobs = [await opener.open(n) for n in ("bus", "state", "blobs")]
        await bus.publish([Event(f"{name}-new", "planning.plan.approved", {})])
        kept = [s.event.event_id async for s in bus.replay([">"])]
        if name == "bus":
            assert kept == ["c", "bus-new"]
            assert await blobs.get(ref) == b"old"
    assert kept == ["state-new", "blobs-new"][-len(kept) :]
    with pytest.raises(NotFound):
        await blobs.get(ref)
    path = opener.home / "fleet.sqlite"
    assert _sql(path, "SELECT key FROM document") == [(b"kept",)]
    async with bus.subscribe(Subscription("d", (">",))) as deliveries:
        assert (await anext(deliveries)).event.event_id == kept[0]


async def test_positions_never_repeat(opener: Any) -> None:
    opener.clock_ms = 100 * _DAY_MS
    bus = await opener.open("bus")
    await bus.publish([Event("a", "agent.results.x", {}), Event("b", "agent.results.x", {})])
    await opener.close()
    opener.clock_ms += 40 * _DAY_MS
    bus = await opener.open("bus")

    async def positions() -> list[int]:
        return [s.position async for s in bus.replay([">"])]

    async with asyncio.timeout(20):
        while await positions() == [1, 2]:  # noqa: ASYNC110 -- pruning tells nobody
            await asyncio.sleep(0.01)
    await bus.publish([Event("c", "agent.results.x", {})])
    assert await positions() == [2, 3]


async def test_acks_are_kept_when_the_file_closes_before_its_subscriber(opener: Any) -> None:
    bus = await opener.open("bus")
    await bus.publish([Event("a", "context.updated", {}), Event("b", "context.updated", {})])
    terms = Subscription("d", ("context.updated",))
    subscribing = bus.subscribe(terms)
    deliveries = await subscribing.__aenter__()
    await (await anext(deliveries)).ack()
    await opener.close()
    with pytest.raises(Unavailable):
        await subscribing.__aexit__(None, None, None)
    bus = await opener.open("bus")
    async with bus.subscribe(terms) as deliveries:
        assert (await anext(deliveries)).event.event_id == "b"


async def test_no_error_of_the_driver_crosses_a_port(opener: Any) -> None:
    bus, state, blobs, graph = [
        await opener.open(name) for name in ("bus", "state", "blobs", "graph")
    ]
    _sql(opener.home / "fleet.sqlite", *(f"DROP TABLE {t}" for t in ("log", "document", "blob")))
    _sql(opener.home / "fleet.sqlite", "DROP TABLE affects", "DROP TABLE decision")
    made = Decision("d", "d", "s", "p", "t", "DEV", "", "", "", "", DecisionStanding.REFUTED, "", 0)
    calls = [
        bus.publish([Event("a", "context.updated", {})]),
        state.get(["a"]),
        state.commit([Put("a", b"x")]),
        state.scan(""),
        blobs.put(b"x"),
        blobs.get("sha256:" + "0" * 64),
        graph.decision("x"),
        graph.record_decision(made, 1),
    ]
    for error in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(error, FleetError)
        assert not isinstance(error, Conflict)
    with pytest.raises(FleetError):
        _ = [s async for s in bus.replay([">"])]


async def test_a_neighbourhood_reads_no_table_but_its_decisions(opener: Any) -> None:
    await opener.open("graph")
    from fleet_adapters.sqlite import _around as module  # noqa: PLC0415 -- its queries are tested

    for query in (module.ANCESTOR, module.AFFECTING, module.SIBLINGS, module.TIMELINE):
        values = "EXPLAIN QUERY PLAN " + query.replace("?", "1")
        (plan,) = _sql(opener.home / "fleet.sqlite", values)
        assert "COVERING INDEX" in plan[3] or "PRIMARY KEY" in plan[3], plan
        assert "TEMP B-TREE" not in plan[3]
