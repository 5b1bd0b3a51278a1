"""A gRPC server as every service of the fleet has it: health, reflection, access, telemetry."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from fleet_adapters.grpc._access import Access
from fleet_adapters.grpc._deadline import served_within
from fleet_adapters.grpc._draining import Gate
from fleet_adapters.grpc._errors import to_status
from fleet_adapters.grpc._surrounding import Context, Surrounding
from fleet_adapters.grpc.exposure import host_and_port, refuse_exposed
from fleet_adapters.grpc.settings import GrpcServerSettings
from fleet_adapters.grpc.telemetry import Observe, Telemetry, unobserved
from fleet_core.errors import FleetError, ProfileError, Unavailable

_log = logging.getLogger("fleet.grpc")
MAX_METADATA_BYTES = 64 * 1024
_PING_EVERY_MS = 10_000
_LAST_ANSWERS_S = 0.5


@dataclass(frozen=True, slots=True)
class Service:
    """A service to be served.

    Attributes:
        name: its full name.
        add: adds its servicer to a server.
        admin: full names (`/package.Service/Method`) of methods that ask for the admin token.
    """

    name: str
    add: Callable[[grpc.aio.Server], None]
    admin: frozenset[str] = frozenset()


class Served:
    """A server that is up.

    Attributes:
        address: `host:port` that it listens on, with the port it got.
        stopping: set once it stops.
    """

    def __init__(
        self,
        address: str,
        stopping: asyncio.Event,
        statuses: health.aio.HealthServicer,
        names: Sequence[str],
    ) -> None:
        self.address = address
        self.stopping = stopping
        self._statuses = statuses
        self._names = names

    async def set_ready(self, ready: bool) -> None:
        """What health checks are told: SERVING, or NOT_SERVING while a store or bus is away."""
        answers = health_pb2.HealthCheckResponse
        state = answers.SERVING if ready else answers.NOT_SERVING
        for name in self._names:
            await self._statuses.set(name, state)


@asynccontextmanager
async def serving(
    settings: GrpcServerSettings,
    secret: Callable[[str], str],
    services: Sequence[Service],
    *,
    observe: Observe = unobserved,
    gate: Gate | None = None,
) -> AsyncIterator[Served]:
    """Serve until the context is left; then health says NOT_SERVING and RPCs under way may end.

    Args:
        settings: address, TLS, tokens, limits.
        secret: resolves the names of the tokens.
        services: what is served, besides health and reflection.
        observe: is told of every RPC.
        gate: counts RPCs; given where a servicer must know when the service stops.

    Raises:
        ProfileError: the address or the files are wrong, or the address is exposed.
        Unavailable: the address cannot be bound.
    """
    gate = gate or Gate()
    tokens = bool(settings.token or settings.admin_token)
    tls = bool(settings.tls_cert and settings.tls_key)
    refuse_exposed(settings.listen, tls=tls, token=tokens, insecure=settings.insecure)
    admin = frozenset(method for service in services for method in service.admin)
    access = Access(settings, secret, admin)
    around = (Telemetry(observe).around, gate.around, access.around, _bounded, _translated)
    server = grpc.aio.server(interceptors=[Surrounding(around)], options=_options(settings))
    names = [service.name for service in services]
    for service in services:
        service.add(server)
    statuses = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(statuses, server)
    reflection.enable_server_reflection(
        [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server
    )
    served = Served(_bound(server, settings), gate.stopping, statuses, ["", *names])
    await server.start()
    try:
        await served.set_ready(True)
        yield served
    finally:
        await statuses.enter_graceful_shutdown()
        left = await gate.drain(settings.drain_ms)
        if left:
            _log.warning("%d RPCs had not ended after %d ms", left, settings.drain_ms)
        # What our code has answered may still be on its way out.
        await server.stop(None if left else _LAST_ANSWERS_S)


def _options(settings: GrpcServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # a second server on the same port is a mistake, not a helper
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_EVERY_MS),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _bound(server: grpc.aio.Server, settings: GrpcServerSettings) -> str:
    host, port = host_and_port(settings.listen, field="listen")
    credentials = _credentials(settings)
    try:
        if credentials is None:
            port = server.add_insecure_port(settings.listen)
        else:
            port = server.add_secure_port(settings.listen, credentials)
    except RuntimeError as error:
        raise Unavailable(
            f"{settings.listen} cannot be listened on: {error}", "is another service there?"
        ) from None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _credentials(settings: GrpcServerSettings) -> grpc.ServerCredentials | None:
    files = (settings.tls_cert, settings.tls_key)
    if not any((*files, settings.tls_client_ca)):
        return None
    for name in ("tls_cert", "tls_key"):
        if not getattr(settings, name):
            raise ProfileError("is missing", "TLS needs both a certificate and a key", field=name)
    chain, key = pem(settings.tls_cert, "tls_cert"), pem(settings.tls_key, "tls_key")
    ca = pem(settings.tls_client_ca, "tls_client_ca") if settings.tls_client_ca else None
    return grpc.ssl_server_credentials(
        [(key, chain)], root_certificates=ca, require_client_auth=ca is not None
    )


def pem(path: str, field: str) -> bytes:
    """The bytes of a PEM file; ProfileError where there are none."""
    try:
        found = Path(path).read_bytes()
    except OSError as error:
        raise ProfileError(
            f"cannot be read: {error.strerror}",
            "check the path and its rights",
            source=path,
            field=field,
        ) from None
    if b"-----BEGIN " not in found:
        raise ProfileError("is no PEM file", source=path, field=field)
    return found


@asynccontextmanager
async def _bounded(method: str, context: Context) -> AsyncIterator[None]:  # noqa: ARG001 -- as all
    """Pass the caller's deadline on."""
    with served_within(context.time_remaining()):
        yield


@asynccontextmanager
async def _translated(method: str, context: Context) -> AsyncIterator[None]:
    """Turn errors into statuses; what is not foreseen goes to the log, not to the caller."""
    try:
        yield
    except FleetError as error:
        await to_status(error).abort(context)
    except (grpc.aio.AbortError, GeneratorExit):
        raise
    except Exception as error:  # noqa: BLE001 -- the caller must be told, whatever it is
        _log.exception("%s", method)
        await to_status(error).abort(context)
