"""The real servers of a bench, and processes beside it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_bootstraps.stack.nats import nats_server
from fleet_bootstraps.stack.neo4j import neo4j_server
from fleet_bootstraps.stack.neo4j_libraries import cached_servers, ensure_neo4j
from fleet_bootstraps.stack.ray import ray_head
from fleet_bootstraps.stack.valkey import valkey_server
from fleet_features.bench.overhead import stub

PROMPT = "You are a developer. " * 60
_TOKEN = "bench-" + "0" * 32
_GRAPH = "FLEET_BENCH_NEO4J_PASSWORD"
_RAY = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": _TOKEN,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else Ray calls this machine by another address
}
_FLEET = "from fleet_bootstraps.cli import main; main()"


@dataclass(frozen=True, slots=True)
class Servers:
    """Where each of them is: URLs, and Ray's `host:port`."""

    nats: str
    valkey: str
    ray: str
    model: str


async def real_servers(stack: AsyncExitStack, folder: Path) -> Servers:
    """NATS, Valkey and a Ray head, and the stub in place of the model, until the stack is left."""
    bus = await stack.enter_async_context(nats_server(folder / "nats"))
    keeping = await stack.enter_async_context(valkey_server(folder / "valkey"))
    os.environ |= _RAY
    head = await stack.enter_async_context(ray_head(folder / "ray", _TOKEN))
    return Servers(bus, keeping, head.address, stack.enter_context(stub()))


async def graph(stack: AsyncExitStack, folder: Path) -> dict[str, str]:
    """A Neo4j until the stack is left; what is laid over the profile `fleet` to reach it."""
    libraries = await ensure_neo4j(cached_servers())
    server = await stack.enter_async_context(neo4j_server(folder / "neo4j", libraries))
    os.environ[_GRAPH] = server.password
    return {"graph.uri": server.uri, "graph.password": _GRAPH}


def settings(servers: Servers, *, streamed: bool) -> dict[str, str]:
    """What is laid over the profile `fleet`: the servers, and one call for each task.

    Args:
        servers: that are up.
        streamed: how the model is asked: as the floor does, or the two make different calls.
    """
    return {
        "bus.servers": f'["{servers.nats}"]',
        "tokens.servers": f'["{servers.nats}"]',
        "state.url": servers.valkey,
        "blobs.url": servers.valkey,
        "model.base_url": f"{servers.model}/v1",
        "model.model": "stub",
        "model.stream": "true" if streamed else "false",
        "runner.address": servers.ray,
        "deliberation.protocol": "vote",
        "councils.DEV.size": "1",
    }


def asked(*, streamed: bool) -> dict[str, Any]:
    """The body that a floor asks the model with."""
    messages = [{"role": "user", "content": PROMPT}]
    body: dict[str, Any] = {"model": "stub", "messages": messages, "max_tokens": 512}
    if streamed:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


@contextmanager
def served(service: str, sets: Mapping[str, str], folder: Path) -> Iterator[None]:
    """A service of the profile `fleet` in a process of its own; its log lies in the folder.

    Args:
        service: its name.
        sets: see `settings`.
        folder: holds FLEET_HOME too, which services of one fleet share.
    """
    command = [sys.executable, "-c", _FLEET, "--home", str(folder / "home")]
    command += ["serve", service, "--profile", "fleet", "--json"]
    for key, value in sets.items():
        command += ["--set", f"{key}={value}"]
    with running(command, folder / f"{service}.log"):
        yield


@contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    """A process that has said something on its standard output: that it is up."""
    with ExitStack() as closing:
        errors = closing.enter_context(log.open("wb"))
        process = closing.enter_context(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        )
        assert process.stdin is not None
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError(f"{log.stem} did not start: {log.read_text()[-2000:]}")
        try:
            yield
        finally:
            process.stdin.close()
            process.terminate()
            process.wait(30)


def free_address() -> str:
    """An address of this machine that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"
