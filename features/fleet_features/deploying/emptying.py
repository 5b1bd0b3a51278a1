"""Empties the servers of the features between two scenarios, in their own protocols."""

from __future__ import annotations

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from fleet_bootstraps.stack.neo4j import USER, Neo4jServer
from fleet_core.domain.events import STREAMS
from fleet_features.deploying.servers import Servers

_ANSWER_S = 10.0
_NO_STREAM = 10059
_INBOX = "features.emptied"


async def emptied(servers: Servers) -> None:
    """Leave nothing of an earlier scenario; nobody may be at work.

    A stream goes with its consumers and with the ids that it knows. A work queue is only emptied,
    since executors that stay are subscribed to it.

    Raises:
        AssertionError: a server refuses.
    """
    async with asyncio.timeout(_ANSWER_S):
        for stream in STREAMS:
            call = "PURGE" if stream.work_queue else "DELETE"
            said = await _jetstream(servers.nats, f"STREAM.{call}.{stream.name}")
            error = said.get("error")
            assert error is None or error["err_code"] == _NO_STREAM, error
        async with _connected(servers.valkey) as (reader, writer):
            writer.write(b"FLUSHALL\r\n")
            answer = await reader.readline()
            assert answer == b"+OK\r\n", answer
        if servers.neo4j is not None:
            await _without_stories(servers.neo4j)


async def _without_stories(server: Neo4jServer) -> None:
    """Community has one database for all; only what says how it is laid out stays."""
    from neo4j import AsyncGraphDatabase  # noqa: PLC0415 -- only where a graph is kept there

    async with AsyncGraphDatabase.driver(server.uri, auth=(USER, server.password)) as driver:
        await driver.execute_query("MATCH (kept) WHERE NOT kept:FleetSchema DETACH DELETE kept")


async def _jetstream(url: str, call: str) -> dict[str, Any]:
    """What the JetStream API answers."""
    async with _connected(url) as (reader, writer):
        writer.write(
            b'CONNECT {"verbose":false,"pedantic":false}\r\n'
            + f"SUB {_INBOX} 1\r\nPUB $JS.API.{call} {_INBOX} 0\r\n\r\n".encode()
        )
        while not (line := await reader.readline()).startswith(b"MSG "):
            assert line, "NATS has closed the connection"
            assert not line.startswith(b"-ERR"), line
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        return dict(json.loads(await reader.readexactly(int(line.split()[-1]))))


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()
