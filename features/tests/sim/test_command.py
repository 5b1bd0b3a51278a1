"""`python -m fleet_features.sim`: what it prints, and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from fleet_features.sim.mutants import MUTANTS, mutated_core


def simulated(*arguments: str, core: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fleet_features.sim", *arguments],
        env={**os.environ, "PYTHONPATH": str(core or "")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_seeds_that_hold() -> None:
    ran = simulated("--seeds", "3")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = json.loads(ran.stdout.splitlines()[-1])
    assert (said["seeds"], said["broken"]) == (3, [])


def test_a_seed_that_breaks_is_replayed_to_the_same_end(tmp_path: Path) -> None:
    mutated_core(MUTANTS[0], tmp_path)
    ran = simulated("--seeds", "6", "--until-broken", core=tmp_path)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    (seed, *_) = json.loads(lines[-1])["broken"]
    assert f"  replay it: make sim SEED={seed}" in lines
    how = next(line for line in lines if line.startswith(f"seed {seed}: "))
    again = simulated("--seed", str(seed), core=tmp_path)
    assert again.returncode == 1
    assert how in again.stdout.splitlines()
    assert "orchestrator-1.1" in again.stdout, "the trace says who did what"
    assert again.stderr == ""
