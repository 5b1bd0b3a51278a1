"""What a run left behind, and whether that is what an undisturbed run leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Point:
    """Where a part is killed: at that share of what an undisturbed run has of something.

    Attributes:
        share: from 0 to 1.
        by: of calls asked, of calls answered, or of events of deliberations in the log.
    """

    KINDS: ClassVar[tuple[str, ...]] = ("asked", "answered", "events")

    share: float
    by: str


def points(seed: int, part: str, number: int) -> Iterator[list[Point]]:
    """Random points of one run after the other, without end; `number` of each run, in order."""
    draw = Random(f"{seed} {part}")
    while True:
        shares = sorted(draw.random() for _ in range(number))
        yield [Point(share, draw.choice(Point.KINDS)) for share in shares]


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill.

    Attributes:
        point: what was waited for.
        pid: of the process; 0 where all was over before the point came, and nobody was killed.
        here: calls asked, calls answered and events when it was killed.
        in_flight: calls that had been asked by the time the process, and the callers that end
            with it, were gone, and whose answer was not in the journal then.
        answered: how many of them the model had answered.
        at_s: when, by the monotonic clock.
        served_s: from the kill until the part serves again.
        advanced_s: from the kill until the last of the deliberations that ran then has advanced.
    """

    point: Point
    pid: int = 0
    here: tuple[int, int, int] = (0, 0, 0)
    in_flight: frozenset[str] = frozenset()
    answered: int = 0
    at_s: float = 0.0
    served_s: float = 0.0
    advanced_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Left:
    """What a run left.

    Attributes:
        tasks: of each task its state, winner, standing, attempt and whether it is recorded.
        completed: how many `completed` events each has.
        log: the event log, canonical, as text.
        events: how many there are.
        dead: reasons of dead letters.
        lost: places of jobs that were issued and never journaled.
        calls: how often each place was asked.
        kept: how often it had been asked when its answer was first seen in the journal.
        unrecorded: what the graph lacks, or has too often.
    """

    tasks: Mapping[str, tuple[str, str, str, int, bool]]
    completed: Mapping[str, int]
    log: str
    events: int
    dead: Sequence[str] = ()
    lost: Sequence[str] = ()
    calls: Counter[str] = field(default_factory=Counter)
    kept: Mapping[str, int] = field(default_factory=dict)
    unrecorded: Sequence[str] = ()

    @property
    def whole(self) -> tuple[int, int, int]:
        """Calls asked, calls answered and events in all."""
        return len(self.calls), len(self.calls), self.events


def undisturbed(left: Left) -> list[str]:
    """What is wrong with a run in which nobody was killed."""
    return [
        *_faults(left),
        *(f"{place} was asked {n} times" for place, n in left.calls.items() if n != 1),
    ]


def disturbed(left: Left, wanted: Left, kills: Sequence[Kill]) -> list[str]:
    """What is wrong with a run, beside an undisturbed one of the same plans."""
    found = _faults(left)
    for task in sorted(wanted.tasks.keys() | left.tasks.keys()):
        if left.tasks.get(task) != wanted.tasks.get(task):
            found.append(
                f"task {task}: {left.tasks.get(task)}, undisturbed {wanted.tasks.get(task)}"
            )
    if left.log != wanted.log:
        found.append(f"the event log differs: {_difference(left.log, wanted.log)}")
    if left.calls.keys() != wanted.calls.keys():
        found.append(f"other calls: {sorted(left.calls.keys() ^ wanted.calls.keys())}")
    at_kills = Counter(place for kill in kills for place in kill.in_flight)
    for place, count in sorted((left.calls - wanted.calls).items()):
        if count > at_kills[place]:
            found.append(
                f"{place} was asked {count} times too often, and was in flight at "
                f"{at_kills[place]} of the kills"
            )
    return found


def _faults(left: Left) -> list[str]:
    found = [
        f"task {task} has {left.completed.get(task, 0)} completed events"
        for task in left.tasks
        if left.completed.get(task, 0) != 1
    ]
    found += [
        f"task {task} is {state}, recorded: {recorded}"
        for task, (state, _, _, _, recorded) in left.tasks.items()
        if state != "decided" or not recorded
    ]
    found += [f"a dead letter: {reason}" for reason in left.dead]
    found += [f"the graph is wrong: {what}" for what in left.unrecorded]
    found += [f"{place} was issued and never journaled" for place in left.lost]
    found += [
        f"{place} was called for again after its answer was in the journal"
        for place, count in left.kept.items()
        if left.calls[place] > count
    ]
    return found


def _difference(one: str, other: str) -> str:
    ours, theirs = one.splitlines(), other.splitlines()
    for mine, wanted in zip(ours, theirs, strict=False):
        if mine != wanted:
            return f"{mine!r}, undisturbed {wanted!r}"
    return f"{len(ours)} lines, undisturbed {len(theirs)}"
