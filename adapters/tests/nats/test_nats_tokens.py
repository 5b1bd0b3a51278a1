"""Words between processes: heard across connections, over restarts, amid garbage."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats
import pytest

from fleet_adapters.nats import tokens as module
from fleet_bootstraps.stack.nats import running_nats
from fleet_core.ports.token_stream import TokenStream, Words

pytestmark = pytest.mark.anyio

_LIMIT_S = 20


@pytest.fixture
def task() -> str:
    return f"{uuid.uuid4().hex[:12]}-T1"


def words(task: str, offset: int, text: str, agent: str = "dev-1") -> Words:
    return Words("d", task, agent, "job", offset, text)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(_LIMIT_S):
        while not true():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.005)


@pytest.fixture
async def speaker(opener: Any) -> TokenStream:
    speaker: TokenStream = await opener.open("tokens")
    return speaker


@pytest.fixture
async def ear(opener: Any) -> TokenStream:
    ear: TokenStream = await opener.open("tokens")
    return ear


async def test_another_process_hears_and_is_known_to_listen(
    speaker: TokenStream, ear: TokenStream, task: str
) -> None:
    assert not speaker.heard(task)
    async with ear.listen(task) as heard:
        await until(lambda: speaker.heard(task))
        assert not speaker.heard(f"{task}-other")
        speaker.say(words(task, 0, "hello"))
        async with asyncio.timeout(_LIMIT_S):
            assert await anext(heard) == words(task, 0, "hello")
    await until(lambda: not speaker.heard(task))


async def test_who_comes_later_learns_who_listens(ear: TokenStream, opener: Any, task: str) -> None:
    async with ear.listen() as _:
        speaker = await opener.open("tokens")
        await until(lambda: bool(speaker.heard(task)))


async def test_a_listener_that_was_killed_is_forgotten(
    speaker: TokenStream, shared_url: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HOLDS_S", 0.3)
    async with await nats.connect(shared_url) as client:
        said = json.dumps({"who": "killed", "tasks": [task]}).encode()
        await client.publish(module.INTEREST, said)
        await until(lambda: speaker.heard(task))
    await until(lambda: not speaker.heard(task))


async def test_garbage_deafens_nobody(
    speaker: TokenStream, ear: TokenStream, shared_url: str, task: str
) -> None:
    async with await nats.connect(shared_url) as client, ear.listen(task) as heard:
        for payload in (b"\xff", b"{}", b"[" * 100_000, b'{"who": 1, "tasks": "x"}', b"[1]"):
            await client.publish(f"vllm.streaming.{task}.dev-1", payload)
            await client.publish(module.INTEREST, payload)
        await client.flush()
        speaker.say(words(task, 0, "clear"))
        async with asyncio.timeout(_LIMIT_S):
            assert (await anext(heard)).text == "clear"


@pytest.mark.parametrize("agent", ["a.b", "a b", "*", ">", "ü/"])
async def test_any_agent_id_can_speak(
    speaker: TokenStream, ear: TokenStream, task: str, agent: str
) -> None:
    async with ear.listen(task) as heard:
        speaker.say(words(task, 0, "yes", agent))
        async with asyncio.timeout(_LIMIT_S):
            assert (await anext(heard)).agent_id == agent


async def test_words_are_kept_for_a_while_though_nobody_listened(
    speaker: TokenStream, opener: Any, task: str
) -> None:
    bus = await opener.open("bus")
    speaker.say(words(task, 0, "for the record"))

    async def kept() -> list[str]:
        stored = [s async for s in bus.replay([f"vllm.streaming.{task}.>"])]
        return [s.event.data["text"] for s in stored]

    async with asyncio.timeout(_LIMIT_S):
        while await kept() != ["for the record"]:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
    assert not [s async for s in bus.replay([">"]) if s.event.subject.startswith("vllm")]


async def test_listening_goes_on_after_a_restart(opener: Any, tmp_path: Path, task: str) -> None:
    async with running_nats(tmp_path / "s") as server:
        opener.url = server.url
        speaker, ear = await opener.open("tokens"), await opener.open("tokens")
        listening = ear.listen(task)
        heard = await listening.__aenter__()
    speaker.say(words(task, 0, "into the void"))  # or, if it was quick, late

    async def back() -> None:
        while (await anext(heard)).text != "back":
            pass

    async with running_nats(tmp_path / "s", port=server.port), asyncio.timeout(_LIMIT_S):
        hearing = asyncio.create_task(back())
        offset = 100
        while not hearing.done():
            speaker.say(words(task, offset, "back"))
            offset += 100
            await asyncio.sleep(0.02)
        await hearing
        await listening.__aexit__(None, None, None)
        await opener.close()
