"""What every StateStore must do.

Subclass `StateStoreContract` in your adapter's tests and give it a fixture `state`: an open store,
which may be shared with other tests. Where documents outlive the store, subclass
`DurableStateStoreContract` too and give it a fixture `reopen`: an async function that closes the
current store, opens another on the same documents, and returns it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence

import pytest

from fleet_core.errors import Conflict
from fleet_core.ports.state_store import Delete, Document, Put, StateStore

_DEADLINE_S = 20.0

Reopen = Callable[[], Awaitable[StateStore]]


async def _gone(state: StateStore, key: str) -> None:
    async with asyncio.timeout(_DEADLINE_S):
        while (await state.get([key]))[0] is not None:  # noqa: ASYNC110 -- a store tells nobody
            await asyncio.sleep(0.01)


def _keys(documents: Sequence[Document]) -> list[str]:
    return [document.key for document in documents]


@pytest.mark.anyio
class StateStoreContract:
    """Versions, compare-and-set, all or none, TTL, scans."""

    @pytest.fixture
    def state(self) -> StateStore:
        """The store under test."""
        raise NotImplementedError("give your subclass a fixture `state`")

    @pytest.fixture
    def at(self) -> str:
        """A prefix of keys that no other test uses."""
        return f"contract/{uuid.uuid4().hex}/"

    async def test_versions_rise_with_each_write(self, state: StateStore, at: str) -> None:
        """From 1, by 1; a deletion has version 0 and the key begins anew."""
        for version in (1, 2, 3):
            assert list(await state.commit([Put(at, b"v%d" % version)])) == [version]
        assert list(await state.get([at])) == [Document(at, 3, b"v3")]
        assert list(await state.commit([Delete(at)])) == [0]
        assert list(await state.get([at])) == [None]
        assert list(await state.commit([Put(at, b"new")])) == [1]

    async def test_get_answers_in_the_order_asked(self, state: StateStore, at: str) -> None:
        """With None where there is nothing."""
        await state.commit([Put(at + "a", b"A"), Put(at + "b", b"B")])
        found = await state.get([at + "b", at + "none", at + "a", at + "b"])
        assert [d.value if d else None for d in found] == [b"B", None, b"A", b"B"]
        assert list(await state.get([])) == []

    async def test_any_bytes_are_kept(self, state: StateStore, at: str) -> None:
        """Empty, not UTF-8, a megabyte."""
        values = [b"", b"\x00\xff\x00", b"x" * 1_000_000]
        await state.commit([Put(f"{at}{n}", value) for n, value in enumerate(values)])
        found = await state.get([f"{at}{n}" for n in range(3)])
        assert [d.value if d else None for d in found] == values

    @pytest.mark.parametrize("key", ["a'b\"c", "tab\tnew\nline", "emoji \U0001f600", "%_*?[x]"])
    async def test_any_text_is_a_key(self, state: StateStore, at: str, key: str) -> None:
        """Keys are compared as they are, without wildcards."""
        await state.commit([Put(at + key, b"it"), Put(at + "plain", b"other")])
        assert list(await state.get([at + key])) == [Document(at + key, 1, b"it")]
        assert _keys(await state.scan(at + key)) == [at + key]

    async def test_compare_and_set(self, state: StateStore, at: str) -> None:
        """0 means absent, a number that version; a lost one names the key and writes nothing."""
        assert list(await state.commit([Put(at, b"1", expect=0)])) == [1]
        assert list(await state.commit([Put(at, b"2", expect=1)])) == [2]
        for wrong in (Put(at, b"x", expect=0), Put(at, b"x", expect=1), Put(at, b"x", expect=3)):
            with pytest.raises(Conflict) as caught:
                await state.commit([wrong])
            assert caught.value.key == at
        with pytest.raises(Conflict):
            await state.commit([Put(at + "absent", b"x", expect=1)])
        assert list(await state.get([at, at + "absent"])) == [Document(at, 2, b"2"), None]

    async def test_conditional_deletes(self, state: StateStore, at: str) -> None:
        """A deletion can expect a version, or absence; without expectation all is fine."""
        await state.commit([Put(at, b"1")])
        with pytest.raises(Conflict):
            await state.commit([Delete(at, expect=2)])
        with pytest.raises(Conflict):
            await state.commit([Delete(at, expect=0)])
        assert list(await state.commit([Delete(at, expect=1)])) == [0]
        assert list(await state.commit([Delete(at), Delete(at + "x", expect=0)])) == [0, 0]
        with pytest.raises(Conflict):
            await state.commit([Delete(at, expect=1)])

    async def test_all_or_none(self, state: StateStore, at: str) -> None:
        """One lost expectation undoes all; the first is named; what stood stays as it was."""
        await state.commit([Put(at + "kept", b"old"), Put(at + "gone", b"old")])
        with pytest.raises(Conflict) as caught:
            await state.commit(
                [
                    Put(at + "new", b"x"),
                    Put(at + "kept", b"x", expect=1),
                    Delete(at + "gone"),
                    Put(at + "first", b"x", expect=5),
                    Put(at + "second", b"x", expect=5),
                ]
            )
        assert caught.value.key == at + "first"
        assert await state.scan(at) == [
            Document(at + "gone", 1, b"old"),
            Document(at + "kept", 1, b"old"),
        ]

    async def test_a_conflict_harms_nobody_else(self, state: StateStore, at: str) -> None:
        """Commits made at the same time as a lost one are kept."""
        lost = [Put(at + "torn", b"x"), Put(at + "absent", b"x", expect=9)]
        commits = [
            state.commit(lost if n % 3 == 0 else [Put(f"{at}ok{n:02}", b"y", expect=0)])
            for n in range(30)
        ]
        results = await asyncio.gather(*commits, return_exceptions=True)
        assert [isinstance(r, Conflict) for r in results] == [n % 3 == 0 for n in range(30)]
        assert _keys(await state.scan(at)) == [f"{at}ok{n:02}" for n in range(30) if n % 3]

    async def test_no_update_is_lost(self, state: StateStore, at: str) -> None:
        """Concurrent read, add, compare-and-set."""
        await state.commit([Put(at, b"0")])

        async def add() -> None:
            for _ in range(10):
                while True:
                    (document,) = await state.get([at])
                    assert document is not None
                    value = b"%d" % (int(document.value) + 1)
                    try:
                        await state.commit([Put(at, value, expect=document.version)])
                    except Conflict:
                        await asyncio.sleep(0)
                        continue
                    break

        async with asyncio.timeout(_DEADLINE_S), asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(add())
        assert list(await state.get([at])) == [Document(at, 81, b"80")]

    async def test_one_of_many_takes_a_claim(self, state: StateStore, at: str) -> None:
        """`expect=0` succeeds once, and again after the claim's time is over."""

        async def claim(who: int) -> bool:
            try:
                await state.commit([Put(at, b"%d" % who, expect=0, ttl_ms=300)])
            except Conflict:
                return False
            return True

        for _ in range(2):
            assert sum(await asyncio.gather(*(claim(n) for n in range(10)))) == 1
            await _gone(state, at)

    async def test_an_expired_document_does_not_exist(self, state: StateStore, at: str) -> None:
        """For get, scan and expectations; the next write is version 1."""
        await state.commit(
            [Put(at + "brief", b"x", ttl_ms=150), Put(at + "long", b"x", ttl_ms=60_000)]
        )
        await _gone(state, at + "brief")
        assert _keys(await state.scan(at)) == [at + "long"]
        with pytest.raises(Conflict):
            await state.commit([Put(at + "brief", b"y", expect=1)])
        with pytest.raises(Conflict):
            await state.commit([Delete(at + "brief", expect=1)])
        assert list(await state.commit([Put(at + "brief", b"y")])) == [1]
        assert list(await state.get([at + "brief"])) == [Document(at + "brief", 1, b"y")]

    async def test_a_write_renews_or_lifts_the_time(self, state: StateStore, at: str) -> None:
        """A write with a TTL sets it anew; one without keeps the document."""
        names = [at + "renewed", at + "lifted", at + "brief"]
        await state.commit([Put(name, b"1", ttl_ms=300) for name in names])
        await state.commit(
            [Put(names[0], b"2", expect=1, ttl_ms=60_000), Put(names[1], b"2", expect=1)]
        )
        await _gone(state, at + "brief")
        assert _keys(await state.scan(at)) == [at + "lifted", at + "renewed"]

    async def test_scan_is_in_key_order_by_pages(self, state: StateStore, at: str) -> None:
        """Of the prefix only, above `after`, at most `limit`."""
        names = ["a", "a/1", "a/10", "a/2", "a/é", "a/\U0001f600", "b"]
        await state.commit([Put(at + name, name.encode()) for name in reversed(names)])
        assert _keys(await state.scan(at)) == [at + name for name in sorted(names)]
        inside = [at + name for name in sorted(names) if name.startswith("a/")]
        assert _keys(await state.scan(at + "a/")) == inside
        pages, after = [], ""
        while page := await state.scan(at + "a/", after=after, limit=2):
            assert len(page) <= 2
            pages += _keys(page)
            after = page[-1].key
        assert pages == inside
        assert await state.scan(at + "a/", after=at + "b") == []

    async def test_scan_passes_over_expired_ones_within_the_limit(
        self, state: StateStore, at: str
    ) -> None:
        """A page is not shortened by documents that no longer exist."""
        await state.commit([Put(f"{at}{n}", b"x", ttl_ms=150 if n < 3 else 0) for n in range(6)])
        await _gone(state, at + "2")
        assert _keys(await state.scan(at, limit=3)) == [f"{at}{n}" for n in (3, 4, 5)]


@pytest.mark.anyio
class DurableStateStoreContract:
    """What a store must do besides whose documents outlive it."""

    @pytest.fixture
    def at(self) -> str:
        """A prefix of keys that no other test uses."""
        return f"contract/{uuid.uuid4().hex}/"

    @pytest.fixture
    def reopen(self) -> Reopen:
        """Closes the store and opens another on the same documents."""
        raise NotImplementedError("give your subclass a fixture `reopen`")

    async def test_documents_outlive_the_store(
        self, state: StateStore, reopen: Reopen, at: str
    ) -> None:
        """With versions and times."""
        await state.commit([Put(at + "kept", b"1"), Put(at + "brief", b"1", ttl_ms=200)])
        await state.commit([Put(at + "kept", b"2")])
        state = await reopen()
        assert list(await state.get([at + "kept"])) == [Document(at + "kept", 2, b"2")]
        await _gone(state, at + "brief")
        with pytest.raises(Conflict):
            await state.commit([Put(at + "kept", b"x", expect=1)])
