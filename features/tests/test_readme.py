"""The README's commands run, its scenario exists, and its tags are the tags."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_features.applicability import TAGS

FEATURES = Path(__file__).resolve().parent.parent
README = (FEATURES / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_runs(command: str, tmp_path: Path) -> None:
    for kind, text in BLOCKS:
        if kind == "toml":
            (tmp_path / text.splitlines()[0].removeprefix("# ")).write_text(text)
    program, *arguments = shlex.split(command)
    assert program == "python"
    run = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("FLEET_")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"[1-9]\d* passed", run.stdout), run.stdout


def test_every_tag_is_told() -> None:
    assert set(re.findall(r"^\| `@(\w+)` \|", README, re.MULTILINE)) == TAGS.keys()


def test_every_step_of_the_scenario_exists() -> None:
    written = "\n".join(p.read_text() for p in (FEATURES / "fleet_features").rglob("*.feature"))
    (scenario,) = [text for kind, text in BLOCKS if kind == "gherkin"]
    steps = [line.strip() for line in scenario.splitlines()[2:]]
    assert [step for step in steps if step.split(" ", 1)[1] not in written] == []
