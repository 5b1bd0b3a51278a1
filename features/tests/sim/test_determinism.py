"""A seed gives the same run, byte for byte, whatever the process it runs in."""

from __future__ import annotations

import os
import subprocess
import sys


def digests(hash_seed: str) -> str:
    command = [sys.executable, "-m", "fleet_features.sim", "--seeds", "1-6", "--digests"]
    ran = subprocess.run(
        [*command, "--side-by-side", "1"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    lines = [line for line in ran.stdout.splitlines() if line.startswith("seed ")]
    assert len(lines) >= 6, ran.stdout + ran.stderr
    return "\n".join(lines)


def test_a_seed_is_the_same_run_again_under_other_hashes() -> None:
    assert digests("0") == digests("0") == digests("4711")
