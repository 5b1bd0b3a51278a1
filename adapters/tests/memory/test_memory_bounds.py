"""What the memory adapters let go of, on a clock of the test's own."""

from __future__ import annotations

import pytest

from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_adapters.memory.tokens import InMemoryTokenStream
from fleet_core.domain.events import Event
from fleet_core.ports.state_store import Put
from fleet_core.ports.token_stream import Words

pytestmark = pytest.mark.anyio
_HOUR_MS = 3_600_000


class _Clock:
    now = 1_000_000

    def __call__(self) -> int:
        return self.now


async def test_events_age_out_by_their_stream() -> None:
    clock = _Clock()
    bus = InMemoryEventBus(clock)
    await bus.publish([Event("a", "agent.results.x", {}), Event("b", "context.updated", {})])
    clock.now += _HOUR_MS + 1
    await bus.publish([Event("c", "context.updated", {})])
    assert [s.event.event_id async for s in bus.replay([">"])] == ["b", "c"]
    assert [s.position async for s in bus.replay([">"])] == [2, 3]
    await bus.publish([Event("a", "agent.results.x", {}), Event("b", "context.updated", {})])
    assert [s.event.event_id async for s in bus.replay([">"])] == ["b", "c", "a"]


async def test_an_event_that_no_log_could_keep_is_refused() -> None:
    bus = InMemoryEventBus(_Clock())
    with pytest.raises(TypeError):
        await bus.publish([Event("a", "context.updated", {"x": object()})])


async def test_expired_documents_take_no_room() -> None:
    clock = _Clock()
    state = InMemoryStateStore(clock)
    await state.commit([Put(f"k{n}", b"x", ttl_ms=10) for n in range(100)])
    clock.now += 60_001
    await state.commit([Put("one", b"x")])
    assert list(state._kept) == ["one"]
    assert state._keys == ["one"]


async def test_a_listener_loses_the_oldest_first() -> None:
    tokens = InMemoryTokenStream(max_chars=10)
    async with tokens.listen() as heard:
        for offset, text in ((0, "aaaa"), (4, "bbbb"), (8, "cccc")):
            tokens.say(Words("d", "t", "dev-1", "j", offset, text))
        words = await anext(heard)
        assert (words.offset, words.text) == (4, "bbbbcccc")
