"""TLS: to a server that has it, and to the packaged one, which has not, behind an end of ours."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fleet_bootstraps.stack.valkey import valkey_server
from fleet_core.errors import StoreError, Unavailable
from fleet_core.ports.state_store import Put, StateStore

pytestmark = [pytest.mark.anyio, pytest.mark.connected]

# The packaged server has no TLS. One of the system's, where it is installed, is tried as well;
# what our adapter does of TLS is shown without it.
SYSTEMS = shutil.which("valkey-server") or shutil.which("redis-server")
ENDS = ["our own end", *(["the server's own"] if SYSTEMS else [])]


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server's and a client's certificate, and another authority."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine: TLS was not tested")
    folder = tmp_path_factory.mktemp("pki")

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "other"):
        openssl(
            *("req", "-x509", *key, "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "keyUsage=critical,keyCertSign"),
            *("-keyout", f"{name}.key", "-out", f"{name}.pem"),
        )
    for name in ("server", "client"):
        san = "subjectAltName=IP:127.0.0.1" if name == "server" else "subjectAltName=DNS:client"
        openssl(
            *("req", "-x509", "-CA", "ca.pem", "-CAkey", "ca.key", *key, "-days", "2"),
            *("-subj", f"/CN={name}", "-addext", san, "-addext", "basicConstraints=CA:false"),
            *("-addext", "authorityKeyIdentifier=keyid"),
            *("-keyout", f"{name}.key", "-out", f"{name}.pem"),
        )
    return folder


@asynccontextmanager
async def _behind_tls(plain: str, pki: Path) -> AsyncIterator[str]:
    """A TLS end that asks for a client's certificate and passes everything on to a server."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki / "ca.pem")
    context.load_cert_chain(pki / "server.pem", pki / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the other side went away
        finally:
            writer.close()

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", urlsplit(plain).port)
        writers.extend((writer, there[1]))
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listening:
        yield f"valkeys://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0"
        for writer in writers:  # newer Pythons wait for every connection before they leave
            writer.close()


@asynccontextmanager
async def _with_tls(found: str, folder: Path, pki: Path, unused_port: int) -> AsyncIterator[str]:
    settings = {
        "tls-port": str(unused_port),
        "tls-cert-file": str(pki / "server.pem"),
        "tls-key-file": str(pki / "server.key"),
        "tls-ca-cert-file": str(pki / "ca.pem"),
        "tls-auth-clients": "yes",
    }
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(
                valkey_server(folder, settings=settings, program=Path(found))
            )
        except StoreError as error:
            if "tls-port" in error.message:
                pytest.skip(f"{found} is built without TLS: its own TLS was not tested")
            raise
        yield f"valkeys://127.0.0.1:{unused_port}/0"


@pytest.fixture(params=ENDS)
async def tls_url(
    request: pytest.FixtureRequest, shared_server: str, pki: Path, tmp_path: Path, unused_port: int
) -> AsyncIterator[str]:
    if request.param == "our own end":
        serving = _behind_tls(shared_server, pki)
    else:
        assert SYSTEMS is not None
        serving = _with_tls(SYSTEMS, tmp_path / "server", pki, unused_port)
    async with serving as url:
        yield url


def _mine(pki: Path) -> dict[str, str]:
    return {"cert": str(pki / "client.pem"), "key": str(pki / "client.key")}


async def test_a_certificate_on_both_sides(opener: Any, tls_url: str, pki: Path) -> None:
    state: StateStore = await opener.open(
        "state", url=tls_url, ca=str(pki / "ca.pem"), **_mine(pki)
    )
    values = [b"x" * 1_000_000, b"y"]
    await state.commit([Put(str(n), value) for n, value in enumerate(values)])
    assert [d.value for d in await state.scan("")] == values


async def test_a_server_of_another_authority_is_not_spoken_to(
    opener: Any, tls_url: str, pki: Path
) -> None:
    for ca in (str(pki / "other.pem"), ""):
        with pytest.raises(StoreError, match=r"(?i)certificate verify failed") as caught:
            await opener.open("state", url=tls_url, ca=ca, **_mine(pki))
        assert "set ca" in caught.value.hint


async def test_a_name_that_the_certificate_does_not_hold(
    opener: Any, tls_url: str, pki: Path
) -> None:
    url = tls_url.replace("127.0.0.1", "localhost")
    with pytest.raises(StoreError, match="localhost"):
        await opener.open("state", url=url, ca=str(pki / "ca.pem"), **_mine(pki))


async def test_a_client_without_certificate_is_turned_away(
    opener: Any, tls_url: str, pki: Path
) -> None:
    with pytest.raises(Unavailable):
        await opener.open("state", url=tls_url, ca=str(pki / "ca.pem"))


async def test_tls_on_one_side_only(opener: Any, tls_url: str, pki: Path) -> None:
    plain, tls = tls_url.replace("valkeys:", "valkey:"), opener.url.replace("valkey:", "valkeys:")
    with pytest.raises(Unavailable):
        await opener.open("state", url=plain, timeout_ms=500)
    with pytest.raises(Unavailable):
        await opener.open("state", url=tls, ca=str(pki / "ca.pem"), timeout_ms=500)
