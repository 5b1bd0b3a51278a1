"""Which Python runs which service: the orchestrator can have one of its own, without Ray."""

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
print(platform.python_version(), "ray" if importlib.util.find_spec("ray") else "-")
"""


def orchestrator_python() -> str:
    """The interpreter of orchestrators; the variable names one of another environment."""
    return os.environ.get(ORCHESTRATOR_PYTHON) or sys.executable


def version_of(python: str) -> str:
    """Its version, e.g. `3.13.0`."""
    return _asked(python)[0]


def described_orchestrator() -> str:
    """One line on the orchestrator's interpreter.

    Raises:
        ProfileError: the variable names one that cannot run it, or that has Ray.
    """
    python = orchestrator_python()
    version, ray = _asked(python)
    if python == sys.executable:
        return f"orchestrator on the executor's own Python {version}"
    if ray == "ray":
        raise ProfileError(
            f"{python} has Ray, which an orchestrator must do without",
            "name the interpreter that .ci/orchestrator-venv prints",
            source=ORCHESTRATOR_PYTHON,
        )
    return f"orchestrator on Python {version} without Ray: {python}"


@lru_cache
def _asked(python: str) -> tuple[str, str]:
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
    version, ray = ran.stdout.split()
    return version, ray
