"""What a store asks the server through: a few lines, and others when those have broken."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError

from fleet_adapters.valkey._errors import translated
from fleet_adapters.valkey._line import Argument, Line
from fleet_core.errors import Unavailable


class Script:
    """A Lua script and the hash that the server knows it by."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()


class Link:
    """Commands to one server; every error is one of the ports'.

    A broken line fails the requests under way on it and no other: the next request makes a new
    one. Nothing is sent twice.

    One line would carry everything, but the server takes 16 KiB at a time from each and syncs its
    file after each such round: requests on several lines share a sync.

    Args:
        connect: makes the driver's connection, without connecting it.
        where: the server, for messages.
        timeout_s: how long an answer may take.
        most: lines at most; a further one is made when all are waited on.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractConnection],
        where: str,
        timeout_s: float,
        most: int,
    ) -> None:
        self.where = where
        self._connect = connect
        self._timeout_s = timeout_s
        self._most = most
        self._lines: list[Line] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        for line in self._lines:
            line.leave()
        for line in self._lines:
            await line.until_closed()

    async def call(self, *args: Argument) -> Any:
        """The answer to one command, as bytes, int, None or a list of those.

        Raises:
            Unavailable: no answer came; whether the command was carried out is unknown.
            StoreError: the server refuses.
        """
        try:
            return await self._ask(*args)
        except RedisError as error:
            raise translated(error, self.where) from error

    async def run(self, script: Script, keys: list[bytes], args: list[Argument]) -> Any:
        """The answer of a script, which the server is given where it does not know it.

        Raises:
            Unavailable, StoreError: as `call`.
        """
        rest = (len(keys), *keys, *args)
        try:
            try:
                return await self._ask("EVALSHA", script.sha, *rest)
            except NoScriptError:
                return await self._ask("EVAL", script.text, *rest)
        except RedisError as error:
            raise translated(error, self.where) from error

    async def _ask(self, *args: Argument) -> Any:
        line = self._idlest()
        try:
            return await line.ask(*args)
        except ReadOnlyError:
            # The primary is another server now; its address may be the same one.
            line.leave()
            raise

    def _idlest(self) -> Line:
        usable = [line for line in self._lines if not line.ended]
        idlest = min(usable, key=_waited_on, default=None)
        if idlest is None or (idlest.waited_on and len(usable) < self._most):
            if self._closed:
                raise Unavailable(f"the connection to {self.where} is closed")
            idlest = Line(self._connect(), self._timeout_s)
            self._lines = [*(line for line in self._lines if not line.closed), idlest]
        return idlest


def _waited_on(line: Line) -> int:
    return line.waited_on
