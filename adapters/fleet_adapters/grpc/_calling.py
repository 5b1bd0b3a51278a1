"""Calls to one service: channel, token, trace, deadline, and its errors as FleetErrors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import grpc

from fleet_adapters.grpc._access import bearer_token
from fleet_adapters.grpc._deadline import remaining
from fleet_adapters.grpc._errors import from_rpc_error
from fleet_adapters.grpc.exposure import refuse_plain
from fleet_adapters.grpc.serving import MAX_METADATA_BYTES, pem
from fleet_adapters.grpc.settings import GrpcClientSettings
from fleet_adapters.grpc.telemetry import Observe, observed, unobserved
from fleet_core.errors import ProfileError
from fleet_plugins.kit import trace

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
_RECONNECT_MS = 100
_SLOWEST_RECONNECT_MS = 2_000


@dataclass(frozen=True, slots=True)
class Peer:
    """A service at one address.

    Attributes:
        name: the service and its address, for messages.
        channel: to it.
        token: sent along; empty for none.
        timeout_ms: of one call.
        observe: is told of every call.
    """

    name: str
    channel: grpc.aio.Channel
    token: str
    timeout_ms: int
    observe: Observe = unobserved

    async def call(
        self, path: str, method: grpc.aio.UnaryUnaryMultiCallable[Asked, Answered], request: Asked
    ) -> Answered:
        """Call once; fails at once where nobody listens.

        Args:
            path: `/package.Service/Method`, for telemetry.
            method: the stub's.
            request: what it is asked.

        Raises:
            FleetError: as the service raised it; Unavailable where it did not answer in time.
        """
        with observed("client", path, trace.current(), self.observe) as ending:
            metadata: tuple[tuple[str, str], ...] = ((trace.HEADER, trace.current()),)
            if self.token:
                metadata += (("authorization", f"Bearer {self.token}"),)
            try:
                return await method(
                    request,
                    timeout=remaining(self.timeout_ms / 1000),
                    metadata=metadata,
                    wait_for_ready=False,
                )
            except grpc.aio.AioRpcError as error:
                ending.code = error.code().name
                raise from_rpc_error(error, self.name) from None


@asynccontextmanager
async def opened_peer(
    service: str,
    address: str,
    settings: GrpcClientSettings,
    secret: Callable[[str], str],
    observe: Observe = unobserved,
) -> AsyncIterator[Peer]:
    """A peer until the context is left; nothing is connected before the first call.

    Raises:
        ProfileError: the address, a file or the token's name is wrong.
    """
    refuse_plain(address, tls=settings.encrypted, insecure=settings.insecure)
    token = bearer_token(settings.token, secret)
    options = _options(settings)
    if settings.encrypted:
        channel = grpc.aio.secure_channel(address, _credentials(settings), options)
    else:
        channel = grpc.aio.insecure_channel(address, options)
    async with channel:
        yield Peer(f"the {service} at {address}", channel, token, settings.timeout_ms, observe)


def _options(settings: GrpcClientSettings) -> list[tuple[str, int | str]]:
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS),
        ("grpc.min_reconnect_backoff_ms", _SLOWEST_RECONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", _SLOWEST_RECONNECT_MS),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.use_local_subchannel_pool", 1),  # no back-off inherited from another channel
    ]
    if settings.tls_server_name:
        options.append(("grpc.ssl_target_name_override", settings.tls_server_name))
    return options


def _credentials(settings: GrpcClientSettings) -> grpc.ChannelCredentials:
    if bool(settings.tls_cert) != bool(settings.tls_key):
        missing = "tls_key" if settings.tls_cert else "tls_cert"
        raise ProfileError("is missing", "mTLS needs both a certificate and a key", field=missing)
    return grpc.ssl_channel_credentials(
        pem(settings.tls_ca, "tls_ca") if settings.tls_ca else None,
        pem(settings.tls_key, "tls_key") if settings.tls_key else None,
        pem(settings.tls_cert, "tls_cert") if settings.tls_cert else None,
    )
