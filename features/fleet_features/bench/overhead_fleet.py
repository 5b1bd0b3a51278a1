"""Ours: the same ten calls as a `peer-review` deliberation of the embedded profile.

Journal, claims, saved state, context pack, events and the recorded decision are all on. With
`--bodies` it prints the request bodies of one deliberation, for the floor to send the same.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from fleet_bootstraps.councils import protocol_spec
from fleet_bootstraps.fleet import Fleet, open_fleet, system_clock
from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import bound
from fleet_core.domain.deliberation import Phase, deliberation_id
from fleet_core.domain.events import CONTEXT_UPDATED
from fleet_core.domain.inputs import Start
from fleet_core.domain.lease import Lease
from fleet_core.domain.plan import Plan, Task, plan_id
from fleet_core.domain.plan_run import Approved, reduce_plan
from fleet_core.errors import ProfileError
from fleet_core.ports.event_bus import Subscription
from fleet_core.ports.state_store import Put
from fleet_core.usecases import keys
from fleet_core.usecases.documents import dump_object, load
from fleet_plugins.api import FactoryContext
from fleet_plugins.registry import Registry

TASK = Task(
    "login",
    "Add a login button",
    "DEV",
    "The start page has no way to sign in.",
    ("The button stands at the top right.", "It is reachable by keyboard.", "It says Sign in."),
    ("No new dependency.",),
)


def _no_secret(name: str) -> str:
    raise ProfileError(f"the bench has no secret {name}")


async def _run(given: argparse.Namespace) -> dict[str, object]:
    # A host has some 28,000 ports towards one server: of very many calls, most wait for a seat.
    calls = min(given.open * 3, 1024)
    sets = [
        "model.use=openai",
        f"model.base_url={given.base_url}/v1",
        "model.model=stub",
        f"model.stream={'true' if given.stream else 'false'}",
        f"model.pool={max(256, calls)}",
        f"runner.slots={max(64, calls)}",
        "lease.tokens=1000000",
        *(f"{port}.durability={given.durability}" for port in ("bus", "state", "blobs", "graph")),
    ]
    profile = bound("embedded", layered("embedded", {}, sets), Registry.discovered())
    with tempfile.TemporaryDirectory(prefix="fleet-bench-") as folder:
        context = FactoryContext(system_clock, _no_secret, Path(folder))
        async with open_fleet(profile, context) as fleet:
            starts = await _starts(fleet, (given.hold or given.count) + 1)
            if given.hold:
                return {"kib": await _held_open(fleet, starts)}
            await _decide(fleet, starts[:1], 1)
            if given.bodies:
                return {"bodies": await _bodies(fleet, starts[0])}
            before = time.process_time()
            seconds = await _decide(fleet, starts[1:], given.open)
            cpu = time.process_time() - before
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_kib": _status_kib("VmHWM")}


async def _starts(fleet: Fleet, count: int) -> list[Start]:
    """Deliberations of one task each, in one saved plan that has been approved."""
    plan = Plan("bench", "A page to sign in", (TASK,))
    identity = plan_id(plan)
    now = system_clock()
    councils = {"DEV": (await fleet.councils.all())["DEV"]}
    protocol = protocol_spec(fleet.profile)
    terms = fleet.profile.settings.terms()
    run = reduce_plan(None, Approved(now, identity, plan, 1, councils, protocol, terms)).run
    await fleet.state.commit([Put(keys.plan(identity), dump_object(run))])
    lease = Lease(terms.tokens, now + terms.ms)
    return [
        Start(now, identity, plan.story, attempt, TASK, councils["DEV"], protocol, lease)
        for attempt in range(1, count + 1)
    ]


async def _decide(fleet: Fleet, starts: list[Start], open_: int) -> float:
    """Seconds from the first start until every decision is recorded, `open_` at a time."""
    waiting: dict[str, asyncio.Future[None]] = {}
    seats = asyncio.Semaphore(open_)
    loop = asyncio.get_running_loop()

    async def listen() -> None:
        watching = Subscription("bench", (CONTEXT_UPDATED,), from_start=False, max_in_flight=4096)
        async with fleet.bus.subscribe(watching) as deliveries:
            ready.set()
            async for delivery in deliveries:
                waiting.pop(str(delivery.event.data["deliberation_id"])).set_result(None)
                await delivery.ack()

    async def one(start: Start) -> None:
        async with seats:
            state = await fleet.deliberate.start(start)
            done = waiting[state.deliberation_id] = loop.create_future()
            await done

    ready = asyncio.Event()
    listening = asyncio.create_task(listen())
    await ready.wait()
    started = time.perf_counter()
    await asyncio.gather(*(one(start) for start in starts))
    seconds = time.perf_counter() - started
    listening.cancel()
    return seconds


async def _bodies(fleet: Fleet, start: Start) -> list[dict[str, object]]:
    identity = deliberation_id(
        start.plan_id, start.task, start.council, start.protocol, start.attempt
    )
    state = await fleet.deliberate.get(identity)
    assert state.phase is Phase.DECIDED, state.failure
    bodies: list[dict[str, object]] = []
    for document in await fleet.state.scan(keys.jobs_prefix(identity)):
        for job in load(document):
            request = job["work"]["request"]
            schema = {"name": "answer", "strict": True, "schema": request["schema"]}
            bodies.append(
                {
                    "model": "stub",
                    "messages": [
                        {"role": m["speaker"], "content": m["text"]} for m in request["messages"]
                    ],
                    "temperature": 0.7,
                    "max_tokens": 512,
                    "response_format": {"type": "json_schema", "json_schema": schema},
                }
            )
    return bodies


async def _held_open(fleet: Fleet, starts: list[Start]) -> float:
    """KiB of resident memory for each deliberation that waits for its proposals."""
    before = _status_kib("VmRSS")
    states = [await fleet.deliberate.start(start) for start in starts]
    while len(await fleet.executor.active()) < 3 * len(starts):  # noqa: ASYNC110 -- no event says it
        await asyncio.sleep(0.1)
    grown = _status_kib("VmRSS") - before
    for state in states:
        await fleet.deliberate.cancel(state.deliberation_id, "measured")
    return grown / len(starts)


def _status_kib(name: str) -> int:
    """A line of this process's status; VmHWM starts anew with exec, unlike ru_maxrss."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise OSError(f"no {name} in /proc/self/status")


def main() -> None:
    """Print one line of JSON: seconds and the peak of resident memory, or the bodies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--open", type=int, default=1)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--durability", default="process", choices=("process", "power"))
    parser.add_argument("--hold", type=int, default=0)
    parser.add_argument("--bodies", action="store_true")
    sys.stdout.write(json.dumps(asyncio.run(_run(parser.parse_args()))) + "\n")


if __name__ == "__main__":
    main()
