"""The fleet's own adapters, through the door."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

PYPROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())
LOAD_ALL = """
import json, sys
from fleet_plugins.registry import Registry
lines = Registry.discovered().listing(load=True)
told = {f"{line.port}.{line.name}": [line.status, line.reason, line.summary] for line in lines}
print(json.dumps({"lines": told, "modules": sorted(sys.modules)}))
"""


def test_every_built_in_adapter_loads_says_what_it_is_and_imports_no_driver() -> None:
    run = subprocess.run(
        [sys.executable, "-c", LOAD_ALL], check=True, capture_output=True, text=True
    )
    told = json.loads(run.stdout)
    for name in PYPROJECT["project"]["entry-points"]["fleet"]:
        status, reason, summary = told["lines"][name]
        assert status == "available", f"{name}: {reason}"
        assert summary, name
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    drivers = {name for one in contracts for name in one.get("forbidden_modules", ())}
    assert drivers & set(told["modules"]) == {"pluggy"}
