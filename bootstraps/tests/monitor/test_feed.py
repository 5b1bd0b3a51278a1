from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from fleet_core.ports.token_stream import Words
from fleet_plugins.api import PortName

pytestmark = pytest.mark.anyio
Staged = Callable[..., AbstractAsyncContextManager[Any]]


class Events:
    """Reads server-sent events off a response."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.last_id = ""

    async def next(self) -> tuple[str, Any]:
        name, data = "", ""
        async with asyncio.timeout(20):
            while True:
                line = (await self._response.content.readline()).decode().rstrip("\n")
                if not line and name:
                    return name, json.loads(data)
                head, _, value = line.partition(": ")
                if head == "id":
                    self.last_id = value
                elif head == "event":
                    name = value
                elif head == "data":
                    data = value

    async def until(self, name: str) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        while not found or found[-1][0] != name:
            found.append(await self.next())
        return found

    async def until_state(self, state: str) -> Any:
        while True:
            name, data = await self.next()
            if name == "deliberation" and data["state"] == state:
                return data


@asynccontextmanager
async def listening(stage: Any, **headers: str) -> AsyncIterator[Events]:
    async with stage.http.get(f"{stage.url}/api/events", headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield Events(response)


async def test_a_new_client_gets_everything_then_what_changes(staged: Staged) -> None:
    async with staged() as stage:
        run = await stage.run()
        async with listening(stage) as events:
            first = await events.until("ready")
            assert [name for name, _ in first] == [
                "hello",
                "letters",
                "deliberation",
                "plan",
                "ready",
            ]
            assert first[2][1]["deliberation_id"] == run.tasks[0].deliberation_id
            assert first[3][1]["state"] == "decided"

            await stage.approve({"id": "b", "title": "Do b", "role": "QA"})
            decided = await events.until_state("decided")
            assert decided["task"] == "b"
            assert decided["winner"] == "qa-2"


async def test_a_client_that_comes_back_gets_only_what_it_missed(staged: Staged) -> None:
    async with staged() as stage:
        await stage.run()
        async with listening(stage) as events:
            await events.until("ready")
            seen = events.last_id
        await stage.run({"id": "b", "title": "Do b", "role": "QA"})

        async with listening(stage, **{"Last-Event-ID": seen}) as events:
            missed = await events.until("ready")
            rows = [data for name, data in missed if name == "deliberation"]
            assert missed[0][1]["resumed"] is True
            assert [row["task"] for row in rows] == ["b"]

        async with listening(stage, **{"Last-Event-ID": f"other.{seen.partition('.')[2]}"}) as all_:
            again = await all_.until("ready")
            assert again[0][1]["resumed"] is False
            assert len([1 for name, _ in again if name == "deliberation"]) == 2


async def test_a_slow_reader_gets_the_last_state_once(staged: Staged) -> None:
    async with staged() as stage, stage.site.feed.listening() as slow:
        run = await stage.run()
        identity = run.tasks[0].deliberation_id
        told = []
        while (key := slow.take()) is not None:
            told.append(key)

        assert sorted(told) == [("deliberation", identity), ("plan", run.plan_id)]
        position, row = stage.site.feed.rendered(("deliberation", identity))
        assert position == stage.site.picture.deliberations[identity].position
        assert json.loads(row)["state"] == "decided"


async def test_words_come_as_they_are_said_and_without_an_id(staged: Staged) -> None:
    async with staged({"text": "slow", "delay_ms": 60_000}) as stage:
        await stage.approve()
        deliberations = stage.site.picture.deliberations
        await stage.until(lambda: any(d.state and d.state.steps for d in deliberations.values()))
        ((identity, tracked),) = deliberations.items()
        job, tokens = next(tracked.state.jobs()), stage.ports[PortName.TOKENS]
        async with stage.http.get(f"{stage.url}/api/events?deliberation={identity}") as response:
            events = Events(response)
            await events.until("ready")
            before, said = events.last_id, ""
            for offset, text in ((0, "one "), (4, "two "), (8, "three")):
                words = Words(identity, tracked.state.token, job.agent_id, job.job_id, offset, text)
                tokens.say(words)
            while "three" not in said:
                name, data = await events.next()
                if name == "words":
                    assert data["offset"] == len(said)
                    assert (data["job_id"], data["agent"]) == (job.job_id, job.agent_id)
                    said += data["text"]
            assert said == "one two three"
            assert events.last_id == before


async def test_ids_of_nothing_begin_anew(staged: Staged) -> None:
    async with staged() as stage:
        for given in ("", ".", "x", "0.1", "a.b", f"a.{'9' * 150}", "\u00e9.1"):
            url, params = f"{stage.url}/api/events", {"last_event_id": given}
            async with stage.http.get(url, params=params) as response:
                (_, hello), *_ = await Events(response).until("ready")
                assert hello["resumed"] is False
