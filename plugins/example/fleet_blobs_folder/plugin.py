"""What the entry point `blobs.folder` names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fleet_core.ports.blob_store import BlobStore
from fleet_plugins.api import Adapter, AdapterPlugin, Capability, FactoryContext, PortName


@dataclass(frozen=True, slots=True)
class FolderSettings:
    """Where blobs are kept.

    Attributes:
        folder: a path; a relative one lies under FLEET_HOME.
        fsync: whether a blob survives a power failure too, not only a kill of the process.
    """

    folder: str = "blobs"
    fsync: bool = True


@asynccontextmanager
async def open_folder(settings: FolderSettings, ctx: FactoryContext) -> AsyncIterator[BlobStore]:
    """Open the folder, making it where it is not there."""
    from fleet_blobs_folder.store import FolderBlobs  # noqa: PLC0415 -- only when it is opened

    yield await FolderBlobs.open(ctx.home / settings.folder, fsync=settings.fsync)


blobs = AdapterPlugin(
    Adapter(
        port=PortName.BLOBS,
        name="folder",
        settings=FolderSettings,
        factory=open_folder,
        capabilities=frozenset(
            {Capability.DURABLE, Capability.SHARED_PROCESS, Capability.SHARED_HOST}
        ),
        summary="one file a blob, in a folder",
    )
)
