"""Whether a service is ready, as its gRPC health says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health_pb2

from fleet_adapters.grpc._calling import opened_peer
from fleet_adapters.grpc.settings import GrpcClientSettings

_CHECK = "/grpc.health.v1.Health/Check"

Ask = Callable[[], Awaitable[bool]]


@asynccontextmanager
async def opened_health(
    service: str,
    address: str,
    settings: GrpcClientSettings,
    secret: Callable[[str], str],
) -> AsyncIterator[Ask]:
    """Whoever is given may be asked, again and again, whether the service is ready.

    True: it is. False: it serves, and cannot work now. Asking raises Unavailable where it does
    not answer in `settings.timeout_ms`.
    """
    async with opened_peer(service, address, settings, secret) as peer:
        check: grpc.aio.UnaryUnaryMultiCallable[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ] = peer.channel.unary_unary(
            _CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

        async def ask() -> bool:
            answer = await peer.call(_CHECK, check, health_pb2.HealthCheckRequest())
            return answer.status == health_pb2.HealthCheckResponse.SERVING

        yield ask
