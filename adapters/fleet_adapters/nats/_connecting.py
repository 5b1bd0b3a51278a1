"""From settings to a connection, or one error that says what is in the way."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from nats.errors import Error as DriverError

from fleet_adapters.nats._auth import options, wants_tls
from fleet_adapters.nats._client import HoldingClient
from fleet_adapters.nats._errors import login_refused, translate
from fleet_adapters.nats._link import Link
from fleet_adapters.nats.settings import NatsSettings
from fleet_core.errors import FleetError, StoreError, Unavailable
from fleet_plugins.api import FactoryContext

_RECONNECT_S = 0.1
_PENDING_BYTES = 8 * 1024 * 1024


@asynccontextmanager
async def linked(settings: NatsSettings, ctx: FactoryContext, name: str) -> AsyncIterator[Link]:
    """A connection for as long as this is held; what was sent is flushed in the end.

    Raises:
        ProfileError: a setting is wrong, or a secret is missing.
        StoreError: the server refuses us, or we it.
        Unavailable: no server answers in `connect_ms`.
    """
    arguments = options(settings, ctx.secret, ctx.home)
    arguments["name"] = f"fleet {ctx.process} {name}"
    link = await _connected(settings, ctx, arguments)
    try:
        with translate("a subscription"):
            await link.start()
        yield link
    finally:
        await link.flush()
        await link.client.leave()


async def _connected(
    settings: NatsSettings, ctx: FactoryContext, arguments: Mapping[str, Any]
) -> Link:
    """Try until `connect_ms` are over, or a server says that there is no use."""
    said: list[Exception] = []
    try:
        async with asyncio.timeout(settings.connect_ms / 1000):
            while True:
                client = HoldingClient()
                client.tls_only = wants_tls(settings)
                link = Link(client, settings, ctx.log)
                try:
                    if await _attempt(link, settings, arguments, said):
                        return link
                except BaseException:
                    await client.leave()
                    raise
                await client.leave()
                if said and _for_good(said[-1]):
                    break
                # A server that refuses us may be gone before we have read why.
                await asyncio.sleep(_RECONNECT_S)
    except TimeoutError:
        pass
    raise _no_connection(settings, said[-1] if said else TimeoutError("no answer"))


async def _attempt(
    link: Link, settings: NatsSettings, arguments: Mapping[str, Any], said: list[Exception]
) -> bool:
    """Whether there is a connection; what was in the way is added to `said`."""
    refused = asyncio.Event()

    async def failed(error: Exception) -> None:
        if link.started:
            await link.failed(error)
            return
        said.append(error)
        del said[:-1]
        if _for_good(error):
            refused.set()

    connecting = asyncio.create_task(
        link.client.connect(
            **arguments,
            error_cb=failed,
            disconnected_cb=link.disconnected,
            reconnected_cb=link.reconnected,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_S,  # type: ignore[arg-type]  # slept, a fraction is fine
            connect_timeout=max(1, settings.connect_ms // 1000),
            pending_size=_PENDING_BYTES,
            inbox_prefix=settings.inbox_prefix,
        )
    )
    refusing = asyncio.create_task(refused.wait())
    try:
        await asyncio.wait([connecting, refusing], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (connecting, refusing):
            task.cancel()
        await asyncio.wait([connecting, refusing])
    error = None if connecting.cancelled() else connecting.exception()
    if error is None:
        return not connecting.cancelled()
    if not isinstance(error, DriverError | OSError):
        raise error
    said.append(error)
    return False


def _for_good(error: Exception) -> bool:
    return login_refused(error) or isinstance(error, ssl.SSLError) or "TLS" in str(error)


def _no_connection(settings: NatsSettings, error: Exception) -> FleetError:
    named = ", ".join(settings.servers)
    said = (str(error) or type(error).__name__).removeprefix("nats: ").strip("'")
    if login_refused(error):
        return StoreError(
            f"NATS at {named} refuses this login: {said}",
            "check user and password_secret, nkey_secret or creds_file",
        )
    if _for_good(error):
        return StoreError(
            f"no TLS with NATS at {named}: {said}", "check ca_file, cert_file, key_file"
        )
    return Unavailable(
        f"NATS at {named} does not answer: {said}", "start it, or set `servers` to where it runs"
    )
