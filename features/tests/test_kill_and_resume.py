"""Killed at random points and started again, a run ends as if nothing had happened.

FLEET_KILL_SEED chooses the points; it is printed with each failure.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleet_features.canonical import shown
from fleet_features.killing import Ground, Kill, Left, Point, ground, killed, points, to_end

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(600)]

SEED = int(os.environ.get("FLEET_KILL_SEED", "20261123"))
KILLS = 20
DELAY_MS = 30
SETS = ("executor.claim_ttl_ms=300",)
PLAN = """
story: notes
title: A notebook
tasks:
  - id: store
    title: Choose where notes are kept
    role: DEV
  - id: try
    title: Say how it is tested
    role: QA
    depends_on: [store]
  - id: shape
    title: Write the function
    role: DEV
    checks:
      - {kind: python, entry: f, examples: [{args: [1], returns: 2}]}
"""


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Ground]:
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    async with ground(plan, SETS, DELAY_MS) as found:
        yield found


async def undisturbed(place: Ground, folder: Path) -> tuple[Left, Counter[str]]:
    home = folder / "undisturbed"
    await to_end(place, home)
    async with place.looking(home) as look:
        left = await look.left()
    calls = Counter(place.server.calls)
    assert set(calls.values()) == {1}
    assert calls == left.kept
    assert {state for state, *_ in left.tasks.values()} == {"decided"}
    place.server.calls.clear()
    return left, calls


def compare(left: Left, wanted: Left, calls: Counter[str], once: Counter[str]) -> None:
    """The same decisions and the same log; nothing lost; every answer kept once."""
    assert left.dead == ()
    assert left.lost == 0
    assert left.tasks == wanted.tasks
    assert left.kept == once == wanted.kept
    assert shown(left.log) == shown(wanted.log)
    assert calls.keys() == once.keys()


def excused(calls: Counter[str], once: Counter[str], kills: list[Kill]) -> None:
    """No call was made more often than once, and once more for each kill it was in flight at."""
    allowed = sum((kill.in_flight for kill in kills), Counter(once))
    unexcused = calls - allowed
    assert not unexcused, f"calls that were made again although their answer was kept: {unexcused}"
    excess, in_flight = calls.total() - once.total(), sum(k.in_flight.total() for k in kills)
    print(f"{calls.total()} calls, {excess} more than undisturbed, {in_flight} in flight at kills")  # noqa: T201 -- shown when it fails
    assert excess <= in_flight


def told(point: Point, kill: Kill, whole: tuple[int, int]) -> str:
    events, places, calls = kill.seen
    return (
        f"kill at {point.share:.2f} of the {point.by}: {events} of {whole[0]} events, {places} of "
        f"{whole[1]} places asked in {calls} calls, {kill.in_flight.total()} in flight, of which "
        f"{kill.answered} were answered"
    )


async def test_a_run_killed_twenty_times_ends_as_an_undisturbed_one(
    place: Ground, tmp_path: Path
) -> None:
    wanted, once = await undisturbed(place, tmp_path)
    home = tmp_path / "killed"
    whole = (wanted.events, once.total())
    kills = []
    for point in points(SEED, KILLS):
        kill = await killed(place, home, point, whole)
        print(f"seed {SEED}: {told(point, kill, whole)}")  # noqa: T201 -- shown when it fails
        kills.append(kill)
    await to_end(place, home)
    async with place.looking(home) as look:
        left = await look.left()
    compare(left, wanted, place.server.calls, once)
    excused(place.server.calls, once, kills)


async def test_each_of_twenty_runs_killed_once_ends_as_an_undisturbed_one(
    place: Ground, tmp_path: Path
) -> None:
    wanted, once = await undisturbed(place, tmp_path)
    whole = (wanted.events, once.total())
    missed = 0
    for number, point in enumerate(points(SEED + 1, KILLS)):
        home = tmp_path / f"killed-{number}"
        place.server.calls.clear()
        kill = await killed(place, home, point, whole)
        print(f"seed {SEED + 1}: {told(point, kill, whole)}")  # noqa: T201 -- shown when it fails
        missed += kill.ended
        await to_end(place, home)
        async with place.looking(home) as look:
            left = await look.left()
        compare(left, wanted, place.server.calls, once)
        excused(place.server.calls, once, [kill])
    assert missed <= KILLS // 4, "too many runs had ended before they were killed"
