"""A zero-latency server that speaks enough of the OpenAI chat API to be measured against.

It imports nothing of the fleet. Answers are cut to the schema that is asked for: a proposal that
differs with the request, a critique or a judgement of the labels shown. `python -m
fleet_features.bench.stub_server [--delay-ms N]` prints its port and serves until its standard
input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import zlib
from functools import cache

_PIECES = 100  # streamed chunks of an answer, about what 100 tokens give


class _Connection(asyncio.Protocol):
    """One HTTP/1.1 connection: one request at a time, kept alive."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + length])
            del self._buffer[: end + 4 + length]
            response = _response(body) if length else _models()
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._write, response)
            else:
                self._write(response)

    def _write(self, response: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(response)


def _response(body: bytes) -> bytes:
    streamed = b'"stream":true' in body or b'"stream": true' in body
    if b'"ranking"' in body:
        labels = body.count(b"### Candidate ")
        return _ranked(labels, b'"critiques"' in body, streamed)
    return _proposed(zlib.crc32(body), streamed)


def _proposed(mark: int, streamed: bool) -> bytes:
    answer = {
        "title": f"Proposal {mark:08x}",
        "rationale": "It meets every criterion with the fewest moving parts.",
        "solution": f"Solution {mark:08x}. " + "Do this, then that, and check the result. " * 8,
    }
    return _framed(json.dumps(answer), streamed)


@cache
def _ranked(labels: int, critiques: bool, streamed: bool) -> bytes:
    names = [chr(ord("A") + i) for i in range(labels)]
    answer: dict[str, object] = {}
    if critiques:
        said = "Clear and complete, though it could say more on failure."
        answer["critiques"] = [{"label": n, "strengths": said, "weaknesses": said} for n in names]
    else:
        answer["reason"] = "The first meets the criteria best."
    answer["ranking"] = names
    return _framed(json.dumps(answer), streamed)


def _framed(text: str, streamed: bool) -> bytes:
    usage = {"prompt_tokens": 300, "completion_tokens": 100, "total_tokens": 400}
    if not streamed:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"object": "chat.completion", "choices": [choice], "usage": usage}
        return _http(json.dumps({"id": "stub", "model": "stub", **answer}).encode())
    step = max(1, -(-len(text) // _PIECES))
    events = [_event({"content": text[i : i + step]}) for i in range(0, len(text), step)]
    events.append(_event({}, "stop"))
    events.append(b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n")
    events.append(b"data: [DONE]\n\n")
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(e), e) for e in events)
    opening = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    return opening + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def _http(body: bytes) -> bytes:
    opening = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    return opening + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = {"id": "stub", "object": "chat.completion.chunk", "model": "stub", "choices": [choice]}
    return b"data: " + json.dumps(data).encode() + b"\n\n"


@cache
def _models() -> bytes:
    return _http(b'{"object": "list", "data": [{"id": "stub", "object": "model"}]}')


async def _serve(delay_ms: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(delay_ms / 1000), "127.0.0.1", 0, backlog=1024
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    asyncio.run(_serve(parser.parse_args().delay_ms))
