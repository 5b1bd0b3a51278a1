from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fleet_blobs_folder.plugin import FolderSettings

from fleet_core.errors import NotFound, StoreError
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.lifetimes import open_ports
from fleet_plugins.registry import Registry

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def context(tmp_path: Path) -> FactoryContext:
    return FactoryContext(clock=lambda: 0, secret=lambda name: name, home=tmp_path)


def test_it_is_found_as_every_other_adapter_is() -> None:
    binding = Registry.discovered().bind("blobs", "folder", {"fsync": False})
    assert binding.settings == FolderSettings(fsync=False)
    assert binding.distribution == "fleet-blobs-folder"


async def test_a_blob_outlives_the_store_and_a_damaged_one_is_never_handed_out(
    context: FactoryContext,
) -> None:
    bound = {PortName.BLOBS: Registry.discovered().bind("blobs", "folder", {"folder": "b"})}
    async with open_ports(bound, context) as ports:
        refs = await asyncio.gather(*(ports[PortName.BLOBS].put(b"same") for _ in range(8)))
    assert len(set(refs)) == 1
    (file,) = (path for path in (context.home / "b").rglob("*") if path.is_file())
    async with open_ports(bound, context) as ports:
        assert await ports[PortName.BLOBS].get(refs[0]) == b"same"
        file.write_bytes(b"other")
        with pytest.raises(StoreError, match="damaged"):
            await ports[PortName.BLOBS].get(refs[0])


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
