"""Fixtures for the tests of the bootstraps."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fleet_bootstraps.cli import app
from fleet_bootstraps.stack.neo4j_libraries import cached_servers, ensure_neo4j
from fleet_core.errors import PluginError, Unavailable


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own FLEET_HOME, and an environment without anything of the fleet's but that."""
    for name in [n for n in os.environ if n.startswith("FLEET_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("FLEET_HOME", str(folder))
    return folder


@dataclass(frozen=True)
class Ran:
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Fleet = Callable[..., Ran]


@pytest.fixture
def fleet(home: Path) -> Fleet:
    """Runs a command line in this process."""

    def run(*arguments: str) -> Ran:
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


GOOD: tuple[Mapping[str, Any], ...] = (
    {"step": "propose", "agent": 1, "text": "first"},
    {"step": "propose", "agent": 2, "text": "second, with a MARK"},
    {"step": "propose", "agent": 3, "text": "third"},
    {"step": "revise", "agent": 1, "text": "first, revised"},
    {"step": "revise", "agent": 2, "text": "second, with a MARK, revised"},
    {"step": "revise", "agent": 3, "text": "third, revised"},
    {"step": "critique", "prefer": ["MARK"]},
    {"step": "judge", "prefer": ["MARK"]},
)


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """Writes a script of answers, and returns the options that bind it.

    Without answers: a council whose second agent wins.
    """
    count = 0

    def written(*answers: Mapping[str, Any]) -> tuple[str, ...]:
        nonlocal count
        count += 1
        path = tmp_path / f"script-{count}.json"
        path.write_text(json.dumps({"answers": list(answers or GOOD)}))
        return ("--set", "model.use=scripted", "--set", f"model.script={path}")

    return written


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., str]:
    """Writes a plan of the given tasks; one DEV task `a` where none is given."""

    def written(*tasks: Mapping[str, Any], **more: Any) -> str:
        path = tmp_path / "plan.json"
        found = tasks or ({"id": "a", "title": "Do a", "role": "DEV"},)
        path.write_text(json.dumps({"story": "s", "title": "The plan", "tasks": found, **more}))
        return str(path)

    return written


@pytest.fixture
def process(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `fleet` as a process of its own, in a session of its own; ends what is left."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from fleet_bootstraps.cli import main; main()"]
        found = subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "FLEET_HOME": str(home)},
            start_new_session=True,
        )
        started.append(found)
        return found

    yield start
    for one in started:
        one.kill()
        one.communicate()


@pytest.fixture(scope="session")
def libraries() -> Path:
    """Neo4j's, fetched once for all runs."""
    try:
        return asyncio.run(ensure_neo4j(cached_servers()))
    except (PluginError, Unavailable) as error:
        pytest.skip(f"the Neo4j suite did not run: {error}; then run: make test ARGS='-k neo4j'")
