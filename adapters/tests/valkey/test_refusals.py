"""What a server, or its configuration, refuses: named, with a way out, and nothing half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio.connection import DefaultParser
from redis.exceptions import RedisError

from fleet_adapters.valkey._errors import COMMANDS, translated
from fleet_core.errors import FleetError, NotFound, ProfileError, StoreError, Unavailable
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.state_store import Delete, Put, StateStore

pytestmark = [pytest.mark.anyio, pytest.mark.connected]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"url": "http://127.0.0.1"}, "url"),
        ({"url": "127.0.0.1:6379"}, "url"),
        ({"url": "valkey://"}, "url"),
        ({"url": "valkey://127.0.0.1:99999"}, "url"),
        ({"url": "valkey://[::1"}, "url"),
        ({"url": "valkey://127.0.0.1/mine"}, "url"),
        ({"url": "valkey://127.0.0.1?ssl=1"}, "url"),
        ({"url": "valkey://user:hunter2@127.0.0.1"}, "url"),
        ({"namespace": ""}, "namespace"),
        ({"namespace": "a:b"}, "namespace"),
        ({"timeout_ms": 0}, "timeout_ms"),
        ({"connections": 0}, "connections"),
        ({"ca": "ca.pem"}, "ca"),
        ({"url": "valkeys://127.0.0.1", "ca": "no.pem"}, "ca"),
        ({"url": "valkeys://127.0.0.1", "key": "text.pem"}, "key"),
        ({"url": "valkeys://127.0.0.1", "ca": "text.pem"}, "cert"),
    ],
)
async def test_settings_are_refused_by_field(
    opener: Any, tmp_path: Path, settings: dict[str, Any], field: str
) -> None:
    (tmp_path / "text.pem").touch()
    with pytest.raises(ProfileError) as caught:
        await opener.open("state", **settings)
    assert caught.value.field == field
    assert "hunter2" not in str(caught.value)
    assert caught.value.hint or field in {"timeout_ms", "connections"}


@pytest.mark.parametrize(
    ("server_settings", "expected"),
    [
        ({"appendonly": "no"}, "append-only"),
        ({"maxmemory": "100mb", "maxmemory_policy": "allkeys-lru"}, "allkeys-lru"),
        ({"maxmemory": "100mb", "maxmemory_policy": "volatile-ttl"}, "volatile-ttl"),
        ({"cluster_enabled": "yes"}, "cluster"),
        ({"replicaof": ""}, "replica"),
    ],
)
async def test_a_server_that_would_lose_data_is_refused(
    server: Any, own: Any, unused_port: int, server_settings: dict[str, str], expected: str
) -> None:
    if "replicaof" in server_settings:
        async with server.driver as driver:
            await driver.replicaof("127.0.0.1", 1)
    else:
        await server.stop()
        if "cluster_enabled" in server_settings:
            server_settings = {**server_settings, "cluster_port": str(unused_port)}
        await server.start(**server_settings)
    with pytest.raises(StoreError, match=expected) as caught:
        await own.open("state")
    assert caught.value.hint


async def test_a_server_without_append_only_file_can_be_asked_for(server: Any, own: Any) -> None:
    await server.stop()
    await server.start(appendonly="no")
    state: StateStore = await own.open("state", durable=False)
    assert list(await state.commit([Put("a", b"1")])) == [1]


async def test_a_user_with_the_documented_rights_can_do_all(server: Any, own: Any) -> None:
    rule = [f"+{command}" for command in COMMANDS]
    async with server.driver as driver:
        await driver.execute_command("ACL", "SETUSER", "fleet", "on", ">s3cret", "~mine:*", *rule)
        await driver.execute_command("ACL", "SETUSER", "default", "off")
    own.secrets["VALKEY_PASSWORD"] = "s3cret"
    user = {"username": "fleet", "password": "VALKEY_PASSWORD", "namespace": "mine"}
    state: StateStore = await own.open("state", **user)
    blobs: BlobStore = await own.open("blobs", **user)
    assert list(await state.commit([Put("a", b"1", ttl_ms=60_000), Put("b", b"1")])) == [1, 1]
    assert list(await state.commit([Delete("a", expect=1), Put("b", b"2", expect=1)])) == [0, 2]
    assert [d.key for d in await state.scan("")] == ["b"]
    assert await blobs.get(await blobs.put(b"x")) == b"x"
    with pytest.raises(StoreError, match="does not permit"):
        await own.open("state", **{**user, "namespace": "theirs"})


async def test_the_readme_names_the_rights() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    assert " ".join(f"+{command}" for command in COMMANDS) in " ".join(readme.split())


@pytest.mark.parametrize("lacking", COMMANDS)
async def test_a_right_that_lacks_is_missed_on_opening(server: Any, own: Any, lacking: str) -> None:
    rule = [f"+{command}" for command in COMMANDS if command != lacking]
    async with server.driver as driver:
        await driver.execute_command("ACL", "SETUSER", "f", "on", "nopass", "~*", *rule)
    own.secrets["NONE"] = "any"
    with pytest.raises(StoreError, match=lacking) as caught:
        await own.open("state", username="f", password="NONE")
    assert f"+{lacking}" in caught.value.hint


async def test_a_wrong_password_is_not_shown(server: Any, own: Any) -> None:
    await server.stop()
    await server.start(requirepass="right")
    with pytest.raises(StoreError, match="credentials"):
        await own.open("state")
    own.secrets["PASSWORD"] = "hunter2"
    with pytest.raises(StoreError, match="credentials") as caught:
        await own.open("state", password="PASSWORD")
    assert "hunter2" not in str(caught.value)
    own.secrets["PASSWORD"] = "right"
    assert await (await own.open("state", password="PASSWORD")).get(["a"]) == [None]


async def test_a_full_server_writes_nothing_of_a_commit(server: Any, own: Any) -> None:
    state: StateStore = await own.open("state")
    blobs: BlobStore = await own.open("blobs")
    await state.commit([Put("a", b"1")])
    async with server.driver as driver:
        await driver.config_set("maxmemory", "1mb")
        with pytest.raises(StoreError, match="maxmemory") as caught:
            await state.commit([Put("a", b"2"), Put("b", b"2"), Delete("c")])
        assert caught.value.hint
        with pytest.raises(StoreError, match="maxmemory"):
            await blobs.put(b"bytes")
        assert [d.version if d else None for d in await state.get(["a", "b"])] == [1, None]
        await driver.config_set("maxmemory", "0")
    assert list(await state.commit([Put("a", b"2"), Put("b", b"2")])) == [2, 1]


async def test_a_primary_that_becomes_a_replica_is_left(server: Any, own: Any) -> None:
    async with server.driver as driver:
        theirs = len(await driver.client_list(_type="normal"))
        state: StateStore = await own.open("state")
        await driver.replicaof("127.0.0.1", 1)
        with pytest.raises(Unavailable, match="replica"):
            await state.commit([Put("a", b"1")])
        async with asyncio.timeout(20):
            while len(await driver.client_list(_type="normal")) > theirs:  # noqa: ASYNC110 -- a server tells nobody
                await asyncio.sleep(0)
        await driver.replicaof("NO", "ONE")
    assert list(await state.commit([Put("a", b"1")])) == [1]


async def test_too_few_replicas_are_named(server: Any, own: Any) -> None:
    state: StateStore = await own.open("state")
    async with server.driver as driver:
        await driver.config_set("min-replicas-to-write", 1)
        with pytest.raises(Unavailable, match="min-replicas-to-write"):
            await state.commit([Put("a", b"1")])


@pytest.mark.parametrize("foreign", ["doc:a", "index", "expiring"])
async def test_foreign_data_under_our_keys_stops_a_commit_before_it_begins(
    server: Any, own: Any, foreign: str
) -> None:
    state: StateStore = await own.open("state")
    async with server.driver as driver:
        await driver.rpush(f"{own.namespace}:{foreign}", "theirs")
        with pytest.raises(StoreError, match="namespace") as caught:
            await state.commit([Put("b", b"1", ttl_ms=60_000), Put("a", b"1", ttl_ms=60_000)])
        assert "namespace" in caught.value.hint
        assert list(await state.get(["b"])) == [None]
        assert await driver.lrange(f"{own.namespace}:{foreign}", 0, -1) == [b"theirs"]


async def test_text_that_is_no_document_is_not_taken_for_one(server: Any, own: Any) -> None:
    state: StateStore = await own.open("state")
    async with server.driver as driver:
        for text in ("theirs", "-1 x", " x", "12"):
            await driver.set(f"{own.namespace}:doc:a\r\nb", text)
            with pytest.raises(StoreError, match="something else"):
                await state.get(["a\r\nb"])
            with pytest.raises(StoreError, match="something else"):
                await state.commit([Put("a\r\nb", b"1")])


async def test_more_than_the_server_takes_is_refused_before_it_is_sent(opener: Any) -> None:
    state: StateStore = await opener.open("state")
    blobs: BlobStore = await opener.open("blobs")
    huge = bytes(500 * 1024 * 1024 + 1)  # zeros that were never touched take no memory
    with pytest.raises(StoreError, match="bytes"):
        await state.commit([Put("a", huge)])
    with pytest.raises(StoreError, match="bytes"):
        await blobs.put(huge)
    with pytest.raises(NotFound):
        await blobs.get("sha256:" + "0" * 64)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("LOADING Valkey is loading the dataset in memory", Unavailable),
        ("MASTERDOWN Link with MASTER is down", Unavailable),
        ("BUSY Valkey is busy running a script", Unavailable),
        ("MISCONF Errors writing to the AOF file: No space left on device", StoreError),
        ("MOVED 3999 127.0.0.1:6381", StoreError),
        ("CLUSTERDOWN Hash slot not served", StoreError),
        ("NOAUTH Authentication required.", StoreError),
        ("ERR unknown command 'EVALSHA'", StoreError),
    ],
)
async def test_replies_that_are_hard_to_provoke(reply: str, kind: type[FleetError]) -> None:
    parse: Callable[[str], RedisError] = DefaultParser.parse_error
    error = translated(parse(reply), "the server")
    assert type(error) is kind
    assert error.hint
    assert reply.partition(" ")[2] in error.message
