"""What the fleet adds to the bare model calls of a council.

A `peer-review` deliberation of three agents makes ten calls. Ours (the embedded profile with
journal, claims, saved state, packs, events and recorded decisions) is measured in turn with the
floor (`overhead_floor`: the same calls, nothing kept) against one stub server in a process of its
own. A ratio of 0.5 means that ours makes half as many councils a second.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fleet_features.bench.figures import Figure, report

_HERE = "fleet_features.bench"
_COUNTS = {1: 150, 16: 400, 64: 400}
_MANY = 10_000
_HELLO = """
import typer
app = typer.Typer(rich_markup_mode=None)
@app.command()
def hello() -> None:
    print("hello")
app()
"""


_FLEET = "from fleet_bootstraps.cli import main; main()"


def run(rounds: int) -> int:
    """Measure everything; the exit code is 1 where a bar does not hold."""
    figures = _startup(rounds)
    with stub() as url:
        bodies = json.dumps(_fleet(url, "--bodies")["bodies"])
        for streamed in (False, True):
            for open_, count in _COUNTS.items():
                load = _Load(open_, count // 2 if streamed else count, streamed)
                figures += _throughput(url, bodies, load, rounds)
    with stub(delay_ms=200) as url:
        figures += _latency(url, rounds)
    with stub(delay_ms=600_000) as url:
        held = _fleet(url, "--hold", str(_MANY), "--open", str(_MANY))
        figures.append(Figure("memory per open, 10000 open", (held["kib"],), "KiB", "lower"))
    return report("overhead", rounds, figures)


@dataclass(frozen=True, slots=True)
class _Load:
    """So many councils, so many of them open at once."""

    open: int
    count: int
    streamed: bool

    @property
    def arguments(self) -> list[str]:
        given = ["--open", str(self.open), "--count", str(self.count)]
        return [*given, "--stream"] if self.streamed else given


def _throughput(url: str, bodies: str, load: _Load, rounds: int) -> list[Figure]:
    floor: list[float] = []
    ours: dict[str, list[float]] = {"process": [], "power": []}
    peaks = []
    for _ in range(rounds):
        floor.append(_floor(url, bodies, load.arguments))
        for durability, seconds in ours.items():
            made = _fleet(url, *load.arguments, "--durability", durability)
            seconds.append(made["seconds"])
            peaks.append(made["peak_kib"] / 1024)
    called = f"{load.open} open{', streamed' if load.streamed else ''}"
    process, power = ours["process"], ours["power"]
    out = [
        Figure(f"ratio, {called}", _ratios(floor, process), "ratio", "higher", 0.5),
        Figure(f"ratio, {called}, power-safe", _ratios(floor, power), "ratio", "higher"),
        Figure(f"floor, {called}", tuple(load.count / s for s in floor), "1/s", "higher"),
        Figure(f"ours, {called}", tuple(load.count / s for s in process), "1/s", "higher"),
    ]
    if load.open == max(_COUNTS):
        out.append(Figure(f"peak memory, {called}", tuple(peaks), "MiB", "lower", 80.0))
    return out


def _ratios(floor: list[float], ours: list[float]) -> tuple[float, ...]:
    return tuple(f / o for f, o in zip(floor, ours, strict=True))


def _latency(url: str, rounds: int) -> list[Figure]:
    added, rate = [], []
    for _ in range(rounds):
        one = _fleet(url, "--open", "1", "--count", "5")
        added.append(one["seconds"] / 5 * 1000 - 800)
        many = _fleet(url, "--open", "64", "--count", "640")
        rate.append(640 / many["seconds"])
    return [
        Figure("added to one council at 200 ms a call", tuple(added), "ms", "lower", 10.0),
        Figure("councils at 200 ms a call, 64 open", tuple(rate), "1/s", "higher", 70.0),
    ]


def _startup(rounds: int) -> list[Figure]:
    opening = "import fleet_bootstraps.fleet, fleet_bootstraps.profile, fleet_adapters.openai.model"
    bare = [_timed([sys.executable, "-c", "pass"]) for _ in range(rounds)]
    imports = [_timed([sys.executable, "-c", opening]) for _ in range(rounds)]
    hello, ours = [], []
    for _ in range(rounds):
        hello.append(_timed([sys.executable, "-c", _HELLO, "--help"]))
        ours.append(_timed([sys.executable, "-c", _FLEET, "--help"]))
    seconds = tuple(i - statistics.median(bare) for i in imports)
    return [
        Figure("imports", seconds, "s", "lower", 0.5),
        Figure("fleet --help over a bare typer", _ratios(ours, hello), "ratio", "lower", 2.5),
    ]


def _timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _floor(url: str, bodies: str, given: list[str]) -> float:
    command = [sys.executable, "-m", f"{_HERE}.overhead_floor", "--base-url", url, *given]
    done = subprocess.run(command, check=True, input=bodies, capture_output=True, text=True)
    return float(json.loads(done.stdout)["seconds"])


def _fleet(url: str, *given: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"{_HERE}.overhead_fleet", "--base-url", url, *given]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    out: dict[str, Any] = json.loads(done.stdout)
    return out


@contextmanager
def stub(delay_ms: int = 0) -> Iterator[str]:
    """The URL of a stub server that serves while this is held."""
    command = [sys.executable, "-m", f"{_HERE}.stub_server", "--delay-ms", str(delay_ms)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as stub:
        assert stub.stdout is not None
        assert stub.stdin is not None
        yield f"http://127.0.0.1:{stub.stdout.readline().strip()}"
        stub.stdin.close()
