"""What the stores keep on the server, and what a call costs it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from fleet_core.errors import Conflict, InputError, Unavailable
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.state_store import Delete, Put, StateStore

pytestmark = [pytest.mark.anyio, pytest.mark.connected]
_DAY_S = 24 * 3600


async def _gone(state: StateStore, key: str) -> None:
    async with asyncio.timeout(20):
        while (await state.get([key]))[0] is not None:  # noqa: ASYNC110 -- a store tells nobody
            await asyncio.sleep(0.01)


async def _sizes(driver: Redis, namespace: str) -> tuple[int, int]:
    return await driver.zcard(f"{namespace}:index"), await driver.zcard(f"{namespace}:expiring")


async def test_a_commit_is_one_command(server: Any, own: Any) -> None:
    state: StateStore = await own.open("state")
    await state.commit([Put("a", b"1")])
    async with server.driver as driver:
        await driver.config_resetstat()
        for version in range(1, 11):
            await state.commit([Put("a", b"x" * 9000, expect=version), Put("b", b"x"), Delete("c")])
        with pytest.raises(Conflict):
            await state.commit([Put("a", b"2", expect=1)])
        stats = await driver.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 11
    assert "cmdstat_eval" not in stats


async def test_names_of_expired_documents_do_not_pile_up(server: Any, own: Any) -> None:
    state: StateStore = await own.open("state")
    await state.commit([Put("kept", b"x"), Put("renewed", b"x", ttl_ms=100)])
    await state.commit([Put("renewed", b"x", ttl_ms=60_000)])
    await state.commit([Put(f"claim/{n:03}", b"x", ttl_ms=100) for n in range(100)])
    await state.commit([Put("claim/deleted", b"x", ttl_ms=60_000)])
    await state.commit([Delete("claim/deleted")])
    await state.commit([Put("claim/lifted", b"x", ttl_ms=100)])
    await state.commit([Put("claim/lifted", b"x")])
    await _gone(state, "claim/099")
    async with server.driver as driver:
        for n in range(20):
            await state.commit([Put("next", b"%d" % n, ttl_ms=60_000)])
        assert await _sizes(driver, own.namespace) == (4, 2)
    assert [d.key for d in await state.scan("")] == ["claim/lifted", "kept", "next", "renewed"]


async def test_an_expired_claim_taken_again_is_one_name(server: Any, own: Any) -> None:
    state: StateStore = await own.open("state")
    for _ in range(3):
        assert list(await state.commit([Put("claim", b"x", expect=0, ttl_ms=30)])) == [1]
        await _gone(state, "claim")
    async with server.driver as driver:
        assert await _sizes(driver, own.namespace) == (1, 1)
    assert await state.scan("") == []


async def test_a_server_that_forgot_the_script_is_given_it_again(server: Any, own: Any) -> None:
    state: StateStore = await own.open("state")
    await state.commit([Put("a", b"1")])
    async with server.driver as driver:
        await driver.script_flush()
    versions = await asyncio.gather(*(state.commit([Put("a", b"x")]) for _ in range(20)))
    assert sorted(v for (v,) in versions) == list(range(2, 22))


async def test_a_scan_of_many_takes_many_small_steps(server: Any, own: Any) -> None:
    state: StateStore = await own.open("state")
    names = [f"d/{n:05}" for n in range(1500)]
    await state.commit([Put(name, name.encode()) for name in names])
    await state.commit([Delete(name) for name in names[100:900]])
    left = names[:100] + names[900:]
    async with server.driver as driver:
        await driver.zadd(f"{own.namespace}:index", {"d/00500": 0})  # a name without a document
    assert [d.key for d in await state.scan("d/")] == left
    assert [d.key for d in await state.scan("d/", limit=600)] == left[:600]
    assert [d.key for d in await state.scan("d/", after="d/00099", limit=3)] == left[100:103]
    assert await state.scan("d/", limit=0) == []
    assert [d.value for d in await state.scan("d/", limit=10_000)] == [n.encode() for n in left]


async def test_keys_that_no_utf8_holds(opener: Any) -> None:
    state: StateStore = await opener.open("state")
    keys = ["\x00", "a\r\n$5\r\nb", "\ud800", "\U0010ffff", "*", "(x", "[x", "+", "-", ""]
    await state.commit([Put(key, key.encode("utf-8", "surrogatepass")) for key in keys])
    assert [d.key for d in await state.scan("")] == sorted(keys)
    for key in keys:
        (found,) = await state.get([key])
        assert found is not None
        assert found.value == key.encode("utf-8", "surrogatepass")
        with pytest.raises(Conflict) as caught:
            await state.commit([Put(key, b"x", expect=7)])
        assert caught.value.key == key


async def test_fleets_share_a_server_by_namespace(opener: Any) -> None:
    ours: StateStore = await opener.open("state")
    theirs: StateStore = await opener.open("state", namespace=f"{opener.namespace}x")
    await ours.commit([Put("a", b"ours")])
    assert list(await theirs.get(["a"])) == [None]
    assert await theirs.scan("") == []
    await theirs.commit([Put("a", b"theirs", expect=0)])
    assert [d.value for d in await ours.scan("")] == [b"ours"]


async def test_a_database_of_its_own(server: Any, own: Any) -> None:
    first: StateStore = await own.open("state")
    second: StateStore = await own.open("state", url=f"{server.url[:-1]}3")
    await first.commit([Put("a", b"1")])
    assert list(await second.get(["a"])) == [None]


async def test_a_ttl_beyond_all_bounds(opener: Any) -> None:
    state: StateStore = await opener.open("state")
    await state.commit([Put("a", b"1", ttl_ms=2**63)])
    assert [d.key for d in await state.scan("")] == ["a"]
    with pytest.raises(InputError):
        await state.commit([Put("b", b"1"), Put("a", b"1", ttl_ms=-1)])
    assert list(await state.get(["b"])) == [None]


async def test_a_blob_is_kept_longer_than_any_stream_and_renewed_by_each_put(
    server: Any, own: Any
) -> None:
    blobs: BlobStore = await own.open("blobs")
    ref = await blobs.put(b"bytes")
    key = f"{own.namespace}:blob:{ref.removeprefix('sha256:')}"
    async with server.driver as driver:
        assert await driver.ttl(key) > 30 * _DAY_S
        await driver.expire(key, 10)
        await blobs.put(b"bytes")
        assert await driver.ttl(key) > 30 * _DAY_S


async def test_large_blobs_at_the_same_time(opener: Any) -> None:
    blobs: BlobStore = await opener.open("blobs")
    data = [bytes([n]) * 2_000_000 for n in range(8)]
    refs = await asyncio.gather(*(blobs.put(d) for d in data))
    assert await asyncio.gather(*(blobs.get(ref) for ref in refs)) == data


async def test_calls_under_way_when_the_store_is_closed(opener: Any) -> None:
    state: StateStore = await opener.open("state")
    waiting = [asyncio.ensure_future(state.get(["a"])) for _ in range(20)]
    await asyncio.sleep(0)
    await opener.stack.aclose()
    async with asyncio.timeout(20):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Unavailable}
    with pytest.raises(Unavailable, match="closed"):
        await state.get(["a"])
