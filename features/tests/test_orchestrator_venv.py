"""The orchestrators' environment has what they need, and neither Ray nor Neo4j's driver."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fleet_core.errors import ProfileError
from fleet_features.interpreters import ORCHESTRATOR_PYTHON, described_orchestrator

CI = Path(__file__).resolve().parents[2] / ".ci"
pytestmark = [pytest.mark.slow, pytest.mark.connected, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def python() -> str:
    found = subprocess.run(
        ["sh", str(CI / "python"), "3.13"], check=False, capture_output=True, text=True
    )
    if found.returncode != 0:
        pytest.skip("there is no CPython 3.13 here")
    made = subprocess.run(
        ["sh", str(CI / "orchestrator-venv")], check=False, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.mark.parametrize("module", ["ray", "neo4j"])
def test_it_does_without(module: str, python: str) -> None:
    ran = subprocess.run(
        [python, "-c", f"import {module}"], check=False, capture_output=True, text=True, cwd="/"
    )
    assert ran.returncode == 1
    assert f"No module named '{module}'" in ran.stderr


def test_it_runs_orchestrators_on_3_13(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ORCHESTRATOR_PYTHON, python)
    assert described_orchestrator().startswith("orchestrator on Python 3.13.")


def test_an_interpreter_that_has_them_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv(ORCHESTRATOR_PYTHON, str(wrapper))
    with pytest.raises(ProfileError, match="has Ray and Neo4j's driver"):
        described_orchestrator()


def test_one_that_has_no_fleet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = tmp_path / "python"
    wrapper.write_text("#!/bin/sh\necho 'No module named fleet' >&2\nexit 1\n")
    wrapper.chmod(0o755)
    monkeypatch.setenv(ORCHESTRATOR_PYTHON, str(wrapper))
    with pytest.raises(ProfileError, match="cannot run an orchestrator: No module named fleet"):
        described_orchestrator()
