"""The driver's client, made to hold out: the only place that touches its insides."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from nats.aio.client import Client
from nats.errors import AuthorizationError, Error

_KEPT = ("permissions violation", "stale connection")


class HoldingClient(Client):
    """A client that never gives up a connection that was once made, and never speaks in the clear.

    The driver closes for good on most errors that a server sends (a login that was withdrawn, a
    slow consumer, a limit). Here such an error costs the connection, and the next one is tried.
    Where TLS is asked for, the driver goes on without it if a server does not insist: here nothing
    is sent to such a server. And a connection that was refused is closed before the next is tried.
    """

    tls_only = False

    async def leave(self) -> None:
        """Close for good; what could not be sent by now is dropped."""
        if not self.is_connected:
            # To write it to a transport that is closed raises what each Python likes.
            self._pending, self._pending_data_size = [], 0
        with suppress(Error, OSError):
            await self.close()
        await self.hang_up()

    async def hang_up(self) -> None:
        """Drop the connection that is open, in whatever state the driver thinks it is."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            # Not closed and waited for: a cancellation spoils the future that would be waited on.
            writer.transport.abort()
            await asyncio.sleep(0)

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        # The driver writes a ping past what still waits to be written: then the pong that `flush`
        # and `drain` wait for says nothing of the subscription that was made, or ended, before.
        with heeded():
            await self._flush_pending(force_flush=True)
        await super()._send_ping(future)

    async def _process_pong(self) -> None:
        # Who flushed may have given up by now, as where the server was paused. The driver would set
        # that future all the same, and its reading end with the error: for good, and unheard.
        if self._pongs and self._pongs[0].done():
            self._pongs.pop(0)
            self._pings_outstanding = 0
            return
        await super()._process_pong()

    async def _connect_to_server(self, s: Any) -> None:
        await self.hang_up()
        await super()._connect_to_server(s)

    async def _process_err(self, err_msg: str) -> None:
        if any(kept in err_msg for kept in _KEPT):
            await super()._process_err(err_msg)
            return
        spoken = err_msg.strip("'")
        refused = "authorization violation" in spoken
        error = AuthorizationError() if refused else Error(f"nats: {spoken}")
        await self._error_cb(error)
        await self._process_op_err(error)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if self.tls_only and initial_connection and not info.get("tls_required"):
            raise Error("nats: the server does not insist on TLS, the settings do")
        await super()._process_info(info, initial_connection)


@contextmanager
def heeded() -> Iterator[None]:
    """Raise a cancellation that comes meanwhile: the driver swallows one while it writes."""
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    yield
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
