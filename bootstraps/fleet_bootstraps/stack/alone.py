"""One stack to a FLEET_HOME."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from os import getpid
from pathlib import Path

from fleet_core.errors import StoreError

_LOCK = "up.lock"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder; the kernel lets go of it also where this process is killed.

    Raises:
        StoreError: another process holds it; names that.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be made: {error.strerror}", "name another folder by FLEET_HOME"
        ) from None
    with (folder / _LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StoreError(
                f"a fleet is up in {folder.parent} already, as process {lock.read().strip()}",
                "stop it first (Ctrl-C, or SIGTERM), or name another folder by FLEET_HOME",
            ) from None
        lock.truncate(0)
        lock.write(f"{getpid()}\n")
        lock.flush()
        yield
