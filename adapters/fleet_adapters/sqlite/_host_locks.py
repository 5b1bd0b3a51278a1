"""Who delivers a durable: one process of the host at a time, known by a byte lock.

The kernel drops a process's locks when it dies, however it dies, so that another takes over
without waiting for a heartbeat to be missed. A process's locks on a file go when it closes any
descriptor of that file, so there is one descriptor to a path and process.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from fleet_core.errors import StoreError


class _LockFile:
    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.users = 0
        self.held: set[int] = set()


_files: dict[Path, _LockFile] = {}
_guard = threading.Lock()  # event loops of several threads may share the process


class HostLocks:
    """Numbered locks between all users of one lock file on this host; none waits.

    Raises:
        StoreError: the lock file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mine: set[int] = set()
        with _guard:
            try:
                file = _files[path] if path in _files else _LockFile(path)
            except OSError as error:
                raise StoreError(
                    f"{path}: {error.strerror}", "give this user the right to write there"
                ) from error
            _files[path] = file
            file.users += 1

    def take(self, number: int) -> bool:
        """Take a lock; false where another holds it, in this process or in any other."""
        with _guard:
            file = _files[self._path]
            if number in file.held:
                return number in self._mine
            try:
                fcntl.lockf(file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except OSError:
                return False
            file.held.add(number)
            self._mine.add(number)
            return True

    def leave(self, number: int) -> None:
        """Give a lock back."""
        with _guard:
            if number in self._mine:
                self._mine.discard(number)
                file = _files[self._path]
                file.held.discard(number)
                fcntl.lockf(file.descriptor, fcntl.LOCK_UN, 1, number)

    def close(self) -> None:
        """Give back all."""
        for number in tuple(self._mine):
            self.leave(number)
        with _guard:
            file = _files[self._path]
            file.users -= 1
            if not file.users:
                os.close(file.descriptor)
                del _files[self._path]
