"""What the tests of this folder share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Install = Callable[..., dict[str, str]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Builds distributions and installs them into a folder of their own, without the network.

    Returns the environment of a process that has them beside the fleet.
    """

    def installed(*projects: Path) -> dict[str, str]:
        target = tmp_path_factory.mktemp("installed")
        uv = Path(sys.executable).with_name("uv")
        command = [str(uv), "pip", "install", "--quiet", "--offline", "--no-deps"]
        command += ["--no-build-isolation", "--python", sys.executable, "--target", str(target)]
        subprocess.run([*command, *map(str, projects)], check=True)
        return {**os.environ, "PYTHONPATH": str(target)}

    return installed
