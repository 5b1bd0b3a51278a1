"""Which Python runs which service: the orchestrator's own can do without what others drive."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache

from fleet_core.errors import ProfileError

ORCHESTRATOR_PYTHON = "FLEET_ORCHESTRATOR_PYTHON"
_ASKED = """
import importlib.util, platform
import fleet_bootstraps.services.orchestrator
print(platform.python_version(), *(n for n in ("ray", "neo4j") if importlib.util.find_spec(n)))
"""
_CALLED = {"ray": "Ray", "neo4j": "Neo4j's driver"}


def orchestrator_python() -> str:
    """The interpreter of orchestrators; the variable names one of another environment."""
    return os.environ.get(ORCHESTRATOR_PYTHON) or sys.executable


def version_of(python: str) -> str:
    """Its version, e.g. `3.13.0`."""
    return _asked(python)[0]


def described_orchestrator() -> str:
    """One line on the orchestrator's interpreter.

    Raises:
        ProfileError: the variable names one that cannot run it, or that has Ray or
            Neo4j's driver.
    """
    python = orchestrator_python()
    version, others = _asked(python)
    if python == sys.executable:
        return f"orchestrator on the executor's own Python {version}"
    if others:
        has = " and ".join(_CALLED[name] for name in others)
        raise ProfileError(
            f"{python} has {has}, which an orchestrator must do without",
            "name the interpreter that .ci/orchestrator-venv prints",
            source=ORCHESTRATOR_PYTHON,
        )
    return f"orchestrator on Python {version} without Ray and Neo4j's driver: {python}"


@lru_cache
def _asked(python: str) -> tuple[str, tuple[str, ...]]:
    ran = subprocess.run(
        [python, "-c", _ASKED], check=False, capture_output=True, text=True, timeout=60
    )
    if ran.returncode != 0:
        said = ran.stderr.strip().splitlines()[-1:]
        raise ProfileError(
            f"{python} cannot run an orchestrator: {' '.join(said)}",
            "install swe-ai-fleet[orchestrator] there",
            source=ORCHESTRATOR_PYTHON,
        )
    version, *others = ran.stdout.split()
    return version, tuple(others)
