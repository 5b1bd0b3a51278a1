from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_core.errors import FleetError
from fleet_plugins.scaffold import STARTS, new_plugin

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One new plugin for every port that has a start."""
    parent = tmp_path_factory.mktemp("generated")
    for port in STARTS:
        new_plugin("two-reels", port, parent)
    return parent


def run(*command: object, **options: object) -> None:
    ended = subprocess.run(
        [str(part) for part in command],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,  # type: ignore[call-overload]  # env and cwd only
    )
    assert ended.returncode == 0, ended.stdout


@pytest.mark.slow
def test_what_is_written_installs_and_passes_the_contract_suite_of_its_port(
    generated: Path, install: Callable[..., dict[str, str]]
) -> None:
    folders = sorted(generated.iterdir())
    environment = install(*folders)
    for folder in folders:
        run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder, env=environment)


@pytest.mark.slow
def test_what_is_written_keeps_to_this_projects_own_style_and_types(generated: Path) -> None:
    config = ROOT / "pyproject.toml"
    run(BIN / "ruff", "format", "--no-cache", "--check", "--config", config, generated)
    packages = [path.parent for path in generated.glob("*/*/plugin.py")]
    assert len(packages) == len(STARTS)
    run(BIN / "ruff", "check", "--no-cache", "--config", config, *packages)
    run(BIN / "mypy", "--strict", "--cache-dir", generated / ".mypy", *packages, cwd=generated)


@pytest.mark.parametrize(
    ("name", "port", "said"),
    [
        ("Tape", "blobs", "lower-case"),
        ("../tape", "blobs", "lower-case"),
        ("tape", "blob", "did you mean blobs"),
        ("tape", "runner", "no scaffold for the port runner yet"),
    ],
)
def test_a_name_or_port_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, port: str, said: str
) -> None:
    with pytest.raises(FleetError, match=said):
        new_plugin(name, port, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "fleet-blobs-tape").mkdir()
    with pytest.raises(FleetError, match=r"fleet-blobs-tape.*already"):
        new_plugin("tape", "blobs", tmp_path)
    assert list((tmp_path / "fleet-blobs-tape").iterdir()) == []
