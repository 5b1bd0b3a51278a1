"""`python -m fleet_features.kill`: kill each part of a fleet; the exit code is 1 where it shows."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from fleet_core.errors import FleetError
from fleet_features.kill.ground import OF_RAY, PARTS, Ground, ground
from fleet_features.kill.parts import Part
from fleet_features.kill.run import Hung, Run
from fleet_features.kill.tables import Row, table, told
from fleet_features.kill.verdict import Left, Point, points, undisturbed

SEED = 20261123
_IN_A_RUN = 2


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m fleet_features.kill", description=__doc__)
    parser.add_argument("--points", type=int, default=10, help="kills of each part")
    parser.add_argument("--parts", default=",".join(PARTS), help="which, separated by commas")
    parser.add_argument("--runner", choices=("ray", "local"), default="ray")
    given = parser.parse_args()
    seed = int(os.environ.get("FLEET_KILL_SEED", SEED))
    parts = [part for part in given.parts.split(",") if part]
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if given.runner == "local":
        parts = [part for part in parts if part not in OF_RAY]
    folder = Path(tempfile.mkdtemp(prefix="fleet-kill-"))
    try:
        problems = asyncio.run(_session(folder, given.runner, parts, given.points, seed))
    except BaseException:
        _say(f"what it kept and logged is in {folder}")
        raise
    if problems:
        _say(f"{problems} faults; what it kept and logged is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


async def _session(folder: Path, runner: str, parts: Sequence[str], number: int, seed: int) -> int:
    began = monotonic()
    rows: list[Row] = []
    async with ground(folder, runner) as found:
        _say(f"the fleet serves after {monotonic() - began:.1f} s; runner {runner}, seed {seed}")
        wanted, faults = await _undisturbed(found)
        for part in parts:
            if faults:
                break  # there is nothing to compare with
            rows.append(await _disturbed(found, part, number, seed, wanted))
    _say("")
    for line in table(rows):
        _say(line)
    faults += [fault for row in rows for fault in row.faults]
    took = monotonic() - began
    _say(f"{sum(len(row.kills) for row in rows)} kills in {took:.0f} s; seed {seed}")
    _say(json.dumps({"kill": [row.data() for row in rows], "seed": seed, "holds": not faults}))
    return len(faults)


async def _undisturbed(found: Ground) -> tuple[Left, list[str]]:
    began = monotonic()
    left = await Run(found, "kill-nobody").undisturbed()
    faults = undisturbed(left)
    _say(
        f"undisturbed: {len(left.tasks)} deliberations, {left.calls.total()} calls, "
        f"{left.events} events in {monotonic() - began:.1f} s"
    )
    for fault in faults:
        _say(f"  FAULT {fault}")
    return left, faults


async def _disturbed(found: Ground, name: str, number: int, seed: int, wanted: Left) -> Row:
    row = Row(name)
    for at in points(seed, name, _IN_A_RUN):
        left = number - len(row.kills)
        if not left or row.faults or row.runs > 2 * number:
            break
        run, began = Run(found, f"kill-{name}-{row.runs + 1}"), monotonic()
        ended, broken = await _ended(run, found.parts[name], at[:left], wanted)
        for kill in run.kills:
            _say(told(name, kill, wanted.whole))
        took = monotonic() - began
        _say(f"{name}: run {row.runs + 1} took {took:.1f} s")
        row.faults += broken
        faults = row.add(run.kills, ended, wanted, took) if ended is not None else broken
        for fault in faults:
            _say(f"  FAULT {name}: {fault}")
    if len(row.kills) < number:
        row.faults.append(f"{name} was killed {len(row.kills)} times and not {number} times")
    return row


async def _ended(
    run: Run, part: Part, at: Sequence[Point], wanted: Left
) -> tuple[Left | None, list[str]]:
    """What a run left; or why it did not come to its end."""
    left, broken = None, []
    try:
        left = await run.disturbed(part, at, wanted.whole)
    except* (Hung, TimeoutError, AssertionError, FleetError) as group:
        broken = [f"{type(error).__name__}: {error}" for error in group.exceptions]
    return left, broken


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
