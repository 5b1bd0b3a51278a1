"""Moving the write-ahead log into the file, off the event loop.

A commit never does it. A thread with a connection of its own copies what is there, then, for the
few pages written meanwhile, keeps writers out for a moment, so that the log begins anew instead of
growing for as long as the load lasts. The loop is not blocked: its next commit is put off.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from concurrent.futures import Executor
from pathlib import Path

from fleet_adapters.sqlite._schema import connect

_LOG_BYTES = 16 * 1024 * 1024
_LOOK_EVERY = 16  # commits
_WAIT_S = 0.1  # for other processes; so long, at most, are this one's commits put off


class Checkpointer:
    """Watches the log's size; at most one checkpoint runs.

    Attributes:
        finishing: commits are to be put off for the moment.
    """

    def __init__(self, path: Path, pool: Executor, log: logging.Logger) -> None:
        self._path = path
        self._wal = path.with_name(f"{path.name}-wal")
        self._pool = pool
        self._log = log
        self._commits = 0
        self.finishing = False
        self._running: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()

    def committed(self) -> None:
        """Called after each commit; begins a checkpoint once the log has grown enough."""
        self._commits += 1
        if self._commits < _LOOK_EVERY or self._running is not None:
            return
        self._commits = 0
        if self._wal.stat().st_size < _LOG_BYTES:
            return
        self._running = self._loop.run_in_executor(self._pool, self._checkpoint)
        self._running.add_done_callback(self._ended)

    async def close(self) -> None:
        """Wait for the one that runs."""
        if self._running is not None:
            await asyncio.wait([self._running])

    def _checkpoint(self) -> None:
        connection = connect(self._path, _WAIT_S)
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self.finishing = True
            # Truncated, so that the file's size says how much there is to move.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            # Whoever writes first to the new log waits for an fsync of its header.
            connection.execute("UPDATE stream SET pruned = pruned WHERE id = 1")
        finally:
            self.finishing = False
            connection.close()

    def _ended(self, running: asyncio.Future[None]) -> None:
        self._running = None
        error = running.exception()
        if isinstance(error, sqlite3.Error):
            self._log.warning("%s: the write-ahead log could not be moved: %s", self._path, error)
        elif error is not None:
            raise error
