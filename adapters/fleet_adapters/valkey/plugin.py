"""The `valkey` adapters: state and blobs on a Valkey or Redis server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.state_store import StateStore
from fleet_plugins.api import (
    Adapter,
    AdapterPlugin,
    Capability,
    Factory,
    FactoryContext,
    PortName,
)


@dataclass(frozen=True, slots=True)
class ValkeySettings:
    """Where the server is and how it is spoken to.

    Attributes:
        url: `valkey://host:port/database`, or `valkeys://` for TLS; `redis` and `rediss` too.
        namespace: what every key begins with; fleets that share a server have one each.
        username: empty for the server's default user.
        password: the NAME of the secret that holds it; empty for none.
        ca: a PEM file of authorities to trust beside the system's; relative to FLEET_HOME.
        cert: a PEM file with the certificate to show, where the server asks for one.
        key: a PEM file with that certificate's key; empty where `cert` holds it.
        timeout_ms: how long an answer may take, the making of a connection included.
        connections: at most, for each port; one carries any number of calls, several let them
            share the server's syncs.
        durable: whether a server that may lose an acknowledged write, because it keeps no
            append-only file, is refused.
    """

    url: str = "valkey://127.0.0.1:6379/0"
    namespace: str = "fleet"
    username: str = ""
    password: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    timeout_ms: int = 5_000
    connections: int = 8
    durable: bool = True


@asynccontextmanager
async def _state(settings: ValkeySettings, ctx: FactoryContext) -> AsyncIterator[StateStore]:
    from fleet_adapters.valkey._opening import opened  # noqa: PLC0415 -- loaded when bound
    from fleet_adapters.valkey.state import ValkeyStateStore  # noqa: PLC0415 -- loaded when bound

    async with opened(settings, ctx) as link:
        yield ValkeyStateStore(link, settings.namespace)


@asynccontextmanager
async def _blobs(settings: ValkeySettings, ctx: FactoryContext) -> AsyncIterator[BlobStore]:
    from fleet_adapters.valkey._opening import opened  # noqa: PLC0415 -- loaded when bound
    from fleet_adapters.valkey.blobs import ValkeyBlobStore  # noqa: PLC0415 -- loaded when bound

    async with opened(settings, ctx) as link:
        yield ValkeyBlobStore(link, settings.namespace)


def _plugin(port: PortName, factory: Factory, summary: str) -> AdapterPlugin:
    return AdapterPlugin(
        Adapter(
            port=port,
            name="valkey",
            settings=ValkeySettings,
            factory=factory,
            capabilities=frozenset(
                {
                    Capability.DURABLE,
                    Capability.SHARED_PROCESS,
                    Capability.SHARED_HOST,
                    Capability.SHARED_NETWORK,
                }
            ),
            extra="valkey",
            summary=summary,
        )
    )


state = _plugin(PortName.STATE, _state, "documents on a Valkey or Redis server")
blobs = _plugin(PortName.BLOBS, _blobs, "blobs on a Valkey or Redis server")
