"""TLS, with a client's certificate, to the server itself."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from fleet_core.errors import StoreError, Unavailable
from fleet_plugins.contracts.stories import Story

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.connected,
    pytest.mark.usefixtures("collected"),
    # The driver leaves its socket to the collector where it is cancelled while it connects.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


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


@pytest.fixture
async def secured(server: Any, opener: Any, pki: Path) -> AsyncIterator[Any]:
    """Opens graphs by TLS on a server that asks for a certificate; files are named in `pki`."""
    trusted = server.folder / "trusted"
    trusted.mkdir()
    shutil.copy(pki / "ca.pem", trusted)
    settings = {
        "server.bolt.tls_level": "OPTIONAL",  # whoever waits for its start asks in the clear
        "dbms.ssl.policy.bolt.enabled": "true",
        "dbms.ssl.policy.bolt.base_directory": str(pki),
        "dbms.ssl.policy.bolt.private_key": "server.key",
        "dbms.ssl.policy.bolt.public_certificate": "server.pem",
        "dbms.ssl.policy.bolt.trusted_dir": str(trusted),
        "dbms.ssl.policy.bolt.client_auth": "REQUIRE",
    }
    await server.start(**settings)
    opener.uri, opener.home = server.running.uri.replace("bolt:", "bolt+s:"), pki
    async with AsyncExitStack() as stack:
        opener.stack = stack
        yield opener


async def test_it_is_used_with_a_certificate_and_refused_without(secured: Any) -> None:
    client = {"cert": "client.pem", "key": "client.key"}
    graph = await secured.open(ca="ca.pem", **client)
    story = Story()
    assert await graph.record_plan(story.plan("p")) == 1
    assert await graph.revision(story.name) == 1
    for unknown in ({}, {"ca": "other.pem"}):
        with pytest.raises(StoreError, match="certificate") as caught:
            await secured.open(**unknown, **client)
        assert "ca" in caught.value.hint
    with pytest.raises(Unavailable):  # TLS 1.3 tells a client only by hanging up
        await secured.open(ca="ca.pem", timeout_ms=2_000)
