"""An HTTP server of a service, on an address that may be exposed or not."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from fleet_adapters.grpc.exposure import host_and_port, refuse_exposed
from fleet_bootstraps.settings import ServiceSettings
from fleet_core.errors import ProfileError, Unavailable


@asynccontextmanager
async def served_http(
    app: web.Application, address: str, settings: ServiceSettings, *, field: str
) -> AsyncIterator[str]:
    """Serve an application until the context is left; yields `host:port`.

    Beyond loopback the same is asked for as of RPCs: TLS and a token, or `insecure`.

    Args:
        app: what is served.
        address: where; port 0 takes a free one.
        settings: of the service: TLS, token, insecure.
        field: the setting that the address is from.

    Raises:
        ProfileError: the address or a file is wrong, or the address is exposed.
        Unavailable: the address cannot be bound.
    """
    host, port = host_and_port(address, field=field)
    tls = _tls(settings)
    require_safe(address, settings, field=field)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, ssl_context=tls).start()
        except OSError as error:
            raise Unavailable(
                f"{address} cannot be listened on: {error.strerror}",
                f"is another service there? set services.NAME.{field} to another address",
            ) from None
        taken = runner.addresses[0][1]
        yield f"[{host}]:{taken}" if ":" in host else f"{host}:{taken}"
    finally:
        await runner.cleanup()


def require_safe(address: str, settings: ServiceSettings, *, field: str) -> None:
    """Refuse an address that others reach without TLS and a token; opens nothing.

    Raises:
        ProfileError: says what is missing.
    """
    refuse_exposed(
        address,
        tls=bool(settings.tls_cert and settings.tls_key),
        token=bool(settings.token),
        insecure=settings.insecure,
        field=field,
    )


def _tls(settings: ServiceSettings) -> ssl.SSLContext | None:
    if not settings.tls_cert or not settings.tls_key:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
        if settings.tls_client_ca:
            context.load_verify_locations(settings.tls_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise ProfileError(
            f"the certificate cannot be used: {error}",
            "check tls_cert, tls_key and tls_client_ca",
            source=settings.tls_cert,
            field="tls_cert",
        ) from None
    return context
