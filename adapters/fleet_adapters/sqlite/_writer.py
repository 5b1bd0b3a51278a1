"""Group commit: what is written in one turn of the event loop goes into one transaction.

The transaction runs on the loop's own thread. Without an fsync it takes some microseconds a write,
which is less than handing the write to a thread and back costs (measured: at one deliberation at
a time a writer thread took 3.5 times as long, at 64 still 1.2 times). What must survive power loss
is made so by an fsync of the write-ahead log, off the loop, for all transactions since the last.

Reads run on the same thread and connection, between transactions: they see what was committed,
never a transaction under way, and find the page cache warm.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Hashable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fleet_adapters.sqlite._checkpoint import Checkpointer
from fleet_adapters.sqlite._errors import is_busy, translated
from fleet_core.errors import FleetError, Unavailable

T = TypeVar("T")
Op = Callable[[sqlite3.Cursor], T]

_BUSY_WAIT_S = 10.0
_BUSY_FIRST_S = 0.0005
_BUSY_MOST_S = 0.005
_LAZY_S = 0.05

_fsync = getattr(os, "fdatasync", os.fsync)  # what a file's size and data need, where there is it


@dataclass(slots=True, eq=False)
class _Write:
    op: Op[Any]
    future: asyncio.Future[Any] | None  # None: what was deferred
    then: Callable[[Any], None] | None
    result: Any = None
    error: Exception | None = None

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more; then it is not begun."""
        return self.future is not None and self.future.cancelled()


class Writer:
    """Writes on one connection, for everything that shares it.

    Args:
        connection: never in a transaction outside of a call.
        power: whether a write must survive power loss before it is answered.
        pool: where fsync runs.
        checkpointer: told of each commit; asks to put them off now and then.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        power: bool,
        pool: Executor,
        checkpointer: Checkpointer,
        log: logging.Logger,
    ) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._path = path
        self._pool = pool
        self._checkpointer = checkpointer
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._queue: list[_Write] = []
        self._lazy: dict[Hashable, Op[None]] = {}
        self._lazy_due = 0.0
        self._timer: asyncio.Handle | None = None
        self._lazy_timer: asyncio.TimerHandle | None = None
        self._busy_since: float | None = None
        self._busy_s = _BUSY_FIRST_S
        self._apart = False
        self._closed = False
        self._unsynced: list[_Write] = []
        self._syncing: asyncio.Task[None] | None = None
        self._wal = _opened_log(path) if power else -1

    def submit(self, op: Op[T], then: Callable[[T], None] | None = None) -> asyncio.Future[T]:
        """Run `op` in the next transaction; its result once that is kept.

        An exception from `op` undoes what it wrote and concerns nobody else. `then` is called with
        the result as soon as it is kept, also where nobody waits any more.
        """
        if self._closed:
            raise Unavailable(f"{self._path} was closed", "open it again")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append(_Write(op, future, then))
        if self._timer is None:
            self._timer = self._loop.call_soon(self._flush)
        return future

    def defer(self, key: Hashable, op: Op[None]) -> None:
        """Run `op` soon, in place of an earlier one of the same key; a crash may lose it."""
        if not self._lazy:
            self._arm_lazy()
        self._lazy[key] = op

    def undefer(self, key: Hashable) -> None:
        """Forget what was deferred under a key."""
        self._lazy.pop(key, None)

    async def read(self, query: Callable[[sqlite3.Cursor], T]) -> T:
        """The answer of a query; waits where another process recovers the file."""
        deadline = self._loop.time() + _BUSY_WAIT_S
        while True:
            try:
                return self.read_now(query)
            except Unavailable:
                if self._loop.time() > deadline:
                    raise
                await asyncio.sleep(_BUSY_MOST_S)

    def read_now(self, query: Callable[[sqlite3.Cursor], T]) -> T:
        """The answer of a query, or Unavailable where another process recovers the file."""
        if self._closed:
            raise Unavailable(f"{self._path} was closed", "open it again")
        try:
            return query(self._cursor)
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise translated(error, self._path) from error

    async def close(self) -> None:
        """Write what waits; further calls fail.

        Raises:
            StoreError, Unavailable: what was deferred could not be written.
        """
        closing = dict(self._lazy)

        def last(cursor: sqlite3.Cursor) -> None:
            for op in closing.values():
                op(cursor)

        done = self.submit(last)
        self._lazy.clear()
        self._closed = True
        try:
            await done
        finally:
            for timer in (self._timer, self._lazy_timer):
                if timer is not None:
                    timer.cancel()
            if self._syncing is not None:
                await self._syncing
            if self._wal >= 0:
                os.close(self._wal)

    def _flush_lazy(self) -> None:
        self._lazy_timer = None
        if self._timer is None:
            self._flush()

    def _flush(self) -> None:
        """One transaction over all that waits; where one write fails, one for each."""
        self._timer = None
        if self._checkpointer.finishing:
            self._timer = self._loop.call_later(_BUSY_FIRST_S, self._flush)
            return
        writes = [write for write in self._queue if not write.abandoned]
        self._queue = []
        if self._lazy and self._loop.time() >= self._lazy_due:
            writes.append(_Write(self._run_lazy, None, self._ran_lazy))
        groups = [[write] for write in writes] if self._apart else [writes] if writes else []
        self._apart = False
        for number, group in enumerate(groups):
            try:
                self._transact(group)
            except Exception as error:  # noqa: BLE001 -- it goes to whoever submitted the write
                if isinstance(error, sqlite3.Error) and is_busy(error) and self._may_wait():
                    self._later([write for rest in groups[number:] for write in rest])
                    return
                if len(group) > 1:
                    self._apart = True
                    self._later(group, 0.0)
                    return
                group[0].error = error
            self._busy_since = None
            self._settle(group)

    def _transact(self, writes: list[_Write]) -> None:
        cursor, connection = self._cursor, self._connection
        cursor.execute("BEGIN IMMEDIATE")
        try:
            for write in writes:
                changes = connection.total_changes
                try:
                    write.result = write.op(cursor)
                except FleetError as error:
                    if connection.total_changes != changes:
                        raise
                    write.error = error
            cursor.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                cursor.execute("ROLLBACK")
            for write in writes:
                write.error = None
            raise
        self._checkpointer.committed()

    def _may_wait(self) -> bool:
        now = self._loop.time()
        if self._busy_since is None:
            self._busy_since, self._busy_s = now, _BUSY_FIRST_S
        return now - self._busy_since < _BUSY_WAIT_S

    def _later(self, writes: list[_Write], delay: float | None = None) -> None:
        self._queue[:0] = [write for write in writes if write.future is not None]
        if delay is None:
            delay = self._busy_s
            self._busy_s = min(self._busy_s * 2, _BUSY_MOST_S)
        self._timer = self._loop.call_later(delay, self._flush)

    def _settle(self, writes: list[_Write]) -> None:
        if self._wal < 0:
            self._answer(writes)
            return
        self._unsynced += writes
        if self._syncing is None:
            self._syncing = self._loop.create_task(self._sync())

    async def _sync(self) -> None:
        """Fsync until nothing waits for it: one covers every commit before its start."""
        try:
            while self._unsynced:
                writes, self._unsynced = self._unsynced, []
                try:
                    await self._loop.run_in_executor(self._pool, _fsync, self._wal)
                except OSError as error:
                    for write in writes:
                        write.error = Unavailable(
                            f"{self._path}: the disk did not take a write: {error.strerror}",
                            "check the disk; whether it was kept is unknown",
                        )
                self._answer(writes)
        finally:
            self._syncing = None

    def _answer(self, writes: list[_Write]) -> None:
        for write in writes:
            error, future = write.error, write.future
            if isinstance(error, sqlite3.Error):
                error = translated(error, self._path)
            if future is None:
                if error is not None:
                    self._log.warning("acknowledgements wait to be kept: %s", error)
                    self._arm_lazy()
            elif future.done():
                continue
            elif error is None:
                future.set_result(write.result)
            else:
                future.set_exception(error)
        for write in writes:
            if write.error is None and write.then is not None:
                write.then(write.result)

    def _run_lazy(self, cursor: sqlite3.Cursor) -> dict[Hashable, Op[None]]:
        for op in self._lazy.values():
            op(cursor)
        return dict(self._lazy)

    def _ran_lazy(self, done: dict[Hashable, Op[None]]) -> None:
        for key, op in done.items():
            if self._lazy.get(key) is op:
                del self._lazy[key]
        if self._lazy:
            self._arm_lazy()

    def _arm_lazy(self) -> None:
        self._lazy_due = self._loop.time() + _LAZY_S
        if self._lazy_timer is None and not self._closed:
            self._lazy_timer = self._loop.call_at(self._lazy_due, self._flush_lazy)


def _opened_log(path: Path) -> int:
    """The write-ahead log, open for fsync; its name in the folder is made to survive too."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return os.open(f"{path}-wal", os.O_RDWR)
