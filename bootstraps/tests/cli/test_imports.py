from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "aiohttp",
    "asyncio",
    "dependency_injector",
    "fleet_adapters",
    "huggingface_hub",
    "jsonschema",
    "pluggy",
    "rich",
    "sqlite3",
    "xllamacpp",
    "yaml",
)
PROGRAM = """
import sys
sys.argv = ["fleet", *{arguments!r}]
from fleet_bootstraps.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *(name for name in {heavy!r} if name in sys.modules))
"""


def loaded(*arguments: str, cwd: Path) -> set[str]:
    program = PROGRAM.format(arguments=arguments, heavy=HEAVY)
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd)
    return set(ended.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "arguments", [("--help",), ("run", "--help"), ("plugins", "new", "--help"), ("--version",)]
)
def test_help_imports_no_driver(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert loaded(*arguments, cwd=tmp_path) == set()


def test_looking_at_profiles_imports_no_adapters_driver(tmp_path: Path) -> None:
    found = loaded("profiles", "show", "embedded", "--json", cwd=tmp_path)

    assert not found & {"aiohttp", "huggingface_hub", "sqlite3", "xllamacpp", "rich"}


def test_exit_codes_are_told_in_the_help(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM.format(arguments=("run", "--help"), heavy=())]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)

    text = " ".join(ended.stdout.split())
    for code in ("0 every task is decided", "1 a task failed", "2 bad input", "3 a component"):
        assert code in text
    assert "130 interrupted" in text
