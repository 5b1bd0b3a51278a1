"""What the README says of settings is what the dataclasses say, and its commands run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.layers import builtin_names
from fleet_bootstraps.reference import BEGIN, END, reference
from fleet_plugins.registry import Registry

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]


def test_the_reference_of_settings_is_that_of_the_dataclasses() -> None:
    written = README.split(BEGIN)[1].split(END)[0].strip()

    assert written == reference(Registry.discovered()).strip(), (
        "put in what `python -m fleet_bootstraps.reference` prints"
    )


def test_every_setting_has_a_meaning() -> None:
    text = reference(Registry.discovered())
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", text, re.MULTILINE)

    assert len(rows) > 60
    assert [name for name, meaning in rows if not meaning] == []


def test_every_exit_code_and_profile_is_told() -> None:
    for code in Exit:
        assert f"| {int(code)} |" in README
    for name in builtin_names():
        assert f"| `{name}` |" in README


def test_every_command_of_the_readme_runs(tmp_path: Path) -> None:
    for kind, text in BLOCKS:
        if kind in {"toml", "yaml"}:
            name = text.splitlines()[0].removeprefix("# ")
            (tmp_path / name).write_text(text)
    environ = {n: v for n, v in os.environ.items() if not n.startswith("FLEET_")}
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        ran = subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            cwd=tmp_path,
            env=environ,
            check=False,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
    assert (tmp_path / ".fleet" / "runs").is_dir()


@pytest.mark.parametrize("command", ["run", "cancel", "show", "runs", "councils", "context"])
def test_every_command_is_shown(command: str) -> None:
    assert any(line.startswith(f"fleet {command} ") for line in COMMANDS)
