"""Metrics and health over HTTP, and who may ask."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fleet_bootstraps.settings import ServiceSettings
from fleet_bootstraps.telemetry.meters import Meters
from fleet_bootstraps.telemetry.pages import Pages, served_pages
from fleet_bootstraps.telemetry.readiness import Readiness
from fleet_core.errors import ProfileError, Unavailable

pytestmark = pytest.mark.anyio


def pages(token: str = "") -> Pages:
    return Pages(Readiness(), Meters("executor", executes=True, deliberates=False), token)


@asynccontextmanager
async def asking(found: Pages, **settings: Any) -> AsyncIterator[Any]:
    given = ServiceSettings(metrics="127.0.0.1:0", **settings)
    async with served_pages(found, given) as address, aiohttp.ClientSession() as session:

        async def ask(path: str, **options: Any) -> tuple[int, str]:
            async with session.get(f"http://{address}{path}", **options) as response:
                return response.status, await response.text()

        yield ask


async def test_a_service_is_alive_before_it_is_ready_and_says_what_is_missing() -> None:
    found = pages()
    async with asking(found) as ask:
        assert (await ask("/healthz"))[0] == 200
        assert await ask("/readyz") == (503, '{"ready": false, "reasons": {"service": "starting"}}')
        assert "\nfleet_ready 0.0\n" in (await ask("/metrics"))[1]
        found.readiness.tell({})
        assert await ask("/readyz") == (200, '{"ready": true}')
        assert "\nfleet_ready 1.0\n" in (await ask("/metrics"))[1]
        found.readiness.tell({"bus": "NATS does not answer"})
        assert await ask("/readyz") == (
            503,
            '{"ready": false, "reasons": {"bus": "NATS does not answer"}}',
        )
        found.readiness.stop()
        found.readiness.tell({})  # what answers now does not make it ready again
        assert await ask("/readyz") == (503, '{"ready": false, "reasons": {"service": "stopping"}}')
        assert (await ask("/healthz"))[0] == 200
        assert (await ask("/else"))[0] == 404


async def test_with_a_token_nobody_else_reads_metrics_or_reasons() -> None:
    async with asking(pages("t0ken")) as ask:
        assert (await ask("/metrics"))[0] == 401
        assert (await ask("/metrics", headers={"Authorization": "Bearer t0kem"}))[0] == 401
        assert (await ask("/metrics", headers={"Authorization": "Bearer t0ken"}))[0] == 200
        assert await ask("/readyz") == (503, '{"ready": false}')
        assert (await ask("/healthz"))[0] == 200
        told = await ask("/readyz", headers={"Authorization": "Bearer t0ken"})
        assert "starting" in told[1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"metrics": "0.0.0.0:0"}, "without TLS and a token"),
        ({"metrics": "0.0.0.0:0", "token": "T"}, "without TLS"),
        ({"metrics": "9100"}, "is not host:port"),
        ({"metrics": "127.0.0.1:0", "tls_cert": "no.pem", "tls_key": "no.pem"}, "certificate"),
    ],
)
async def test_what_would_be_exposed_or_cannot_be_read_is_refused(
    settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ProfileError, match=said):
        async with served_pages(pages(), ServiceSettings(**settings)):
            pass


async def test_who_is_told_so_may_be_exposed() -> None:
    given = ServiceSettings(metrics="0.0.0.0:0", insecure=True)
    async with served_pages(pages(), given) as address:
        assert address.startswith("0.0.0.0:")


async def test_a_taken_port_is_named() -> None:
    async with served_pages(pages(), ServiceSettings(metrics="127.0.0.1:0")) as address:
        with pytest.raises(Unavailable, match=f"{address} cannot be listened on"):
            async with served_pages(pages(), ServiceSettings(metrics=address)):
                pass


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine: TLS was not tested")
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=here"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(["openssl", *made], cwd=tmp_path, check=True, capture_output=True)
    return str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")


async def test_with_a_certificate_it_is_https(certificate: tuple[str, str]) -> None:
    cert, key = certificate
    given = ServiceSettings(metrics="127.0.0.1:0", tls_cert=cert, tls_key=key)
    trust = ssl.create_default_context(cafile=cert)
    async with served_pages(pages(), given) as address, aiohttp.ClientSession() as session:
        async with session.get(f"https://{address}/healthz", ssl=trust) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://{address}/healthz")
