"""Pulling from a hub: as much of its protocol as one file needs, on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.llamacpp.hub import pull
from fleet_core.errors import InputError, NotFound, StoreError, Unavailable

pytestmark = [pytest.mark.anyio, pytest.mark.connected]

_CONTENT = b"GGUF" + bytes(range(256)) * 8000
_SHA = hashlib.sha256(_CONTENT).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """Serves one file; `sends` bytes of it at most before it breaks off."""

    sends = len(_CONTENT)
    sha = _SHA
    ranges: list[str]

    def do_HEAD(self) -> None:
        if self._known():
            self._head(200, len(_CONTENT))

    def do_GET(self) -> None:
        if not self._known():
            return
        wanted = self.headers.get("Range", "")
        self.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self._head(206 if wanted else 200, len(_CONTENT) - start)
        self.wfile.write(_CONTENT[start : start + self.sends])
        self.close_connection = True

    def _known(self) -> bool:
        if self.path.split("?")[0] == "/tiny/models/resolve/main/small.gguf":
            return True
        self.send_response(404)
        self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("ETag", f'"{self.sha}"')
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[Hub]]]:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 5)
    handler = type("Hub", (Hub,), {"ranges": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


async def test_pulls_a_file_and_keeps_its_checksum(
    tmp_path: Path, hub: tuple[str, type[Hub]]
) -> None:
    endpoint, handler = hub
    seen: list[tuple[int, int]] = []
    path = await pull(
        "tiny/models",
        "small.gguf",
        tmp_path,
        lambda done, of: seen.append((done, of)),
        endpoint=endpoint,
    )
    assert path == tmp_path / "tiny--models" / "small.gguf"
    assert path.read_bytes() == _CONTENT
    assert path.with_name("small.gguf.sha256").read_text() == f"{_SHA}  small.gguf\n"
    assert seen[-1] == (len(_CONTENT), len(_CONTENT))
    await pull("tiny/models", "small.gguf", tmp_path, endpoint=endpoint)
    assert len(handler.ranges) == 1, "an unchanged file was fetched again"


async def test_goes_on_where_an_earlier_pull_stopped(
    tmp_path: Path, hub: tuple[str, type[Hub]], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, handler = hub
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    half = len(_CONTENT) // 2
    monkeypatch.setattr(handler, "sends", half)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 64 * 1024)

    def progress(done: int, _: int) -> None:
        if done >= half // 2:
            loop.call_soon_threadsafe(stop.set)

    pulling = asyncio.create_task(
        pull("tiny/models", "small.gguf", tmp_path, progress, endpoint=endpoint)
    )
    await stop.wait()
    pulling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pulling
    part = next((tmp_path / "tiny--models").glob("*.partial"))
    assert 0 < part.stat().st_size < len(_CONTENT)
    assert not (tmp_path / "tiny--models" / "small.gguf").exists()

    got = part.stat().st_size
    handler.ranges.clear()
    monkeypatch.setattr(handler, "sends", len(_CONTENT))
    path = await pull("tiny/models", "small.gguf", tmp_path, endpoint=endpoint)
    assert handler.ranges == [f"bytes={got}-"]
    assert path.read_bytes() == _CONTENT
    assert not list(path.parent.glob("*.partial"))


async def test_two_at_once_pull_once(tmp_path: Path, hub: tuple[str, type[Hub]]) -> None:
    endpoint, handler = hub
    await asyncio.gather(
        *(pull("tiny/models", "small.gguf", tmp_path, endpoint=endpoint) for _ in range(2))
    )
    assert len(handler.ranges) == 1


async def test_a_file_of_another_checksum_is_discarded(
    tmp_path: Path, hub: tuple[str, type[Hub]], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, handler = hub
    monkeypatch.setattr(handler, "sha", "0" * 64)
    with pytest.raises(StoreError, match="SHA-256"):
        await pull("tiny/models", "small.gguf", tmp_path, endpoint=endpoint)
    assert _below(tmp_path / "tiny--models") == [".small.gguf.lock"]


async def test_what_the_hub_does_not_have_is_named(
    tmp_path: Path, hub: tuple[str, type[Hub]]
) -> None:
    with pytest.raises(NotFound, match=r"tiny/models/other\.gguf"):
        await pull("tiny/models", "other.gguf", tmp_path, endpoint=hub[0])


async def test_a_hub_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"small\.gguf"):
        await pull("tiny/models", "small.gguf", tmp_path, endpoint="http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("repo", "filename"),
    [
        ("models", "a.gguf"),
        ("a/b/c", "a.gguf"),
        ("../..", "a.gguf"),
        ("a/", "a.gguf"),
        ("a/b", ""),
        ("a/b", "/etc/passwd"),
        ("a/b", "x/../../../y"),
    ],
)
async def test_no_name_leads_out_of_the_folder(tmp_path: Path, repo: str, filename: str) -> None:
    with pytest.raises(InputError):
        await pull(repo, filename, tmp_path, endpoint="http://127.0.0.1:1")
    assert not _below(tmp_path)


def _below(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]
