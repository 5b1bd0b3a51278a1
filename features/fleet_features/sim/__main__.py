"""`python -m fleet_features.sim`: the fleet in simulation; the exit code is 1 where it broke."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from time import monotonic

import fleet_core
from fleet_features.sim.batch import run_all
from fleet_features.sim.run import Report, Simulation


def main() -> int:
    """Run seeds, or replay one."""
    parser = argparse.ArgumentParser(prog="python -m fleet_features.sim", description=__doc__)
    parser.add_argument("--seeds", default="200", help="how many, or a range as 1-200")
    parser.add_argument("--seed", type=int, help="replay this one, with all that happened")
    parser.add_argument("--side-by-side", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--until-broken", action="store_true", help="stop at the first that breaks")
    parser.add_argument("--digests", action="store_true", help="print each seed's digest")
    given = parser.parse_args()
    if given.seed is not None:
        return _replay(given.seed)
    first, _, last = given.seeds.rpartition("-")
    seeds = range(int(first or 1), int(last) + 1)
    began = monotonic()
    reports: list[Report] = []
    for report in run_all(seeds, given.side_by_side):
        reports.append(report)
        if given.digests:
            _say(f"seed {report.seed} {report.digest}")
        if report.broken:
            _tell(report)
            if given.until_broken:
                break
    _sum_up(reports, monotonic() - began)
    return int(any(report.broken for report in reports))


def _replay(seed: int) -> int:
    simulation = Simulation(seed)
    report = simulation.run()
    _say(simulation.trace.text())
    _say(f"\nseed {seed}: {report.virtual_s:.1f} s of its own time, trace {report.digest[:16]}")
    if report.broken:
        _tell(report)
    else:
        _say("every invariant holds")
    sys.stdout.flush()
    # What the simulated processes left unfinished must not be unwound now.
    os._exit(int(bool(report.broken)))


def _tell(report: Report) -> None:
    for broken in report.broken[:3]:
        _say(f"seed {report.seed}: {broken.invariant}: {broken.how} (at {broken.at_s:.4f} s)")
    _say(f"  replay it: make sim SEED={report.seed}")


def _sum_up(reports: Sequence[Report], took_s: float) -> None:
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update(report.counts)
    cpu_s = sorted(report.cpu_s for report in reports)
    broken = [report for report in reports if report.broken]
    said = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    _say(f"{len(reports)} seeds in {took_s:.1f} s: {said}")
    _say(f"CPU a seed: {cpu_s[len(cpu_s) // 2]:.3f} s at the median, {cpu_s[-1]:.3f} s at most")
    _say(
        json.dumps(
            {
                "core": fleet_core.__file__,
                "seeds": len(reports),
                "broken": sorted(report.seed for report in broken),
                "invariants": sorted({b.invariant for report in broken for b in report.broken}),
            }
        )
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
