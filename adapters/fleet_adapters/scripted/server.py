"""The scripted model behind OpenAI-compatible HTTP, on loopback.

As a process of its own: `python -m fleet_adapters.scripted.server --script FILE` or `--hash`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from fleet_adapters.scripted.answering import (
    Answers,
    Asked,
    HashedAnswers,
    NoAnswer,
    Reply,
    ScriptedAnswers,
)
from fleet_adapters.scripted.script import Fail, Script, load_script
from fleet_core.domain.job_header import JOB_HEADER
from fleet_core.errors import FleetError
from fleet_plugins.kit.trace import HEADER

MODEL = "scripted"
_PIECE = 16  # characters in one piece of a streamed answer
_MOST_BYTES = 64 * 1024 * 1024
_SAMPLING = ("model", "temperature", "top_p", "seed", "stop", "max_tokens", "max_completion_tokens")


@dataclass(slots=True)
class ScriptedServer:
    """What it was asked; counts rise as calls arrive.

    Attributes:
        base_url: up to and with `/v1`.
        calls: by the text of the job header.
        seen: every call, in order of arrival, where the server keeps them.
        in_flight, most_in_flight: calls being answered now, and at most.
        cancelled: calls whose client went away before the answer was out.
    """

    base_url: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    seen: list[Asked] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    cancelled: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def total(self) -> int:
        """Calls in all."""
        return self.calls.total()

    async def until(self, holds: Any, *, timeout_s: float = 10.0) -> None:
        """Wait until `holds(self)`; TimeoutError where it does not come about."""
        async with asyncio.timeout(timeout_s):
            while not holds(self):
                self.changed.clear()
                await self.changed.wait()

    def as_data(self) -> dict[str, Any]:
        """The counts as JSON data, as `GET /_calls` gives them."""
        return {
            "total": self.total,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "cancelled": self.cancelled,
            "by_job": dict(self.calls),
        }


@asynccontextmanager
async def serve_script(
    script: Script | Path, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[ScriptedServer]:
    """Serve a script for as long as the context is held; port 0 takes a free one.

    Raises:
        InputError: the file is not a script.
    """
    loaded = load_script(script) if isinstance(script, Path) else script
    async with serve(ScriptedAnswers(loaded), host=host, port=port) as server:
        yield server


@asynccontextmanager
async def serve(
    answers: Answers, *, host: str = "127.0.0.1", port: int = 0, keep_seen: bool = True
) -> AsyncIterator[ScriptedServer]:
    """Serve any answers; `keep_seen` off keeps only the counts."""
    door = _Door(answers, keep_seen=keep_seen)
    app = web.Application(client_max_size=_MOST_BYTES)
    app.add_routes(
        [
            web.post("/v1/chat/completions", door.chat),
            web.get("/v1/models", door.models),
            web.get("/_calls", door.counts),
        ]
    )
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        door.server.base_url = f"http://{host}:{bound}/v1"
        yield door.server
    finally:
        await runner.cleanup()


class _Door:
    def __init__(self, answers: Answers, *, keep_seen: bool) -> None:
        self._answers = answers
        self._keep_seen = keep_seen
        self.server = ScriptedServer()

    async def models(self, request: web.Request) -> web.Response:  # noqa: ARG002 -- a handler
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def counts(self, request: web.Request) -> web.Response:  # noqa: ARG002 -- a handler
        return web.json_response(self.server.as_data())

    async def chat(self, request: web.Request) -> web.StreamResponse:
        server = self.server
        try:
            body = json.loads(await request.read())
            asked = _asked(body, request.headers)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return _refusal(400, f"not a chat completion request: {error!r}")
        if body.get("model") != MODEL:
            return _refusal(404, f"the model {body.get('model')!r} does not exist; {MODEL} does")
        server.calls[asked.header] += 1
        if self._keep_seen:
            server.seen.append(asked)
        server.in_flight += 1
        server.most_in_flight = max(server.most_in_flight, server.in_flight)
        server.changed.set()
        try:
            reply = self._answers.reply(asked)
            await asyncio.sleep(reply.delay_ms / 1000)
            return await _answer(request, body, reply)
        except NoAnswer as error:
            return _refusal(404, str(error))
        except (asyncio.CancelledError, ConnectionError):
            server.cancelled += 1
            raise
        finally:
            server.in_flight -= 1
            server.changed.set()


def _asked(body: Mapping[str, Any], headers: Mapping[str, str]) -> Asked:
    form = body.get("response_format") or {}
    return Asked(
        headers.get(JOB_HEADER, ""),
        tuple((str(m["role"]), str(m["content"])) for m in body["messages"]),
        form["json_schema"]["schema"] if form.get("type") == "json_schema" else None,
        {name: body[name] for name in _SAMPLING if name in body},
        headers.get(HEADER, ""),
    )


async def _answer(
    request: web.Request, body: Mapping[str, Any], reply: Reply
) -> web.StreamResponse:
    fail = reply.fail or Fail()
    if fail.status:
        headers = {"Retry-After": f"{fail.retry_after:g}"} if fail.retry_after else {}
        return _refusal(fail.status, "the script says so", headers)
    if body.get("stream"):
        return await _streamed(request, body, reply, fail)
    whole = json.dumps(_completion(reply)).encode()
    if fail.cut >= 0 or fail.hang:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(whole)
        if fail.cut >= 0:
            await response.prepare(request)
            await response.write(whole[: len(whole) // 2])
        await _break_off(request, fail)
        return response
    return web.Response(body=whole, content_type="application/json")


async def _streamed(
    request: web.Request, body: Mapping[str, Any], reply: Reply, fail: Fail
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    text = reply.text if fail.cut < 0 else reply.text[: fail.cut]
    if fail.hang and fail.cut < 0:
        text = ""
    for start in range(0, len(text), _PIECE):
        await response.write(_event({"content": text[start : start + _PIECE]}))
    if fail.cut >= 0 or fail.hang:
        await _break_off(request, fail)
        return response
    last = _event({}, finish="stop")
    if (body.get("stream_options") or {}).get("include_usage"):
        last += b"data: " + json.dumps({"choices": [], "usage": _usage(reply)}).encode() + b"\n\n"
    await response.write(last + b"data: [DONE]\n\n")
    await response.write_eof()
    return response


async def _break_off(request: web.Request, fail: Fail) -> None:
    if fail.hang:
        await asyncio.get_running_loop().create_future()
    if request.transport is not None:
        request.transport.abort()


def _event(delta: Mapping[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = {"object": "chat.completion.chunk", "model": MODEL, "choices": [choice]}
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def _completion(reply: Reply) -> dict[str, Any]:
    message = {"role": "assistant", "content": reply.text}
    return {
        "object": "chat.completion",
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": _usage(reply),
    }


def _usage(reply: Reply) -> dict[str, int]:
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.answer_tokens,
        "total_tokens": reply.prompt_tokens + reply.answer_tokens,
    }


def _refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "code": status}}
    return web.json_response(body, status=status, headers=headers)


async def _run(answers: Answers, host: str, port: int, port_file: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serve(answers, host=host, port=port, keep_seen=False) as server:
        if port_file is not None:  # whoever waits for the file never sees half of it
            partial = port_file.with_suffix(".partial")
            partial.write_text(server.base_url.rpartition(":")[2].removesuffix("/v1"))
            partial.replace(port_file)
        print(server.base_url, flush=True)  # noqa: T201 -- what the command is asked for
        await stop.wait()


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 once it was stopped, 2 for a script that is refused."""
    parser = argparse.ArgumentParser(prog="python -m fleet_adapters.scripted.server")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--script", type=Path, help="answers from this file")
    way.add_argument("--hash", action="store_true", help="answers from a hash of the request")
    parser.add_argument("--delay-ms", type=int, default=0, help="before each hashed answer")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--port-file", type=Path, help="the port is written here once it listens")
    given = parser.parse_args(arguments)
    try:
        answers: Answers = (
            HashedAnswers(given.delay_ms)
            if given.hash
            else ScriptedAnswers(load_script(given.script))
        )
    except FleetError as error:
        print(error, file=sys.stderr)  # noqa: T201 -- the command's way to say it
        return 2
    asyncio.run(_run(answers, given.host, given.port, given.port_file))
    return 0


if __name__ == "__main__":
    sys.exit(main())
