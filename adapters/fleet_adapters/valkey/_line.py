"""One connection on which any number of callers have requests under way at the same time.

The server answers in the order it was asked, so a request is a future in a queue. A caller that
goes away cancels its future only: the answer is read all the same, and the next one belongs to the
next request. Requests made while others are being sent leave together.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as BrokenError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as LateError

E = TypeVar("E", bound=Exception)
Argument = bytes | str | int
_Pending = tuple[asyncio.Future[Any], float]


class Line:
    """Requests and answers over one connection, made with the first request.

    Args:
        connection: the driver's, not connected yet.
        timeout_s: how long an answer may take, connecting included; then the line is given up.
    """

    def __init__(self, connection: AbstractConnection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._unsent: list[bytes] = []
        self._pending: deque[_Pending] = deque()
        self._wake = asyncio.Event()
        self._ended = False
        self._error: RedisError = BrokenError("the connection was closed")
        self._serving = self._loop.create_task(self._serve())

    @property
    def ended(self) -> bool:
        """Whether it takes no more requests."""
        return self._ended

    @property
    def waited_on(self) -> int:
        """How many requests have no answer yet."""
        return len(self._pending)

    @property
    def closed(self) -> bool:
        """Whether nothing of it is left."""
        return self._serving.done()

    def ask(self, *args: Argument) -> asyncio.Future[Any]:
        """Send a command; its answer, or a `RedisError`, comes by the future."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._unsent += self._connection.pack_command(*args)
        self._pending.append((future, self._loop.time() + self._timeout_s))
        self._wake.set()
        return future

    def leave(self) -> None:
        """Take no more requests; those under way fail."""
        self._serving.cancel()
        self._end()  # a task that is cancelled before it began does not come to its `finally`

    async def until_closed(self) -> None:
        """Wait until the connection is closed."""
        await asyncio.wait({self._serving})

    async def _serve(self) -> None:
        try:
            await self._run()
        except* RedisError as group:
            self._error = _first(group)
        except* Exception as group:  # noqa: BLE001 -- whatever it was, those who wait are told
            self._error = BrokenError(f"what it sends is no answer: {_first(group)!r}")
        finally:
            self._end()
            with suppress(RedisError):  # it took too long to say goodbye
                await self._connection.disconnect()

    def _end(self) -> None:
        self._ended = True
        for future, _ in self._pending:
            if not future.done():
                future.set_exception(self._error)
        self._pending.clear()

    async def _run(self) -> None:
        connect: Callable[[], Awaitable[None]] = self._connection.connect
        try:
            async with asyncio.timeout(self._timeout_s):
                await connect()
        except TimeoutError:
            raise LateError(f"no connection within {self._timeout_s:g} s") from None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write())
            tasks.create_task(self._read())
            tasks.create_task(self._watch())

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            unsent, self._unsent = self._unsent, []
            await self._connection.send_packed_command(unsent, check_health=False)

    async def _read(self) -> None:
        answer: Callable[..., Any] = self._connection.read_response
        while True:
            failed = None
            value = None
            try:
                value = await answer(
                    disable_decoding=True, timeout=math.inf, disconnect_on_error=False
                )
            except ResponseError as error:
                failed = error
            if not self._pending:
                raise BrokenError(f"it said without being asked: {failed or value!r}")
            future, _ = self._pending.popleft()
            if future.done():
                continue  # its caller went away
            if failed is not None:
                future.set_exception(failed)
            else:
                future.set_result(value)

    async def _watch(self) -> None:
        while True:
            now = self._loop.time()
            due = self._pending[0][1] if self._pending else now + self._timeout_s
            if due <= now:
                raise LateError(f"no answer within {self._timeout_s:g} s")
            await asyncio.sleep(due - now)


def _first(group: BaseExceptionGroup[E]) -> E:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
