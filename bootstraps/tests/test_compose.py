"""The compose file: there is no engine here, so its parts are held to the servers themselves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet_adapters.nats.settings import NatsSettings
from fleet_adapters.neo4j.plugin import Neo4jSettings
from fleet_adapters.valkey.plugin import ValkeySettings
from fleet_bootstraps.stack.valkey import valkey_server

pytestmark = pytest.mark.anyio
DEPLOY = Path(__file__).parents[2] / "deploy"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())[
    "services"
]


def test_each_server_is_where_the_profiles_look_for_it_and_nowhere_else() -> None:
    looked_for = {
        "nats": NatsSettings().servers[0],
        "valkey": ValkeySettings().url,
        "neo4j": Neo4jSettings().uri,
    }
    assert set(SERVICES) == set(looked_for)
    for name, url in looked_for.items():
        (published,) = SERVICES[name]["ports"]
        host, outside, inside = published.split(":")
        assert host == "127.0.0.1"
        assert f"//127.0.0.1:{outside}" in url
        assert outside == inside


def test_neo4j_is_the_one_that_the_tests_run() -> None:
    (version,) = re.findall(
        r"<version>(5[.0-9]+)</version>", (DEPLOY / "neo4j/pom.xml").read_text()
    )
    assert SERVICES["neo4j"]["image"] == f"neo4j:{version}-community"


async def test_valkey_takes_what_it_is_told(tmp_path: Path) -> None:
    program, *told = SERVICES["valkey"]["command"]
    settings = {
        name.removeprefix("--"): value for name, value in zip(*[iter(told)] * 2, strict=True)
    }
    assert program == "valkey-server"
    assert settings["appendfsync"] == "always"
    async with valkey_server(tmp_path, settings=settings) as url:
        assert url


def test_nats_takes_its_configuration() -> None:
    beside = os.pathsep.join((sysconfig.get_path("scripts"), os.environ["PATH"]))
    program = shutil.which("nats-server", path=beside)
    assert program
    config = DEPLOY / "nats/nats.conf"
    ran = subprocess.run(
        [program, "-t", "-c", config], capture_output=True, text=True, timeout=30, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "port: 4222" in config.read_text()
