"""The monitor as a service, over a real NATS: events, words, outages, and TLS."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fleet_bootstraps.fleet import core_strategies, opened_ports, system_clock
from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import bound
from fleet_bootstraps.secrets import secrets_from
from fleet_bootstraps.services.monitor import monitor_service
from fleet_bootstraps.stack.nats import running_nats
from fleet_bootstraps.telemetry.watching import Watching
from fleet_core.domain.deliberation import ProtocolSpec
from fleet_core.errors import ProfileError
from fleet_core.ports.token_stream import Words
from fleet_core.testing.playing import Play, proposed, seats, start_with
from fleet_core.usecases.payload import travelling
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.registry import Registry

pytestmark = [pytest.mark.anyio, pytest.mark.connected]
NOBODY = "127.0.0.1:1"
LIMIT_S = 60
OWN = (PortName.BUS, PortName.TOKENS, PortName.BLOBS)


@dataclass(frozen=True)
class Stage:
    """A monitor over NATS, and the ports of a fleet that publishes there."""

    url: str
    nats: int
    ports: Any
    watching: Watching
    http: aiohttp.ClientSession

    async def get(self, path: str) -> Any:
        async with self.http.get(f"{self.url}{path}") as response:
            return response.status, await response.json()


@asynccontextmanager
async def staged(tmp_path: Path, *sets: str, **secrets: str) -> AsyncIterator[Stage]:
    async with running_nats(tmp_path / "nats") as server:
        given = [
            f'bus.servers=["{server.url}"]',
            f'tokens.servers=["{server.url}"]',
            *("state.use=sqlite", "blobs.use=sqlite"),
            *(f"executor.address={NOBODY}", f"hydrator.address={NOBODY}"),
            "services.monitor.listen=127.0.0.1:0",
            *sets,
        ]
        profile = bound("fleet", layered("fleet", {}, given), Registry.discovered())
        context = FactoryContext(system_clock, secrets_from(secrets), tmp_path / "home")
        watching = Watching()
        async with (
            opened_ports(profile, context, only=OWN) as ports,
            monitor_service(profile, context, watching=watching) as page,
            aiohttp.ClientSession() as http,
        ):
            scheme = "https" if profile.settings.service("monitor").tls_cert else "http"
            yield Stage(f"{scheme}://{page.address}", server.pid, ports, watching, http)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not await holds():  # noqa: ASYNC110 -- seen from outside
            await asyncio.sleep(0.05)


def begun() -> Play:
    """A deliberation whose agents have been asked."""
    return Play(core_strategies()["vote"]).begin(start_with(seats("DEV", 2), ProtocolSpec("vote")))


async def test_events_and_words_come_over_nats(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        play = begun()
        bus, tokens = stage.ports[PortName.BUS], stage.ports[PortName.TOKENS]
        await bus.publish(play.log)
        path = f"/api/deliberations/{play.now.deliberation_id}"

        async def known() -> bool:
            return bool((await stage.get(path))[0] == 200)

        await until(known)
        job = play.now.outstanding[0]
        asked = f"{stage.url}/api/events?deliberation={play.now.deliberation_id}"
        async with stage.http.get(asked) as response, asyncio.timeout(LIMIT_S):
            said = ""
            while "words" not in said:
                if tokens.heard(play.now.token):
                    words = Words(
                        play.now.deliberation_id, play.now.token, job.agent_id, job.job_id, 0, "Aha"
                    )
                    tokens.say(words)
                said += (await response.content.readline()).decode()
            told = json.loads((await response.content.readline()).decode().removeprefix("data: "))
        assert (told["job_id"], told["text"]) == (job.job_id, "Aha")

        for one in play.asked():
            play.answer(one, lambda asked: proposed(asked, f"by {asked.job.agent_id}"))
        await bus.publish(play.log)

        async def decided() -> bool:
            _, shown = await stage.get(path)
            return bool(shown["deliberation"]["state"] == "decided")

        await until(decided)


async def test_what_travels_by_reference_is_shown_and_what_is_gone_is_said(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        play = begun()
        large = "x" * 400_000
        play.answer(play.asked()[0], lambda asked: proposed(asked, large))
        blobs, bus = stage.ports[PortName.BLOBS], stage.ports[PortName.BUS]
        whole = [await travelling(event, blobs) for event in play.log]
        assert "ref" in whole[-1].data["input"]
        lost = replace(whole[-1], event_id="lost", sequence=99)
        lost = replace(
            lost,
            data={**lost.data, "deliberation_id": "other", "input": {"ref": f"sha256:{'0' * 64}"}},
        )
        await bus.publish([*whole, lost])
        path = f"/api/deliberations/{play.now.deliberation_id}"

        async def known() -> bool:
            return bool((await stage.get("/api/deliberations"))[1]["total"] == 2)

        await until(known)
        _, shown = await stage.get(path)
        _, rows = await stage.get("/api/deliberations")
        texts = [
            job["proposal"]["text"]
            for job in shown["deliberation"]["steps"][0]["jobs"]
            if job["proposal"]
        ]
        trouble = {row["deliberation_id"]: row["trouble"] for row in rows["deliberations"]}
        assert texts == [large]
        assert "0000" in trouble["other"]


async def test_a_bus_that_is_away_turns_it_red_until_it_is_back(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:

        async def ready(status: int) -> bool:
            return bool((await stage.get("/readyz"))[0] == status)

        await until(lambda: ready(200))
        os.kill(stage.nats, signal.SIGSTOP)
        try:
            await until(lambda: ready(503))
            _, told = await stage.get("/readyz")
            _, overview = await stage.get("/api/overview")
        finally:
            os.kill(stage.nats, signal.SIGCONT)
        assert "bus" in told["reasons"]
        away = {p["name"]: p["reason"] for p in overview["parts"] if p["state"] == "not ready"}
        assert "bus" in away
        assert away["bus"]
        await until(lambda: ready(200))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine: TLS was not tested")
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=here"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(["openssl", *made], cwd=tmp_path, check=True, capture_output=True)
    return str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")


async def test_over_tls_the_cookie_goes_nowhere_else(
    tmp_path: Path, certificate: tuple[str, str]
) -> None:
    cert, key = certificate
    sets = (
        *(f"services.monitor.tls_cert={cert}", f"services.monitor.tls_key={key}"),
        *("services.monitor.token=LOOK", "services.monitor.admin_token=ACT"),
        "services.monitor.listen=0.0.0.0:0",
    )
    async with staged(tmp_path, *sets, LOOK="look", ACT="act") as stage:
        url = stage.url.replace("0.0.0.0", "127.0.0.1")
        trust = ssl.create_default_context(cafile=cert)
        body, headers = {"token": "act"}, {"Origin": url}
        async with stage.http.post(
            f"{url}/api/session", json=body, headers=headers, ssl=trust
        ) as r:
            assert (await r.json())["act"] is True
            assert "Secure" in r.headers["Set-Cookie"]
        plain = {"Origin": url.replace("https", "http")}
        async with stage.http.post(f"{url}/api/session", json=body, headers=plain, ssl=trust) as r:
            assert r.status == 403
        async with stage.http.get(f"{url}/metrics", ssl=trust) as r:
            assert r.status == 401


async def test_beyond_loopback_it_wants_tls_and_a_token(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="without TLS and a token"):
        async with staged(tmp_path, "services.monitor.listen=0.0.0.0:0"):
            pass


async def test_stores_of_one_process_are_refused(tmp_path: Path) -> None:
    profile = bound("scripted", layered("scripted", {}, ["model.script=x"]), Registry.discovered())
    context = FactoryContext(system_clock, secrets_from({}), tmp_path)
    with pytest.raises(ProfileError, match="cannot be shared"):
        async with monitor_service(profile, context):
            pass
