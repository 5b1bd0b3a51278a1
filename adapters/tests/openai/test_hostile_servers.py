from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from fleet_adapters.openai.plugin import OpenaiSettings
from fleet_adapters.openai.plugin import model as plugin
from fleet_core.errors import (
    EmptyAnswer,
    FleetError,
    MalformedAnswer,
    ModelError,
    ModelRefused,
    ModelUnavailable,
    ProfileError,
    RateLimited,
    StreamCut,
)
from fleet_core.ports.model import Model
from fleet_plugins.api import FactoryContext
from fleet_plugins.contracts.model import SCHEMA, asked, budget

pytestmark = pytest.mark.anyio

Respond = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
_OK = b'{"choices":[{"message":{"content":"fine"},"finish_reason":"stop"}]}'


class RawServer:
    """Answers each request with whatever bytes a test wants."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self.requests: list[bytes] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        size = int(line.split(b":")[1])
                request = head + await reader.readexactly(size)
                self.requests.append(request)
                await self._respond(request, writer)
                await writer.drain()
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def raw_server(respond: Respond) -> AsyncIterator[RawServer]:
    server = RawServer(respond)
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


@asynccontextmanager
async def opened(settings: OpenaiSettings, key: str = "") -> AsyncIterator[Model]:
    ctx = FactoryContext(clock=lambda: 0, secret=lambda _: key, home=Path())
    async with plugin.fleet_adapter().factory(settings, ctx) as model:
        yield model


def http(status: int, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def always(*answers: bytes, close: bool = False) -> Respond:
    """The answers in turn, the last for ever."""
    left = list(answers)

    async def respond(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        if close:
            writer.close()

    return respond


def events(*datas: str, done: bool = True) -> bytes:
    lines = [f"data: {data}\n\n" for data in datas] + (["data: [DONE]\n\n"] if done else [])
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    return (head + "".join(lines)).encode()


def delta(text: str) -> str:
    return json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": None}]})


async def failure(
    respond: Respond, kind: type[ModelError], *, streamed: bool = False, attempts: int = 1
) -> ModelError:
    async with raw_server(respond) as server:
        settings = OpenaiSettings(base_url=server.url, model="m", max_attempts=attempts)
        async with opened(settings) as model:
            with pytest.raises(FleetError) as caught:
                await model.complete(
                    asked(),
                    budget(timeout_ms=3_000),
                    (lambda _: None) if streamed else None,
                )
    assert type(caught.value) is kind, caught.value
    assert "Traceback" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "raw",
    [
        b"<html>a proxy's greeting</html>",
        b"",
        b"[]",
        b"null",
        b'{"choices":[]}',
        b'{"choices":[{"message":null}]}',
        b'{"choices":[{"message":{"content":42}}]}',
        b'{"choices":{"0":1}}',
        b"\xff\xfe\x00",
    ],
)
async def test_garbage_of_status_200_is_refused(raw: bytes) -> None:
    error = await failure(always(http(200, raw)), ModelRefused)
    assert "base_url" in error.hint


@pytest.mark.parametrize(
    "raw", [b"not http at all\r\n\r\n", b"HTTP/1.1 banana\r\n\r\n", b"\x00" * 64]
)
async def test_what_is_no_http_is_unavailable(raw: bytes) -> None:
    await failure(always(raw, close=True), ModelUnavailable)


@pytest.mark.parametrize(
    "stream",
    [
        events(delta("half"), done=False),
        events(done=False),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:",
        events(delta("half"), done=False) + b'data: {"choices":[{"delta":{"content":"torn',
    ],
)
async def test_a_stream_without_its_end_is_cut(stream: bytes) -> None:
    await failure(always(stream, close=True), StreamCut, streamed=True)


@pytest.mark.parametrize(
    "data",
    ["{broken", "42", '{"choices":[{"delta":7}]}', '{"choices":[{"delta":{"content":[1]}}]}'],
)
async def test_garbage_in_a_stream_is_refused(data: str) -> None:
    await failure(always(events(delta("a"), data), close=True), ModelRefused, streamed=True)


async def test_an_error_in_the_midst_of_a_stream_is_told() -> None:
    said = json.dumps({"error": {"message": "the GPU is on fire", "code": 500}})
    error = await failure(
        always(events(delta("a"), said), close=True), ModelUnavailable, streamed=True
    )
    assert "the GPU is on fire" in error.message


async def test_a_stream_of_only_blanks_is_empty() -> None:
    await failure(always(events(delta(" \n")), close=True), EmptyAnswer, streamed=True)


async def test_a_line_without_end_is_not_collected_for_ever() -> None:
    async def endless(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: ")
        while not writer.is_closing():
            writer.write(b"x" * 65536)
            await writer.drain()

    await failure(endless, ModelRefused, streamed=True)


async def test_a_server_that_drips_ends_with_the_budget() -> None:
    async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while not writer.is_closing():
            writer.write(f"data: {delta('x')}\n\n".encode())
            await writer.drain()
            await asyncio.sleep(0.01)

    async with (
        raw_server(drip) as server,
        opened(OpenaiSettings(base_url=server.url, model="m")) as model,
    ):
        with pytest.raises(ModelUnavailable, match="did not finish") as caught:
            await model.complete(asked(), budget(timeout_ms=200), lambda _: None)
    assert caught.value.answer_tokens > 0


async def test_retry_after_as_a_date_is_honoured() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    busy = http(429, b'{"error":{"message":"slow down"}}', f"Retry-After: {later}")
    error = await failure(always(busy), RateLimited, attempts=3)
    assert isinstance(error, RateLimited)
    assert 3_500_000 < error.retry_after_ms <= 3_600_000
    assert error.attempts == 1
    assert "slow down" in error.message


async def test_waits_as_long_as_the_server_asks() -> None:
    busy = http(429, b"{}", "Retry-After: 0.3")
    async with (
        raw_server(always(busy, http(200, _OK))) as server,
        opened(OpenaiSettings(base_url=server.url, model="m")) as model,
    ):
        start = time.monotonic()
        answer = await model.complete(asked(), budget())
    assert time.monotonic() - start >= 0.3
    assert (answer.text, answer.attempts) == ("fine", 2)


@pytest.mark.parametrize("value", ["soon", "-5", "nan", "", "Mon, 99 Foo 2026"])
async def test_a_retry_after_that_means_nothing_is_passed_over(value: str) -> None:
    error = await failure(always(http(429, b"{}", f"Retry-After: {value}")), RateLimited)
    assert isinstance(error, RateLimited)
    assert error.retry_after_ms == 0


async def test_usage_that_the_server_does_not_tell_is_estimated() -> None:
    async with (
        raw_server(always(http(200, _OK))) as server,
        opened(OpenaiSettings(base_url=server.url, model="m")) as model,
    ):
        answer = await model.complete(asked(), budget())
    assert answer.estimated
    assert answer.prompt_tokens > 0
    assert answer.answer_tokens > 0


async def test_half_a_character_does_not_pass() -> None:
    body = rb'{"choices":[{"message":{"content":"a\ud83d b"},"finish_reason":"stop"}]}'
    async with (
        raw_server(always(http(200, body))) as server,
        opened(OpenaiSettings(base_url=server.url, model="m")) as model,
    ):
        answer = await model.complete(asked(), budget())
    assert answer.text == "a\ufffd b"


async def test_a_character_in_two_events_is_put_together() -> None:
    halves = [
        rb'{"choices":[{"delta":{"content":"\ud83d"}}]}',
        rb'{"choices":[{"delta":{"content":"\ude00"}}]}',
    ]
    stream = events(*(half.decode() for half in halves))
    async with (
        raw_server(always(stream, close=True)) as server,
        opened(OpenaiSettings(base_url=server.url, model="m")) as model,
    ):
        answer = await model.complete(asked(), budget(), lambda _: None)
    assert answer.text == "\U0001f600"


async def test_a_structured_answer_with_half_a_character_is_malformed() -> None:
    text = '{"title": "\\ud83d", "ranking": ["A", "B", "C"]}'
    body = json.dumps({"choices": [{"message": {"content": text}}]}).encode()
    async with (
        raw_server(always(http(200, body))) as server,
        opened(OpenaiSettings(base_url=server.url, model="m")) as model,
    ):
        with pytest.raises(MalformedAnswer):
            await model.complete(asked(schema=SCHEMA), budget())


async def test_json_cut_by_the_token_limit_says_so() -> None:
    body = json.dumps(
        {"choices": [{"message": {"content": '{"title": "a'}, "finish_reason": "length"}]}
    ).encode()
    async with (
        raw_server(always(http(200, body))) as server,
        opened(OpenaiSettings(base_url=server.url, model="m")) as model,
    ):
        with pytest.raises(MalformedAnswer, match="token limit"):
            await model.complete(asked(schema=SCHEMA), budget())


async def test_without_structured_output_the_schema_stays_here_and_the_answer_is_held_to_it() -> (
    None
):
    text = 'Sure!\n```json\n{"title": "t", "ranking": ["B", "A", "C"]}\n```\n'
    body = json.dumps({"choices": [{"message": {"content": text}}]}).encode()
    async with (
        raw_server(always(http(200, body))) as server,
        opened(OpenaiSettings(base_url=server.url, model="m", structured="off")) as model,
    ):
        answer = await model.complete(asked(schema=SCHEMA), budget())
        assert json.loads(answer.text)["ranking"] == ["B", "A", "C"]
        assert b"response_format" not in server.requests[0]


async def test_the_key_is_sent_and_never_repeated() -> None:
    key = "sk-very-secret"
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {key}"}}).encode()
    async with (
        raw_server(always(http(401, body))) as server,
        opened(OpenaiSettings(base_url=server.url, model="m", api_key="MY_KEY"), key) as model,
    ):
        with pytest.raises(ModelRefused) as caught:
            await model.complete(asked(), budget())
        health = await model.health()
    assert f"Bearer {key}".encode() in server.requests[0]
    assert key not in repr(caught.value)
    assert "api_key" in caught.value.hint
    assert key not in health.detail


async def test_a_message_is_one_short_line_fit_for_a_terminal() -> None:
    body = json.dumps({"error": {"message": "\x1b[31mbad\n" + "long " * 500}}).encode()
    error = await failure(always(http(400, body)), ModelRefused)
    assert len(error.message) < 400
    assert error.message.isprintable()


async def test_a_redirect_is_not_followed() -> None:
    moved = http(302, b"", "Location: http://127.0.0.1:1/")
    error = await failure(always(moved), ModelRefused)
    assert "base_url" in error.hint


async def test_an_unreachable_url_is_named_with_the_way_out() -> None:
    async with opened(OpenaiSettings(base_url="http://127.0.0.1:1/v1", model="m")) as model:
        with pytest.raises(ModelUnavailable) as caught:
            await model.complete(asked(), budget(timeout_ms=2_000))
        health = await model.health()
    assert "http://127.0.0.1:1/v1: Connection refused" in caught.value.message
    assert "--set model.base_url=URL" in caught.value.hint
    assert not health.ready
    assert "http://127.0.0.1:1/v1" in health.detail


async def test_a_connection_closed_while_idle_costs_nothing() -> None:
    async with (
        raw_server(always(http(200, _OK), close=True)) as server,  # closes without saying so
        opened(OpenaiSettings(base_url=server.url, model="m", max_attempts=1)) as model,
    ):
        for _ in range(5):
            assert (await model.complete(asked(), budget())).text == "fine"


async def test_a_failed_server_is_left_alone_while_another_serves() -> None:
    async with (
        raw_server(always(http(503, b""))) as bad,
        raw_server(always(http(200, _OK))) as good,
        opened(OpenaiSettings(base_url=f"{bad.url},{good.url}", model="m")) as model,
    ):
        for _ in range(8):
            assert (await model.complete(asked(), budget())).text == "fine"
    assert len(bad.requests) == 1
    assert len(good.requests) == 8


async def test_a_busy_server_does_not_hold_up_a_call_that_another_can_take() -> None:
    async with (
        raw_server(always(http(429, b"", "Retry-After: 3600"))) as busy,
        raw_server(always(http(200, _OK))) as good,
        opened(OpenaiSettings(base_url=f"{busy.url},{good.url}", model="m")) as model,
    ):
        for _ in range(4):
            assert (await model.complete(asked(), budget(timeout_ms=5_000))).text == "fine"
    assert len(busy.requests) == 1


async def test_the_least_busy_server_is_asked() -> None:
    release = asyncio.Event()

    async def slow(_: bytes, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(http(200, _OK))

    async with (
        raw_server(slow) as stuck,
        raw_server(always(http(200, _OK))) as quick,
        opened(OpenaiSettings(base_url=f"{stuck.url},{quick.url}", model="m")) as model,
    ):
        waiting = asyncio.create_task(model.complete(asked(), budget()))
        other = asyncio.create_task(model.complete(asked(), budget()))
        await asyncio.wait({waiting, other}, return_when=asyncio.FIRST_COMPLETED)
        for _ in range(6):
            await model.complete(asked(), budget())
        assert len(stuck.requests) == 1
        release.set()
        await asyncio.gather(waiting, other)
    assert len(quick.requests) == 7


@pytest.mark.parametrize(("listed", "named"), [(["only"], "only"), ([], ""), (["one", "two"], "")])
async def test_without_a_model_the_only_one_served_is_taken(listed: list[str], named: str) -> None:
    models = json.dumps({"data": [{"id": name} for name in listed]}).encode()

    async def respond(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http(200, models if request.startswith(b"GET") else _OK))

    async with (
        raw_server(respond) as server,
        opened(OpenaiSettings(base_url=server.url)) as model,
    ):
        if named:
            await model.complete(asked(), budget())
            assert b'"model":"only"' in server.requests[-1]
        else:
            with pytest.raises(ModelRefused, match=r"--set model.model=NAME"):
                await model.complete(asked(), budget())


async def test_a_model_that_is_not_served_is_not_ready() -> None:
    models = b'{"data":[{"id":"other"}]}'
    async with (
        raw_server(always(http(200, models))) as server,
        opened(OpenaiSettings(base_url=server.url, model="wanted")) as model,
    ):
        health = await model.health()
    assert not health.ready
    assert "serves other, not wanted" in health.detail


@pytest.mark.parametrize(
    ("kind", "counts"), [("vllm", b'{"count": 3}'), ("llamacpp", b'{"tokens": [5, 6, 7, -1]}')]
)
async def test_counts_by_the_servers_tokenizer(kind: str, counts: bytes) -> None:
    async with (
        raw_server(always(http(200, counts))) as server,
        opened(OpenaiSettings(base_url=server.url, model="m", tokenizer=kind)) as model,
    ):
        assert list(await model.count(["some text"])) == [3]
        assert model.tokenizer() == f"{kind}:m"
    assert server.requests[0].startswith(b"POST /tokenize ")


@pytest.mark.parametrize("kind", ["vllm", "llamacpp"])
@pytest.mark.parametrize("answer", [http(404, b""), http(200, b"{}"), http(200, b"<html>")])
async def test_a_count_that_does_not_come_is_never_made_up(kind: str, answer: bytes) -> None:
    async with (
        raw_server(always(answer)) as server,
        opened(OpenaiSettings(base_url=server.url, model="m", tokenizer=kind)) as model,
    ):
        with pytest.raises(ModelUnavailable, match="tokenize"):
            await model.count(["some text"])


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (OpenaiSettings(base_url=""), "base_url"),
        (OpenaiSettings(base_url="127.0.0.1:8000"), "base_url"),
        (OpenaiSettings(base_url="ftp://host/v1"), "base_url"),
        (OpenaiSettings(base_url="http://ok/v1, http://"), "base_url"),
        (OpenaiSettings(base_url="http://[::1/v1"), "base_url"),
        (OpenaiSettings(timeout_ms=0), "timeout_ms"),
        (OpenaiSettings(max_attempts=0), "max_attempts"),
        (OpenaiSettings(pool=-1), "pool"),
        (OpenaiSettings(structured="yes"), "structured"),
        (OpenaiSettings(tokenizer="tiktoken"), "tokenizer"),
        (OpenaiSettings(limit_field="n_predict"), "limit_field"),
    ],
)
async def test_a_wrong_setting_is_refused_by_name(settings: OpenaiSettings, field: str) -> None:
    with pytest.raises(ProfileError) as caught:
        async with opened(settings):
            pass
    assert caught.value.field == field
