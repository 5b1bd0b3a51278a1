"""Every command that the project's README tells its readers is run, but `make test` itself."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```console\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
MODELS = Path(os.environ.get("FLEET_TEST_MODELS", "~/.cache/swe-ai-fleet/models")).expanduser()


@pytest.mark.slow
@pytest.mark.connected
@pytest.mark.timeout(600)
def test_every_command_runs(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FLEET_")}
    home = tmp_path / "home"
    home.mkdir()
    MODELS.mkdir(parents=True, exist_ok=True)
    (home / "models").symlink_to(MODELS)  # fetched once for all tests
    environ["FLEET_HOME"] = str(home)
    assert len(COMMANDS) > 10
    for command in COMMANDS:
        made = " new " in command
        line = command.replace(".venv/bin/", f"{ROOT}/.venv/bin/")
        ran = subprocess.run(
            line.split(),
            cwd=tmp_path if made else ROOT,
            env=environ,
            check=False,
            capture_output=True,
            text=True,
        )

        assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
        if command == ".venv/bin/fleet run first":
            assert "decided already" in ran.stdout + ran.stderr
        assert (tmp_path / "fleet-blobs-tape").is_dir() or not made


def test_every_folder_and_built_in_plan_is_named() -> None:
    for folder in ("core", "plugins", "adapters", "bootstraps", "features", "deploy"):
        assert f"({folder}/README.md)" in README
    cases = ROOT / "bootstraps/fleet_bootstraps/plans/cases"
    for plan in cases.glob("*.yaml"):
        assert f"`{plan.stem}`" in README
