"""What the README shows is what the files hold, and its commands run."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_plugins import hooks

PLUGINS = Path(__file__).resolve().parent.parent
README = (PLUGINS / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]


def sources() -> str:
    files = [*PLUGINS.rglob("*.py"), PLUGINS / "example" / "pyproject.toml"]
    return "\n".join(path.read_text() for path in files)


@pytest.mark.parametrize("block", [text for kind, text in BLOCKS if kind != "console"])
def test_every_snippet_stands_in_a_tested_file(block: str) -> None:
    assert block in sources()


def test_every_hook_is_documented_with_its_exact_signature() -> None:
    specs = [value for name, value in vars(hooks).items() if name.startswith("fleet_")]
    assert len(specs) == 2
    for spec in specs:
        (head,) = re.findall(r"^def .*?:$", inspect.getsource(spec), flags=re.MULTILINE)
        assert head in README


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_runs(command: str, tmp_path: Path) -> None:
    program, *arguments = shlex.split(command)
    path = Path(sys.executable).with_name(program)
    run = subprocess.run(
        [path, *arguments], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
