"""`python -m fleet_features.sim.hunt`: which seeds find which of the deliberate faults."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_features.sim.mutants import MUTANTS, Mutant, mutated_core

_FINDERS = 3


@dataclass(frozen=True, slots=True)
class Bite:
    """What a range of seeds said of a mutant.

    Attributes:
        found: the seeds that broke.
        invariants: those that they broke.
    """

    found: tuple[int, ...]
    invariants: frozenset[str]


def bitten(mutant: Mutant, first: int, last: int, *, until_broken: bool = False) -> Bite:
    """Run seeds against a copy of the core that has the mutant's fault.

    Raises:
        Outdated: the fault cannot be put in any more.
        RuntimeError: the run said nothing, or took another core.
    """
    command = [sys.executable, "-m", "fleet_features.sim", "--seeds", f"{first}-{last}"]
    if until_broken:
        command.append("--until-broken")
    with tempfile.TemporaryDirectory() as folder:
        mutated_core(mutant, Path(folder))
        paths = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
        ran = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )
        lines = ran.stdout.splitlines()
        said: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        if not str(said.get("core")).startswith(folder):
            raise RuntimeError(f"not run on the mutated core: {said} {ran.stderr[-2000:]}")
    return Bite(tuple(said["broken"]), frozenset(said["invariants"]))


def main() -> int:
    """Look for the shortest range, from 1, in which three seeds find each fault."""
    parser = argparse.ArgumentParser(prog="python -m fleet_features.sim.hunt", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how far to look")
    parser.add_argument("numbers", type=int, nargs="*", help="which faults, from 1; all by default")
    given = parser.parse_args()
    escaped = False
    for number, mutant in enumerate(MUTANTS, 1):
        if given.numbers and number not in given.numbers:
            continue
        bite = bitten(mutant, 1, given.seeds)
        escaped |= not bite.found
        _say(f"{number:2} {mutant.name}: found by {len(bite.found)} of {given.seeds} seeds")
        _say(f"   the first: {', '.join(map(str, bite.found[:_FINDERS]))}")
        if not bite.invariants & mutant.found_by:
            escaped = True
            _say(f"   by another invariant than its own: {', '.join(bite.invariants)}")
    return int(escaped)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
