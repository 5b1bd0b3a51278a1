"""The example distribution, installed as a stranger's would be and run by its own tests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parent.parent / "example"
LIST = """
import json, sys
from dataclasses import asdict
from fleet_plugins.registry import Registry
lines = [asdict(line) for line in Registry.discovered().listing()]
print(json.dumps({"lines": lines, "imported": "fleet_blobs_folder" in sys.modules}))
"""


@pytest.fixture(scope="module")
def environment(install: Callable[..., dict[str, str]]) -> dict[str, str]:
    """The environment of a process that has the example installed beside the fleet."""
    return install(EXAMPLE)


def test_the_example_is_listed_by_its_entry_point_without_being_imported(
    environment: dict[str, str],
) -> None:
    run = subprocess.run(
        [sys.executable, "-c", LIST], env=environment, check=True, capture_output=True, text=True
    )
    told = json.loads(run.stdout)
    (line,) = (line for line in told["lines"] if line["name"] == "folder")
    assert line["port"] == "blobs"
    assert (line["distribution"], line["version"]) == ("fleet-blobs-folder", "0.1.0")
    assert line["status"] == "available"
    assert told["imported"] is False


def test_the_example_passes_its_own_tests_contract_suite_included(
    environment: dict[str, str],
) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", str(EXAMPLE)]
    run = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "TestContract" in run.stdout
