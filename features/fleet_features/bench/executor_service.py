"""An executor service that keeps nothing: gRPC and Ray, over stores in memory.

Results are told on NATS as they are published, by plain messages. `{"up": true}` on the first line
of standard output; it serves until standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nats

from fleet_adapters.grpc.executor_server import serve_executor
from fleet_adapters.grpc.settings import GrpcServerSettings
from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_adapters.memory.tokens import InMemoryTokenStream
from fleet_bootstraps.fleet import opened_ports, system_clock
from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import bound
from fleet_bootstraps.secrets import secrets_from
from fleet_core.domain.events import Event, encode
from fleet_core.ports.event_bus import EventBus
from fleet_core.usecases.execute import Execute, ExecuteSettings
from fleet_core.usecases.stores import Stores
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.kit.json_bytes import dump
from fleet_plugins.registry import Registry


class TellingBus(InMemoryEventBus):
    """A bus in memory that also tells NATS, and waits for nothing."""

    def __init__(self, client: Any) -> None:
        super().__init__(system_clock)
        self._client = client

    async def publish(self, events: Sequence[Event]) -> None:
        """Keep them here, and tell."""
        await super().publish(events)
        for event in events:
            await self._client.publish(event.subject, encode(event))

    def joined(self, state: object) -> None:  # noqa: ARG002 -- every publication must be told
        """Nothing is kept together."""
        return


async def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--nats", required=True)
    parser.add_argument("--set", action="append", default=[], dest="sets")
    given = parser.parse_args()
    profile = bound("fleet", layered("fleet", {}, given.sets), Registry.discovered())
    context = FactoryContext(system_clock, secrets_from(os.environ), given.home)
    client = await nats.connect(given.nats)
    bus: EventBus = TellingBus(client)
    blobs = InMemoryBlobStore()
    stores = Stores(bus, InMemoryStateStore(system_clock), blobs, system_clock, dump)
    async with opened_ports(profile, context, only=(PortName.RUNNER,)) as ports:
        runner = ports[PortName.RUNNER]
        execute = Execute(runner, stores, InMemoryTokenStream(), ExecuteSettings("bench"))
        listen = GrpcServerSettings(listen=given.listen)
        async with (
            execute.running(),
            serve_executor(execute, blobs, system_clock, listen, context.secret),
        ):
            sys.stdout.write('{"up": true}\n')
            sys.stdout.flush()
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await client.close()


if __name__ == "__main__":
    asyncio.run(main())
