"""`fleet up` on real servers: what it starts, says and keeps, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import anyio
import anyio.to_thread
import pytest

from fleet_adapters.llamacpp.default_model import ensure_default_model
from fleet_adapters.scripted.script import parse_script
from fleet_adapters.scripted.server import serve_script

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.connected,
    pytest.mark.slow,
    pytest.mark.usefixtures("servers"),
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at /proc"),
]

Process = Callable[..., subprocess.Popen[str]]
Plan = Callable[..., str]
ANSWERS = (
    {"text": "an answer"},
    {"step": "critique", "prefer": ["answer"]},
    {"step": "judge", "prefer": ["answer"]},
)
ANYWHERE = (
    *("--port", "nats=0", "--port", "valkey=0"),
    *("--port", "executor=0", "--port", "context=0", "--port", "orchestrator=0"),
    *("--port", "monitor=0"),
)
PARTS = ["nats", "valkey", "neo4j", "executor", "context", "orchestrator", "monitor"]
IN_A_FILE = ("--set", "graph.use=sqlite")  # where the graph does not matter: no JVM to wait for
START_S = 100.0
END_S = 40.0  # more than a service may take that lost its bus while it ended


@asynccontextmanager
async def model(graph: Sequence[str] = ("--port", "neo4j=0")) -> AsyncIterator[list[str]]:
    """A model's server, and the options that bind it, a runner without Ray, and the graph."""
    async with serve_script(parse_script({"answers": list(ANSWERS)})) as server:
        sets = [f"model.base_url={server.base_url}", "runner.use=local"]  # it serves one model
        yield [*(word for entry in sets for word in ("--set", entry)), *graph]


async def started(process: Process, *options: str) -> tuple[subprocess.Popen[str], Any]:
    """`fleet up`, and what it says once all of it is up."""
    running = process("up", "--json", *ANYWHERE, *options)
    assert running.stdout is not None
    with anyio.fail_after(START_S):
        said = await anyio.to_thread.run_sync(running.stdout.readline)
    assert said, (await ended(running))[2]
    return running, json.loads(said)


async def ended(running: subprocess.Popen[str], within_s: float = END_S) -> tuple[int, str, str]:
    out, err = await anyio.to_thread.run_sync(running.communicate, None, within_s)
    return running.returncode, out, err


def tree(pid: int) -> set[tuple[int, str]]:
    """Every descendant of a process, with the time of its start, so that none is mistaken."""
    parents: dict[int, list[tuple[int, str]]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append((int(stat.parent.name), fields[19]))
    found: set[tuple[int, str]] = set()
    left = [pid]
    while left:
        children = parents.get(left.pop(), [])
        found.update(children)
        left += [child for child, _ in children]
    return found


def alive(processes: set[tuple[int, str]]) -> list[str]:
    """Those that still run, by their command lines."""
    found = []
    for pid, began in processes:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if fields[19] == began and fields[0] != "Z":
                found.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


async def none_left(processes: set[tuple[int, str]]) -> None:
    at = time.monotonic()
    while left := alive(processes):
        assert time.monotonic() - at < END_S, left
        await anyio.sleep(0.05)


def port(address: str) -> int:
    return urlsplit(address if "://" in address else f"tcp://{address}").port or 0


def is_free(number: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True


def with_sets(sets: Sequence[str]) -> list[str]:
    return [word for entry in sets for word in ("--set", entry)]


async def test_a_plan_is_decided_and_remembered_after_a_restart(
    process: Process, plan: Plan, home: Path
) -> None:
    async with model() as options:
        running, told = await started(process, *options)
        assert list(told["parts"]) == PARTS
        assert told["pid"] == running.pid
        assert told["home"] == str(home)
        below = tree(running.pid)
        assert {part["pid"] for part in told["parts"].values()} <= {pid for pid, _ in below}
        sets = with_sets(told["set"])

        code, out, err = await ended(process("submit", plan(), "--json", *sets))
        assert code == 0, err
        identity = json.loads(out)["plan_id"]
        code, out, err = await ended(process("watch", identity, "--json", *sets))
        assert code == 0, err
        assert json.loads(out)["outcome"] == "decided"
        await shown_by_the_monitor(told["parts"]["monitor"]["address"], identity)

        running.send_signal(signal.SIGTERM)
        code, _, err = await ended(running)
        assert code == 0, err
        assert alive(below) == [], "stopping waits for everything"
        assert [a for a in told["parts"].values() if not is_free(port(a["address"]))] == []

        running, told = await started(process, *options)
        watching = process("watch", identity, "--json", *with_sets(told["set"]))
        code, out, err = await ended(watching)
        assert code == 0, err
        assert json.loads(out)["outcome"] == "decided"
        running.send_signal(signal.SIGINT)
        assert (await ended(running))[0] == 0


async def shown_by_the_monitor(address: str, plan_id: str) -> None:
    """It shows the plan decided, and every part that it can ask ready, with true figures."""
    async with aiohttp.ClientSession(f"http://{address}") as http:
        async with http.get("/readyz") as response:
            assert response.status == 200
        async with http.get("/metrics") as response:
            assert "fleet_service{" in await response.text()
        async with http.get(f"/api/plans/{plan_id}") as response:
            shown = await response.json()
        async with http.get("/api/overview") as response:
            parts = {(p["kind"], p["name"]): p for p in (await response.json())["parts"]}
        async with http.get("/api/graph", params={"story": shown["story"]}) as response:
            kept = [node["kind"] for node in (await response.json())["nodes"]]
    assert shown["state"] == "decided"
    assert "Decision" in kept
    assert [key for key, part in parts.items() if part["state"] == "not ready"] == []
    for service in ("orchestrator", "executor", "context"):
        assert parts["service", service]["state"] == "ready"
    assert parts["runner", "runner"]["figures"]["runner"] == "local"
    assert parts["model", "default"]["state"] == "ready"
    assert parts["stream", "ORCHESTRATOR_EVENTS"]["figures"]["messages"] > 0
    assert "0 behind" in parts["stream", "PLANNING_EVENTS"]["figures"]["plans"]


@pytest.fixture
def servers(home: Path, libraries: Path) -> None:
    """Neo4j's libraries where `fleet up` looks for them."""
    (home / "servers").mkdir(parents=True)
    (home / "servers" / libraries.name).symlink_to(libraries)


async def test_the_graph_is_kept_and_opened_with_the_words_it_says(
    process: Process, plan: Plan, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with model() as options:
        running, told = await started(process, *options)
        below = tree(running.pid)
        code, out, err = await ended(process("submit", plan(), "--json", *with_sets(told["set"])))
        assert code == 0, err
        identity = json.loads(out)["plan_id"]
        watching = process("watch", identity, "--json", *with_sets(told["set"]))
        code, out, err = await ended(watching)
        assert code == 0, err
        assert json.loads(out)["outcome"] == "decided"
        running.kill()  # and the graph is there all the same
        await ended(running)
        await none_left(below)

        running = process("up", *ANYWHERE, *options)
        said = await anext_with(_lines(running), "story list")
        variable, *words = shlex.split(said)
        assert words[0] == "fleet"
        name, _, file = variable.partition("=")
        assert (name, file) == (
            "FLEET_STACK_NEO4J_PASSWORD_FILE",
            str(home / "stack/neo4j/password"),
        )
        monkeypatch.setenv(name, file)
        code, out, err = await ended(process(*words[1:]))
        assert (code, out.split()) == (0, ["s"]), err
        running.send_signal(signal.SIGTERM)
        assert (await ended(running))[0] == 0


async def test_without_a_graph_server_to_be_had_it_says_how_to_do_without(
    process: Process, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (next((home / "servers").iterdir())).unlink()
    failing = tmp_path / "mvn"
    failing.write_text("#!/bin/sh\necho no route to the repository\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    async with model() as options:
        code, _, err = await ended(process("up", *ANYWHERE, *options))
        assert code == 3
        assert "neo4j did not start: Maven could not fetch Neo4j: no route to the repository" in err
        assert "set graph.uri to a Neo4j of your own" in err
        assert "--set graph.use=sqlite" in err
        assert "Traceback" not in err
    async with model(IN_A_FILE) as options:
        running, told = await started(process, *options)
        assert "neo4j" not in told["parts"]
        running.send_signal(signal.SIGTERM)
        assert (await ended(running))[0] == 0


async def test_nothing_outlives_a_killed_one(process: Process, home: Path) -> None:
    async with model() as options:
        running, told = await started(process, *options)
        below = tree(running.pid)
        assert len(below) >= len(told["parts"])
        running.kill()
        await ended(running)
        await none_left(below)
        assert [a for a in told["parts"].values() if not is_free(port(a["address"]))] == []

        again, _ = await started(process, *options)  # and nothing is in its way
        again.send_signal(signal.SIGTERM)
        assert (await ended(again))[0] == 0


@pytest.mark.parametrize("part", ["nats", "neo4j", "executor", "context"])
async def test_a_part_that_dies_is_shown_and_ends_the_whole(
    part: str, process: Process, home: Path
) -> None:
    async with model(*() if part == "neo4j" else (IN_A_FILE,)) as options:
        running, told = await started(process, *options)
        below = tree(running.pid)
        log = Path(told["parts"][part]["log"])
        log.write_text(f"{log.read_text()}its last words\n")  # noqa: ASYNC240 -- a small file
        os.kill(told["parts"][part]["pid"], signal.SIGKILL)
        code, _, err = await ended(running)
        assert code == 3
        assert f"{part}: its last words" in err
        assert f"error: {part}, process {told['parts'][part]['pid']}, has ended" in err
        assert str(log) in err
        assert "Traceback" not in err
        assert alive(below) == []


async def test_a_second_one_is_told_of_the_first(process: Process, home: Path) -> None:
    async with model(IN_A_FILE) as options:
        running, _ = await started(process, *options)
        code, _, err = await ended(process("up", *ANYWHERE, *options))
        assert code == 3
        assert f"a fleet is up in {home} already, as process {running.pid}" in err
        running.send_signal(signal.SIGTERM)
        assert (await ended(running))[0] == 0


async def test_a_signal_while_it_starts_ends_what_has_started(process: Process, home: Path) -> None:
    async with model(IN_A_FILE) as options:
        running = process("up", *ANYWHERE, *options)
        assert running.stderr is not None
        while "executor: starting" not in await anyio.to_thread.run_sync(running.stderr.readline):
            assert running.poll() is None
        below = tree(running.pid)
        running.send_signal(signal.SIGINT)
        code, _, err = await ended(running)
        assert code == 0, err
        assert "all of it has ended" in err
        assert alive(below | tree(running.pid)) == []


async def test_a_service_that_does_not_start_says_why(process: Process, home: Path) -> None:
    async with model(IN_A_FILE) as options:
        code, _, err = await ended(
            process("up", *ANYWHERE, *options, "--set", "services.executor.tls_cert=no.pem")
        )
        assert code == 2
        assert "the executor refuses to start" in err
        assert "tls_key" in err


async def test_a_taken_port_is_named_before_anything_starts(process: Process, home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        async with model(IN_A_FILE) as options:
            code, _, err = await ended(
                process("up", *ANYWHERE, *options, "--port", f"valkey={number}")
            )
    assert code == 3
    assert f"port {number}, for valkey, is taken by another program" in err
    assert "--port valkey=0" in err
    assert "nats: starting" not in err


@pytest.fixture
def models(home: Path) -> None:
    """The default model where `fleet up` looks for it, fetched once for all runs."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    named = os.environ.get("FLEET_TEST_MODELS")
    kept = Path(named) if named else cache / "swe-ai-fleet" / "models"
    found = asyncio.run(ensure_default_model(kept))
    (home / "models").mkdir(parents=True)
    (home / "models" / found.name).symlink_to(found)


SMALL = (
    *("--set", "councils.DEV.size=1", "--set", "councils.DEV.max_tokens=48"),
    *("--set", "deliberation.protocol=vote", "--set", "deliberation.judge.enabled=no"),
)


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("models")
async def test_the_whole_fleet_decides_with_ray_and_a_real_model(
    process: Process, plan: Plan, home: Path
) -> None:
    options = [*SMALL, "--set", "runner.actors=1", "--port", "model=0", "--port", "neo4j=0"]
    running, told = await started(process, *options)
    servers = ["nats", "valkey", "neo4j", "model", "ray"]
    services = ["executor", "context", "orchestrator", "monitor"]
    assert list(told["parts"]) == servers + services
    below = tree(running.pid)
    sets = with_sets(told["set"])
    code, out, err = await ended(process("submit", plan(), "--json", *sets))
    assert code == 0, err
    watching = process("watch", json.loads(out)["plan_id"], "--json", *sets)
    code, out, err = await ended(watching, within_s=240)
    assert code == 0, err
    report = json.loads(out)
    assert report["outcome"] == "decided"
    assert report["tasks"][0]["tokens"] > 0

    below |= tree(running.pid)  # workers begin when they are needed
    running.kill()
    await ended(running)
    await none_left(below)


async def test_a_service_that_cannot_work_is_shown_and_so_is_its_recovery(
    process: Process, home: Path
) -> None:
    async with model(IN_A_FILE) as options:
        running = process("up", *ANYWHERE, *options)
        lines = _lines(running)
        nats = int((await anext_with(lines, "nats: ready")).rpartition("process ")[2].rstrip(")\n"))
        await anext_with(lines, "monitor: ready")  # the last of them
        os.kill(nats, signal.SIGSTOP)
        try:
            await anext_with(lines, "orchestrator: not ready: its bus or its state store is away")
        finally:
            os.kill(nats, signal.SIGCONT)
        await anext_with(lines, "orchestrator: ready")
        running.send_signal(signal.SIGHUP)  # as a terminal that is closed
        await anext_with(lines, "ending all of it")
        assert (await ended(running))[0] == 0


async def _lines(running: subprocess.Popen[str]) -> AsyncIterator[str]:
    assert running.stderr is not None
    while line := await anyio.to_thread.run_sync(running.stderr.readline):
        yield line


async def anext_with(lines: AsyncIterator[str], text: str) -> str:
    """The next line that holds a text."""
    with anyio.fail_after(END_S):
        async for line in lines:
            if text in line:
                return line
    raise AssertionError(f"it never said {text!r}")
