from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from fleet_adapters.scripted.answering import HashedAnswers
from fleet_adapters.scripted.script import parse_script
from fleet_adapters.scripted.server import MODEL, main, serve, serve_script
from fleet_core.domain.job_header import JOB_HEADER
from fleet_plugins.contracts.model import CONTRACT_SCRIPT, budget

pytestmark = pytest.mark.anyio

_BODY = {"model": MODEL, "messages": [{"role": "user", "content": "What now?"}]}


async def test_keeps_what_it_was_asked() -> None:
    async with (
        serve_script(parse_script(CONTRACT_SCRIPT)) as server,
        aiohttp.ClientSession() as session,
    ):
        url = f"{server.base_url}/chat/completions"
        for task in ("any", "any", "refused"):
            async with session.post(url, json=_BODY, headers=budget(task).headers) as response:
                assert response.status == (400 if task == "refused" else 200)
        async with session.get(server.base_url.replace("/v1", "/_calls")) as response:
            counts = await response.json()
    assert counts == server.as_data()
    assert counts["total"] == 3
    assert server.calls[budget("any").headers[JOB_HEADER]] == 2
    assert server.seen[0].prompt == "What now?"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"messages": 1}', b'{"messages": [{}]}'])
async def test_a_bad_request_is_answered_400(body: bytes) -> None:
    async with (
        serve_script(parse_script(CONTRACT_SCRIPT)) as server,
        aiohttp.ClientSession() as session,
        session.post(f"{server.base_url}/chat/completions", data=body) as response,
    ):
        assert response.status == 400


async def test_a_call_without_an_entry_is_answered_404_naming_it() -> None:
    script = parse_script({"answers": [{"task": "known", "text": "x"}]})
    async with (
        serve_script(script) as server,
        aiohttp.ClientSession() as session,
        session.post(
            f"{server.base_url}/chat/completions", json=_BODY, headers=budget("strange").headers
        ) as response,
    ):
        assert response.status == 404
        assert "strange" in await response.text()


@pytest.mark.connected
async def test_another_model_than_the_one_it_lists_is_refused_as_real_servers_do() -> None:
    async with serve(HashedAnswers()) as server, aiohttp.ClientSession() as session:
        url = f"{server.base_url}/chat/completions"
        async with session.post(url, json={**_BODY, "model": "other"}) as response:
            assert response.status == 404
            assert "'other'" in await response.text()
    assert server.total == 0


async def test_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fleet_adapters.scripted.server", "--hash",
        "--port-file", str(port_file), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            base_url = (await process.stdout.readline()).decode().strip()
        assert base_url == f"http://127.0.0.1:{port_file.read_text()}/v1"
        texts = set()
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with session.post(f"{base_url}/chat/completions", json=_BODY) as response:
                    answer = json.loads(await response.read())
                    texts.add(answer["choices"][0]["message"]["content"])
            async with session.get(base_url.replace("/v1", "/_calls")) as response:
                assert (await response.json())["total"] == 2
        assert len(texts) == 1
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0


async def test_the_process_refuses_a_bad_script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "bad.yaml"
    script.write_text("answers: [{txt: 1}]")
    assert main(["--script", str(script)]) == 2
    assert "answers[0].txt: unknown key" in capsys.readouterr().err
