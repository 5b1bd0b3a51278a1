"""Many seeds, each in a process of its own, several side by side."""

from __future__ import annotations

import json
import os
import select
import signal
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from time import monotonic
from typing import Any

from fleet_features.sim.auditor import Broken
from fleet_features.sim.run import Report, Simulation

_PATIENCE_S = 120.0
"""Real seconds that a seed may take: a loop without an await never gives the others a turn."""


def run_all(seeds: Sequence[int], side_by_side: int) -> Iterator[Report]:
    """The seeds' reports, in their order: the first to break is the same every time."""
    ended: dict[int, Report] = {}
    order = deque(seeds)
    with closing(_as_they_end(seeds, side_by_side)) as reports:
        for report in reports:
            ended[report.seed] = report
            while order and order[0] in ended:
                yield ended.pop(order.popleft())


def _as_they_end(seeds: Iterable[int], side_by_side: int) -> Generator[Report, None, None]:
    """The seeds' reports as they come.

    A child process ends without tidying up: what a simulated process left unfinished must not be
    unwound, and all that it used goes with it.
    """
    left = iter(seeds)
    running: dict[int, _Child] = {}
    try:
        while True:
            while len(running) < side_by_side:
                seed = next(left, None)
                if seed is None:
                    break
                child = _Child(seed)
                running[child.pipe] = child
            if not running:
                return
            ready, _, _ = select.select(list(running), [], [], 1.0)
            for pipe in ready:
                if running[pipe].read():
                    yield running.pop(pipe).report()
            for child in list(running.values()):
                if monotonic() - child.began > _PATIENCE_S:
                    del running[child.pipe]
                    child.kill()
                    yield child.report()
    finally:
        for child in running.values():
            child.kill()
            child.report()


class _Child:
    """A seed under way in a process of its own."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.began = monotonic()
        self.pipe, theirs = os.pipe()
        self._said = bytearray()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(self.pipe)
                report = asdict(Simulation(seed).run())
                with os.fdopen(theirs, "wb") as pipe:
                    pipe.write(json.dumps(report).encode())
                code = 0
            finally:
                os._exit(code)
        os.close(theirs)

    def read(self) -> bool:
        """Take in what it says; true once it has said all."""
        said = os.read(self.pipe, 1 << 16)
        self._said += said
        return not said

    def kill(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)

    def report(self) -> Report:
        """What it said; where it said nothing, that is what is broken."""
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        took = monotonic() - self.began
        if status or not self._said:
            how = f"the run ended with status {status} after {took:.1f} s and reported nothing"
            return Report(self.seed, (Broken("goes on", how, 0.0),), "", 0.0, took, {})
        data: dict[str, Any] = json.loads(self._said)
        broken = tuple(Broken(**each) for each in data.pop("broken"))
        return Report(broken=broken, **data)
