"""What the graph asks the server through: transactions that end in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, LiteralString, TypeVar

from neo4j import (
    READ_ACCESS,
    WRITE_ACCESS,
    AsyncDriver,
    AsyncManagedTransaction,
    AsyncSession,
    Query,
    Record,
    unit_of_work,
)
from neo4j.exceptions import DriverError, Neo4jError, TransientError

from fleet_adapters.neo4j._errors import is_refusal, translate, translated
from fleet_core.errors import Unavailable

T = TypeVar("T")
Work = Callable[["Transaction"], Awaitable[T]]
_Managed = Callable[[AsyncManagedTransaction], Awaitable[T]]


class Transaction:
    """Statements of one transaction; a work may be run again in another one."""

    def __init__(self, transaction: AsyncManagedTransaction, where: str) -> None:
        self._transaction = transaction
        self._where = where

    async def run(self, text: LiteralString, **values: Any) -> list[Record]:
        """The rows of a statement's answer."""
        try:
            result = await self._transaction.run(text, values)
            return [record async for record in result]
        except TransientError as error:
            if is_refusal(error):
                raise translated(error, self._where) from error
            raise

    async def value(self, text: LiteralString, **values: Any) -> Any:
        """The only value of the first row; None where there is no row."""
        rows = await self.run(text, **values)
        return rows[0][0] if rows else None


class Link:
    """Works on one database; every error is one of the ports'.

    What the server calls transient, and what a lost connection cut short before it was committed,
    the driver runs again. The server too ends a transaction that takes too long, so that nobody
    waits for a lock of a client that is gone.

    Args:
        driver: open; its owner closes it.
        database: its name; None for the user's home database.
        where: the server, for messages.
        timeout_s: how long a work may take, retries included.
    """

    def __init__(
        self, driver: AsyncDriver, database: str | None, where: str, timeout_s: float
    ) -> None:
        self.where = where
        self._driver = driver
        self._database = database
        self._timeout_s = timeout_s

    async def read(self, work: Work[T]) -> T:
        """The outcome of a work that writes nothing and takes no lock.

        Raises:
            Unavailable: no answer came.
            StoreError: the server refuses.
        """
        return await self._run(work, READ_ACCESS, self._timeout_s)

    async def write(self, work: Work[T], timeout_s: float = 0.0) -> T:
        """The outcome of a work that was committed.

        Raises:
            Unavailable: no answer came; whether it was committed is unknown.
            StoreError: the server refuses, and holds nothing of it.
            Conflict: another wrote the same at once.
        """
        return await self._run(work, WRITE_ACCESS, timeout_s or self._timeout_s)

    async def rows(
        self, text: LiteralString, *, locks: bool = False, **values: Any
    ) -> list[Record]:
        """The answer of one statement that writes nothing: one trip, where a work takes three.

        What would have a work run again has it run as a work.

        Args:
            text: the statement.
            locks: whether it takes locks, which only a database that takes writes allows.
            values: its parameters.

        Raises:
            Unavailable: no answer came.
            StoreError: the server refuses.
        """
        access = WRITE_ACCESS if locks else READ_ACCESS
        query = Query(text, timeout=self._timeout_s)

        async def run(session: AsyncSession) -> list[Record]:
            try:
                return [record async for record in await session.run(query, values)]
            except (DriverError, Neo4jError) as error:
                if is_refusal(error) or not error.is_retryable():
                    raise
            work = self._managed(lambda own: own.run(text, **values), self._timeout_s)
            return await _execute(session, work, access)

        return await self._within(run, access, self._timeout_s)

    async def _run(self, work: Work[T], access: str, timeout_s: float) -> T:
        managed = self._managed(work, timeout_s)
        return await self._within(
            lambda session: _execute(session, managed, access), access, timeout_s
        )

    def _managed(self, work: Work[T], timeout_s: float) -> _Managed[T]:
        @unit_of_work(timeout=timeout_s)
        async def managed(transaction: AsyncManagedTransaction) -> T:
            return await work(Transaction(transaction, self.where))

        return managed

    async def _within(
        self, use: Callable[[AsyncSession], Awaitable[T]], access: str, timeout_s: float
    ) -> T:
        """What comes of a session, in time, and errors as the ports name them."""
        try:
            with translate(self.where):
                async with (
                    asyncio.timeout(timeout_s),
                    self._driver.session(
                        database=self._database, default_access_mode=access
                    ) as session,
                ):
                    return await use(session)
        except TimeoutError:
            raise Unavailable(
                f"{self.where} did not answer within {timeout_s:g} s;"
                " if this was a write, it is unknown whether it was made",
                "see whether it is overloaded, or raise timeout_ms",
            ) from None


async def _execute(session: AsyncSession, work: _Managed[T], access: str) -> T:
    execute = session.execute_read if access == READ_ACCESS else session.execute_write
    return await execute(work)
