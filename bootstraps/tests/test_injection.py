from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import {first}
import fleet_bootstraps.fleet
print("yaml" in sys.modules, "pydantic" in sys.modules)
import yaml
print(yaml.safe_load("a: 1"))
"""


def said(first: str) -> list[str]:
    program = PROGRAM.format(first=first)
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return ended.stdout.splitlines()


def test_opening_a_fleet_imports_nothing_for_providers_it_does_not_use() -> None:
    assert said("sys") == ["False False", "{'a': 1}"]


def test_what_is_imported_already_stays() -> None:
    assert said("yaml") == ["True False", "{'a': 1}"]
