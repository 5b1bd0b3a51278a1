"""The store itself."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleet_core.errors import NotFound, StoreError
from fleet_core.ports.blob_store import BlobStore

_REF = re.compile(r"sha256:([0-9a-f]{2})([0-9a-f]{62})")


class FolderBlobs(BlobStore):
    """One file a blob, named by its hash, in 256 folders; several processes may share it.

    A file appears whole or not at all, and nothing is ever deleted.
    """

    def __init__(self, root: Path, *, fsync: bool) -> None:
        self._root = root
        self._fsync = fsync

    @classmethod
    async def open(cls, root: Path, *, fsync: bool = True) -> FolderBlobs:
        """The store of a folder, which is made where it is not there.

        Raises:
            StoreError: it cannot be made.
        """
        with _translated(root):
            await asyncio.to_thread(root.mkdir, parents=True, exist_ok=True)
        return cls(root, fsync=fsync)

    async def put(self, data: bytes) -> str:
        """Write the file, unless it is there."""
        ref = f"sha256:{hashlib.sha256(data).hexdigest()}"
        with _translated(self._root):
            await asyncio.to_thread(self._write, self._path(ref), data)
        return ref

    async def get(self, ref: str) -> bytes:
        """Read the file and compare it with its name."""
        path = self._path(ref)
        with _translated(self._root):
            try:
                data = await asyncio.to_thread(path.read_bytes)
            except FileNotFoundError:
                raise NotFound(f"no blob {ref} in {self._root}") from None
        if hashlib.sha256(data).hexdigest() != ref.removeprefix("sha256:"):
            raise StoreError(f"blob {ref} is damaged", f"restore {path} from a copy, or delete it")
        return data

    def _path(self, ref: str) -> Path:
        parts = _REF.fullmatch(ref)
        if parts is None:  # and so never a path out of the folder
            raise NotFound(f"{ref[:80]!r} is no blob reference", "it is sha256: and 64 hex digits")
        return self._root / parts[1] / parts[2]

    def _write(self, path: Path, data: bytes) -> None:
        if path.exists():
            return
        path.parent.mkdir(exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                if self._fsync:
                    os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        if self._fsync:
            _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # The name of a new file is safe only once its folder is.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _translated(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"blobs.folder: {root}: {reason}", "see to the folder") from error
