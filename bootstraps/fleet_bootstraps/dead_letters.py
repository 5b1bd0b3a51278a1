"""Dead letters: what could not be handled, and what somebody then did about it.

A letter stays in the log until it ages out. What became of it is a document of the state store,
one for each event that has letters, which lives as long.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from fleet_core.domain.events import DEAD, Event, from_cloudevent, stream_of
from fleet_core.errors import Conflict, DecodeError, FleetError
from fleet_core.ports.clock import Clock
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.state_store import Put, StateStore
from fleet_core.usecases.documents import dump_object, load_object

_AGAIN = re.compile(r"~replay:([1-9][0-9]*)$")
_KEY = "dead-letters/"


class Fate(StrEnum):
    """What became of a letter."""

    OPEN = "open"
    REPLAYING = "replaying"  # somebody began to, and may not have come to the end
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Became:
    """What was done about a letter.

    Attributes:
        fate: what.
        at_ms: when, UTC.
        event_id: as which its event was handed out again.
        reason: why it was discarded.
    """

    fate: Fate = Fate.OPEN
    at_ms: int = 0
    event_id: str = ""
    reason: str = ""

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be done."""
        return self.fate in {Fate.REPLAYED, Fate.DISCARDED}


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter.

    Attributes:
        position: in the log.
        letter_id: the letter's own event id.
        time_ms: when it was written, UTC.
        subject, event_id: of the event that was buried.
        durable: who could not handle it.
        reason: why not.
        attempts: deliveries.
        envelope: the event as it was kept.
        event: the same, read; None where it is no event.
        unreadable: why it is none.
        became: what was done about it.
    """

    position: int
    letter_id: str
    time_ms: int
    subject: str
    event_id: str
    durable: str
    reason: str
    attempts: int
    envelope: Mapping[str, Any] = field(hash=False)
    event: Event | None
    unreadable: str = ""
    became: Became = Became()

    @property
    def root_id(self) -> str:
        """The id of the event that was published first, of which this may be a replay."""
        return _AGAIN.sub("", self.event_id)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be done about it."""
        return self.became.settled


@dataclass(frozen=True, slots=True)
class Replayed:
    """How one event's replay went.

    Attributes:
        letters: its letters.
        event_id: as which it was handed out; empty where it was not.
        refused: why it was not.
    """

    letters: tuple[Letter, ...]
    event_id: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True)
class _Kept:
    """The document: replays so far, and what became of each letter, by the letter's id."""

    event_id: str
    replays: int = 0
    letters: Mapping[str, Became] = field(default_factory=dict)


class DeadLetters:
    """The dead letters of a bus.

    Args:
        bus: where they are, and where events are handed out again.
        state: where what became of them is kept.
        clock: UTC milliseconds.
    """

    def __init__(self, bus: EventBus, state: StateStore, clock: Clock) -> None:
        self._bus, self._state, self._clock = bus, state, clock

    async def all(self) -> list[Letter]:
        """Every letter that is kept, oldest first, with what became of it."""
        letters = [read_letter(s.position, s.event) async for s in self._bus.replay([f"{DEAD}.>"])]
        roots = list(dict.fromkeys(letter.root_id for letter in letters))
        kept = {root: (await self._load(root))[0] for root in roots}
        return [
            replace(letter, became=kept[letter.root_id].letters.get(letter.letter_id, Became()))
            for letter in letters
        ]

    async def replay(self, letters: Sequence[Letter], *, again: bool = False) -> list[Replayed]:
        """Hand the events of these letters out once more, each once, to all who consume them.

        A bus passes over an id that it knows. So the event comes as `ID~replay:N`; N rises with
        each replay, and is kept before the event is published: whoever dies in between, or does
        the same at the same time, publishes the same id, which the bus then keeps once.

        Args:
            letters: which; those of one event are settled by one replay.
            again: also those that were replayed or discarded before.
        """
        by_root: dict[str, list[Letter]] = {}
        for letter in letters:
            by_root.setdefault(letter.root_id, []).append(letter)
        return [await self._replay_one(own, again=again) for own in by_root.values()]

    async def discard(self, letters: Sequence[Letter], reason: str) -> None:
        """Nothing is to be done about these; they stay in the log until they age out."""
        for letter in letters:
            became = Became(Fate.DISCARDED, self._clock(), reason=reason)
            while True:
                kept, version = await self._load(letter.root_id)
                changed = replace(kept, letters={**kept.letters, letter.letter_id: became})
                if await self._save(changed, version):
                    break

    async def came_back(self, after: int, event_ids: Sequence[str]) -> AsyncGenerator[Letter, None]:
        """Letters of these events beyond a position, as they are written; for ever."""
        async for stored in self._bus.replay([f"{DEAD}.>"], after=after, follow=True):
            letter = read_letter(stored.position, stored.event)
            if letter.event_id in event_ids:
                yield letter

    async def _replay_one(self, letters: Sequence[Letter], *, again: bool) -> Replayed:
        own = tuple(letters)
        event = next((letter.event for letter in own if letter.event is not None), None)
        if event is None:
            return Replayed(own, refused=own[0].unreadable)
        try:
            stream_of(event.subject)
        except KeyError:
            return Replayed(own, refused=f"no stream holds {event.subject}")
        event_id, refused = await self._begun(own, again=again)
        if refused:
            return Replayed(own, refused=refused)
        try:
            await self._bus.publish([replace(event, event_id=event_id)])
        except FleetError as error:
            return Replayed(own, refused=str(error))
        await self._done(own, event_id)
        return Replayed(own, event_id)

    async def _begun(self, letters: Sequence[Letter], *, again: bool) -> tuple[str, str]:
        """The id to publish it as, kept; or why it should not be."""
        root = letters[0].root_id
        while True:
            kept, version = await self._load(root)
            so_far = [kept.letters.get(one.letter_id, Became()) for one in letters]
            for became in so_far:
                if became.fate is Fate.REPLAYING:
                    return became.event_id, ""
            if all(became.settled for became in so_far) and not again:
                return "", _was(so_far[0])
            number = 1 + max(kept.replays, *(_number(letter.event_id) for letter in letters))
            event_id = f"{root}~replay:{number}"
            became = Became(Fate.REPLAYING, self._clock(), event_id)
            changed = {**kept.letters, **{one.letter_id: became for one in letters}}
            if await self._save(_Kept(root, number, changed), version):
                return event_id, ""

    async def _done(self, letters: Sequence[Letter], event_id: str) -> None:
        became = Became(Fate.REPLAYED, self._clock(), event_id)
        while True:
            kept, version = await self._load(letters[0].root_id)
            changed = {**kept.letters, **{one.letter_id: became for one in letters}}
            if await self._save(replace(kept, letters=changed), version):
                return

    async def _load(self, root: str) -> tuple[_Kept, int]:
        (document,) = await self._state.get([_key(root)])
        if document is None:
            return _Kept(root), 0
        return load_object(_Kept, document), document.version

    async def _save(self, kept: _Kept, version: int) -> bool:
        """Whether it was saved; not where somebody else was quicker."""
        ttl_ms = stream_of(f"{DEAD}.letter").max_age_s * 1000
        try:
            await self._state.commit(
                [Put(_key(kept.event_id), dump_object(kept), version, ttl_ms=ttl_ms)]
            )
        except Conflict:
            return False
        return True


def _key(root: str) -> str:
    return _KEY + hashlib.sha256(root.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _number(event_id: str) -> int:
    found = _AGAIN.search(event_id)
    return int(found[1]) if found else 0


def _was(became: Became) -> str:
    if became.fate is Fate.DISCARDED:
        return f"was discarded: {became.reason}" if became.reason else "was discarded"
    return f"was replayed as {became.event_id}"


def read_letter(position: int, letter: Event) -> Letter:
    """A letter, whoever wrote it."""
    data = letter.data
    found = data.get("event")
    envelope: Mapping[str, Any] = found if isinstance(found, dict) else {}
    event, unreadable = None, ""
    try:
        event = from_cloudevent(envelope, source="the event in it")
    except DecodeError as error:
        unreadable = f"holds no event that could be handed out again: {error}"
    attempts = data.get("attempts")
    return Letter(
        position,
        letter.event_id,
        letter.time_ms,
        letter.subject.removeprefix(f"{DEAD}."),
        str(envelope.get("id") or letter.event_id),
        str(data.get("durable", "")),
        str(data.get("reason", "")),
        attempts if isinstance(attempts, int) else 0,
        envelope,
        event,
        unreadable,
    )
