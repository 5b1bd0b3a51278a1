"""What a server, its database, or the configuration refuses: named, with a way out."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from neo4j import AsyncDriver, AsyncGraphDatabase
from neo4j.exceptions import Neo4jError

from fleet_adapters.neo4j._errors import translated
from fleet_adapters.neo4j._mapping import identity, kept
from fleet_adapters.neo4j._schema import MIGRATIONS, VERSION
from fleet_core.domain.decision import Dissent
from fleet_core.domain.job import Evidence, Standing
from fleet_core.errors import (
    Conflict,
    DecodeError,
    FleetError,
    InputError,
    ProfileError,
    StoreError,
    Unavailable,
)
from fleet_core.ports.context_graph import ContextGraph
from fleet_plugins.contracts.stories import Story

pytestmark = [pytest.mark.anyio, pytest.mark.connected]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"uri": "http://127.0.0.1"}, "uri"),
        ({"uri": "127.0.0.1:7687"}, "uri"),
        ({"uri": "bolt://"}, "uri"),
        ({"uri": "bolt://127.0.0.1:99999"}, "uri"),
        ({"uri": "bolt://[::1"}, "uri"),
        ({"uri": "bolt://127.0.0.1/neo4j"}, "uri"),
        ({"uri": "neo4j://127.0.0.1?region=eu"}, "uri"),
        ({"uri": "bolt+ssc://127.0.0.1"}, "uri"),
        ({"uri": "bolt://neo4j:hunter2@127.0.0.1"}, "uri"),
        ({"username": ""}, "username"),
        ({"timeout_ms": 0}, "timeout_ms"),
        ({"connections": 0}, "connections"),
        ({"ca": "ca.pem"}, "ca"),
        ({"uri": "bolt+s://127.0.0.1", "ca": "no.pem"}, "ca"),
        ({"uri": "bolt+s://127.0.0.1", "key": "text.pem"}, "key"),
        ({"uri": "bolt+s://127.0.0.1", "ca": "text.pem"}, "cert"),
    ],
)
async def test_settings_are_refused_by_field(
    opener: Any, tmp_path: Path, settings: dict[str, Any], field: str
) -> None:
    (tmp_path / "text.pem").touch()
    with pytest.raises(ProfileError) as caught:
        await opener.open(**settings)
    assert caught.value.field == field
    assert "hunter2" not in str(caught.value)
    assert caught.value.hint or field in {"timeout_ms", "connections"}


@pytest.mark.parametrize("settings", [{"username": "nobody"}, {"password": ""}, {}])
async def test_a_wrong_login_is_refused_and_not_shown(
    opener: Any, settings: dict[str, str]
) -> None:
    opener.secrets = dict.fromkeys(opener.secrets, "hunter2")
    with pytest.raises(StoreError, match="refuses the credentials") as caught:
        await opener.open(**settings)
    assert "password" in caught.value.hint
    assert "hunter2" not in str(caught.value)


async def test_a_database_that_is_not_there_is_named(opener: Any) -> None:
    with pytest.raises(StoreError, match="no such database") as caught:
        await opener.open(database="elsewhere")
    assert "database" in caught.value.hint


@pytest.mark.parametrize("version", [VERSION + 1, 0.5, "'1'", -1])
async def test_an_unknown_schema_version_is_refused_and_kept(
    opener: Any, driver: AsyncDriver, version: object
) -> None:
    await opener.open()
    text = "MATCH (kept:FleetSchema {id: 'graph'}) SET kept.version = $version"
    before = await _all_of(driver)
    await driver.execute_query(text, version=version)
    try:
        with pytest.raises(StoreError, match="schema version") as caught:
            await opener.open()
        assert str(VERSION) in caught.value.message
        assert caught.value.hint
    finally:
        await driver.execute_query(text, version=VERSION)
    assert await _all_of(driver) == before


async def _all_of(driver: AsyncDriver) -> int:
    counted = await driver.execute_query("MATCH (n) RETURN count(n)")
    return int(counted.records[0][0])


async def test_it_is_made_ready_once_by_however_many_open_it(empty: Any, opener: Any) -> None:
    async with AsyncExitStack() as stack:
        opener.stack = stack
        graphs = await asyncio.gather(*(opener.open() for _ in range(6)))
        story = Story()
        await asyncio.gather(*(g.record_plan(story.plan(str(n))) for n, g in enumerate(graphs)))
        assert await graphs[0].revision(story.name) == len(graphs)


async def test_a_migration_that_was_cut_short_is_finished(opener: Any, driver: AsyncDriver) -> None:
    await opener.open()
    await driver.execute_query("MATCH (kept:FleetSchema) DELETE kept")
    await driver.execute_query("DROP INDEX fleet_timeline")
    await opener.open()
    shown = await driver.execute_query("SHOW INDEXES YIELD name, state, owningConstraint")
    states = {row["name"]: row["state"] for row in shown.records}
    made = {statement.split()[2] for migration in MIGRATIONS for statement in migration}
    assert {name: states[name] for name in made} == dict.fromkeys(made, "ONLINE")


async def test_foreign_data_under_our_labels_stops_the_opening(empty: Any, opener: Any) -> None:
    auth = ("neo4j", empty.running.password)
    async with AsyncGraphDatabase.driver(empty.running.uri, auth=auth) as bare:
        await bare.execute_query("CREATE (:Story {story: 'x'}), (:Story {story: 'x'})")
        with pytest.raises(StoreError, match="constraints") as caught:
            await opener.open()
        assert "database" in caught.value.hint
        await bare.execute_query("MATCH (s:Story) DELETE s")
        await bare.execute_query("CREATE INDEX theirs FOR (s:Story) ON (s.story)")
        with pytest.raises(StoreError, match="indexes") as caught:
            await opener.open()
        assert "database" in caught.value.hint
        await bare.execute_query("DROP INDEX theirs")
    assert await (await opener.open()).revision("x") == 0


async def test_a_decision_that_somebody_spoilt_is_no_decision(
    opener: Any, driver: AsyncDriver
) -> None:
    graph: ContextGraph = await opener.open()
    story = Story()
    decision = story.decision("p", "T1")
    await graph.record_decision(decision, 10)
    await driver.execute_query(
        "MATCH (d:Decision {decision_id: $id}) SET d.document = $document",
        id=decision.decision_id,
        document=b'{"title": 1}',
    )
    with pytest.raises(DecodeError, match="decision") as caught:
        await graph.decision(decision.decision_id)
    assert caught.value.field


async def test_a_number_beyond_64_bits_is_refused(opener: Any) -> None:
    graph: ContextGraph = await opener.open()
    story = Story()
    with pytest.raises(InputError):
        await graph.record_decision(story.decision("p", "T1"), 2**63)
    assert await graph.revision(story.name) == 0


async def test_the_nodes_and_relations_are_those_that_are_documented(
    opener: Any, driver: AsyncDriver
) -> None:
    graph: ContextGraph = await opener.open()
    story = Story()
    await graph.record_decision(story.decision("p", "T1", "old", affects=("T2",)), 10)
    await graph.record_plan(story.plan("p"))
    evidence = (Evidence("python", Standing.PASSED, "3 of 3"),)
    dissent = (Dissent("dev-2", ("dev-3",), "too slow"),)
    new = story.decision("p", "T1", "new", affects=("T2",), evidence=evidence, dissent=dissent)
    await graph.record_decision(new, 20)
    found = await driver.execute_query(
        "MATCH (:Story {story: $story})-[*0..4]-(a) WITH DISTINCT a MATCH (a)-[r]->(b)"
        " RETURN DISTINCT labels(a)[0] + ' ' + type(r) + ' ' + labels(b)[0] AS relation",
        story=story.name,
    )
    relations = {row["relation"] for row in found.records}
    assert relations == {
        "Story HAS_PLAN Plan",
        "Plan HAS_TASK Task",
        "Task DEPENDS_ON Task",
        "Task DECIDED_BY Decision",
        "Decision SUPPORTED_BY Evidence",
        "Decision SUPERSEDES Decision",
        "Decision AFFECTS Task",
        "Agent DISSENTED_FROM Decision",
    }
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    for relation in relations:
        for word in relation.split():
            assert f"`{word}`" in readme
    tasks = await driver.execute_query(
        "MATCH (t:Task {story: $story}) RETURN count(t), count(t.title)", story=story.name
    )
    assert tuple(tasks.records[0]) == (2, 2)  # the node that the decision made is the plan's


async def test_texts_stay_apart_and_in_order() -> None:
    texts = [
        "",
        "a",
        "\ud7ff",
        "\ud800",
        "\udfff",
        "\ue000",
        "\ue000\ue000",
        "\ue001",
        "\U0010ffff",
    ]
    assert [kept(text) for text in texts] == sorted(kept(text) for text in texts)
    assert len({kept(text) for text in texts}) == len(texts)
    assert kept("\U0001f600 é \x00") == "\U0001f600 é \x00"
    for text in (*texts, "\ud800" * 100_000):
        kept(text).encode()
    long = "x" * 2_000
    assert len(identity(long)) < 100
    assert identity(long) != identity(identity(long)) != identity(f"{long}x")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("Neo.ClientError.Security.Forbidden", StoreError),
        ("Neo.ClientError.Security.AuthenticationRateLimit", StoreError),
        ("Neo.ClientError.Schema.ConstraintValidationFailed", Conflict),
        ("Neo.ClientError.Statement.SyntaxError", StoreError),
        ("Neo.DatabaseError.Transaction.TransactionCommitFailed", StoreError),
        ("Neo.TransientError.Transaction.DeadlockDetected", Unavailable),
        ("Neo.TransientError.Database.DatabaseUnavailable", Unavailable),
        ("Neo.TransientError.General.MemoryPoolOutOfMemoryError", StoreError),
        ("Neo.ClientError.General.ForbiddenOnReadOnlyDatabase", StoreError),
    ],
)
async def test_errors_that_are_hard_to_provoke(code: str, kind: type[FleetError]) -> None:
    error = translated(Neo4jError._hydrate_neo4j(code=code, message="what it says"), "the server")
    assert isinstance(error, kind)
    assert error.hint
    assert "what it says" in error.message
