from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fleet_blobs_folder.plugin import FolderSettings
from fleet_blobs_folder.store import FolderBlobs

from fleet_core.errors import NotFound, StoreError
from fleet_core.ports.blob_store import BlobStore
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.contracts.blob_store import (
    BlobStoreContract,
    Corrupt,
    CorruptibleBlobStoreContract,
    DurableBlobStoreContract,
    Reopen,
)
from fleet_plugins.lifetimes import open_ports
from fleet_plugins.registry import Registry

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def context(tmp_path: Path) -> FactoryContext:
    return FactoryContext(clock=lambda: 0, secret=lambda name: name, home=tmp_path)


class TestContract(BlobStoreContract, CorruptibleBlobStoreContract, DurableBlobStoreContract):
    @pytest.fixture
    async def blobs(self, context: FactoryContext) -> AsyncIterator[BlobStore]:
        bound = {PortName.BLOBS: Registry.discovered().bind("blobs", "folder")}
        async with open_ports(bound, context) as ports:
            yield ports[PortName.BLOBS]

    @pytest.fixture
    def corrupt(self, context: FactoryContext) -> Corrupt:
        async def spoil(ref: str) -> None:
            (file,) = (path for path in (context.home / "blobs").rglob("*") if path.is_file())
            assert ref.endswith(file.name)
            file.write_bytes(b"spoiled")

        return spoil

    @pytest.fixture
    def reopen(self, context: FactoryContext) -> Reopen:
        async def again() -> BlobStore:
            return await FolderBlobs.open(context.home / "blobs")

        return again


def test_it_is_found_as_every_other_adapter_is() -> None:
    binding = Registry.discovered().bind("blobs", "folder", {"fsync": False})
    assert binding.settings == FolderSettings(fsync=False)
    assert binding.distribution == "fleet-blobs-folder"


async def test_a_reference_is_never_a_path(context: FactoryContext) -> None:
    (context.home / "secret").write_text("x")
    bound = {PortName.BLOBS: Registry.discovered().bind("blobs", "folder", {})}
    async with open_ports(bound, context) as ports:
        with pytest.raises(NotFound, match="no blob reference"):
            await ports[PortName.BLOBS].get("../secret")


async def test_a_folder_that_goes_away_is_named(context: FactoryContext) -> None:
    bound = {PortName.BLOBS: Registry.discovered().bind("blobs", "folder", {})}
    async with open_ports(bound, context) as ports:
        (context.home / "blobs").rmdir()
        with pytest.raises(StoreError, match=r"blobs\.folder: .*No such file"):
            await ports[PortName.BLOBS].put(b"x")


async def test_a_folder_that_cannot_be_made_is_named(context: FactoryContext) -> None:
    (context.home / "file").write_text("x")
    bound = {PortName.BLOBS: Registry.discovered().bind("blobs", "folder", {"folder": "file"})}
    with pytest.raises(StoreError, match=r"blobs\.folder: .*file: File exists"):
        async with open_ports(bound, context):
            raise AssertionError
