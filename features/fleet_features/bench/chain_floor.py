"""The floor of the chain: the same hops and the same durable writes with the bare drivers.

It imports nothing of the fleet but its neighbour floor. Three processes stand where the services
do. `context`: plans and ends that arrive on JetStream are written to Neo4j, and a pack is answered
with once the decisions around its task have been read there, each by one statement. `orchestrator`:
a plan arrives on JetStream and is saved, a deliberation is saved and announced, its pack is asked
for and its jobs are saved and handed on by gRPC, the result arrives on JetStream and is saved, the
end is announced. `executor`: jobs are claimed, called by a Ray actor over HTTP, journaled,
published. Each acknowledges what it consumed after its effect is kept. Written as one would who
knows the drivers: one connection each, standing pull requests, commits as one transaction each,
announcements pipelined. A plan and its decision are a story of their own, as in ours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, LiteralString

import grpc
import nats
import ray
import redis.asyncio as redis
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig
from neo4j import AsyncGraphDatabase

from fleet_features.bench.executor_floor import Caller

METHOD = "/floor.Executor/Execute"
PACK = "/floor.Context/Pack"
_BATCH, _EXPIRES_NS = 1_000_000, 600_000_000_000


def root(space: str) -> str:
    """What every subject of one floor begins with."""
    return f"floor.{space}"


class Kept:
    """Documents on the server; `commit` is one transaction in one round trip."""

    def __init__(self, url: str, *, writes: bool) -> None:
        self._client = redis.Redis.from_url(url, max_connections=256)
        self._writes = writes

    async def commit(self, *documents: tuple[str, int]) -> None:
        """Write documents of so many bytes, all or none."""
        if not self._writes:
            return
        async with self._client.pipeline(transaction=True) as pipe:
            for key, size in documents:
                pipe.set(key, b"x" * size)
            await pipe.execute()


async def consume(
    client: Any,
    space: str,
    what: str,
    handle: Callable[[dict[str, Any]], Awaitable[None]],
    name: str = "",
) -> None:
    """Handle every message side by side; acknowledged once handled."""
    stream, durable = client.jetstream(), f"{space}-{name or what}"
    config = ConsumerConfig(
        durable_name=durable,
        filter_subject=f"{root(space)}.{what}",
        ack_policy=AckPolicy.EXPLICIT,
        max_ack_pending=4096,
    )
    await stream.add_consumer(space, config)
    under_way: set[asyncio.Task[None]] = set()

    async def one(message: Any) -> None:
        await handle(json.loads(message.data))
        await message.ack()

    async def arrived(message: Any) -> None:
        task = asyncio.create_task(one(message))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    inbox = client.new_inbox()
    await client.subscribe(inbox, cb=arrived)
    asked = json.dumps({"batch": _BATCH, "expires": _EXPIRES_NS}).encode()
    await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{space}.{durable}", asked, reply=inbox)


async def orchestrator(given: argparse.Namespace, sizes: dict[str, int]) -> None:
    """The process between the plan and the executor, and between the result and the end."""
    client, space = await _connected(given), given.space
    stream = client.jetstream()
    kept = Kept(given.valkey, writes=given.writes)
    channel = grpc.aio.insecure_channel(given.executor)
    execute: Any = channel.unary_unary(METHOD)
    pack: Any = grpc.aio.insecure_channel(given.context).unary_unary(PACK)
    event = b"x" * sizes["event"]

    async def note(identity: str, number: int) -> None:
        header = {"Nats-Msg-Id": f"{identity}:{number}"}
        await stream.publish(f"{root(space)}.noted", event, headers=header)

    async def plan(data: dict[str, Any]) -> None:
        identity = data["id"]
        await kept.commit((f"plan/{identity}", sizes["plan"]), (f"open/{identity}", 1))
        await kept.commit((f"state/{identity}", sizes["started"]), (f"due/{identity}", 1))
        await note(identity, 1)
        assert await pack(json.dumps({"id": identity, "pad": "x" * sizes["plan"]}).encode())
        await kept.commit(
            (f"state/{identity}", sizes["running"]), (f"jobs/{identity}", sizes["jobs"])
        )
        job = {"id": identity, "body": given.body, "pad": "x" * sizes["jobs"]}
        await execute(json.dumps(job).encode())
        await note(identity, 2)

    async def result(data: dict[str, Any]) -> None:
        identity = data["id"]
        await kept.commit((f"state/{identity}", sizes["decided"]))
        done = json.dumps({"id": identity, "pad": "x" * sizes["event"]}).encode()
        await asyncio.gather(
            note(identity, 3),
            stream.publish(
                f"{root(space)}.done", done, headers={"Nats-Msg-Id": f"{identity}:done"}
            ),
        )

    await consume(client, space, "plans", plan)
    await consume(client, space, "results", result)
    await _until_told()


async def executor(given: argparse.Namespace, sizes: dict[str, int]) -> None:
    """The process between gRPC and the result."""
    ray.init(given.ray, log_to_driver=False, logging_level=logging.ERROR)
    remote: Any = ray.remote
    actor = remote(num_cpus=0, max_concurrency=64)(Caller)
    callers = [actor.remote(f"{given.model}/v1/chat/completions") for _ in range(2)]
    client = await nats.connect(given.nats)
    stream = client.jetstream()
    kept = Kept(given.valkey, writes=given.writes)
    under_way: set[asyncio.Task[None]] = set()
    turn = 0

    async def run(job: dict[str, Any]) -> None:
        nonlocal turn
        turn += 1
        identity = job["id"]
        text = await callers[turn % len(callers)].call.remote(job["body"])
        await kept.commit((f"journal/{identity}", sizes["journal"]), (f"claim/{identity}", 1))
        found = json.dumps({"id": identity, "text": text}).encode()
        await stream.publish(
            f"{root(given.space)}.results", found, headers={"Nats-Msg-Id": f"{identity}:result"}
        )

    async def execute(request: bytes, _: Any) -> bytes:
        job = json.loads(request)
        identity = job["id"]
        await kept.commit((f"claim/{identity}", 40), (f"accepted/{identity}", sizes["jobs"]))
        task = asyncio.create_task(run(job))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        return b""

    await _serve(METHOD, execute, given.executor)


PLAN: LiteralString = """
MERGE (story:Story {story: $id})
CREATE (story)-[:HAS_PLAN]->(plan:Plan {plan_id: $id, document: $document})
CREATE (plan)-[:HAS_TASK]->(:Task {plan_id: $id, task_id: 'T1', document: $document})
"""
DECISION: LiteralString = """
MERGE (story:Story {story: $id})
MERGE (task:Task {plan_id: $id, task_id: 'T1'})
CREATE (task)-[:DECIDED_BY]->(:Decision {decision_id: $id, story: $id, document: $document})
"""
AROUND: LiteralString = """
MATCH (decision:Decision {story: $id})
RETURN decision.document AS document ORDER BY decision.decision_id LIMIT 22
"""
_INDEXES: tuple[LiteralString, ...] = (
    "CREATE CONSTRAINT IF NOT EXISTS FOR (story:Story) REQUIRE story.story IS UNIQUE",
    "CREATE CONSTRAINT IF NOT EXISTS FOR (t:Task) REQUIRE (t.plan_id, t.task_id) IS UNIQUE",
    "CREATE CONSTRAINT IF NOT EXISTS FOR (d:Decision) REQUIRE d.decision_id IS UNIQUE",
    "CREATE INDEX IF NOT EXISTS FOR (d:Decision) ON (d.story, d.decision_id)",
)


async def context(given: argparse.Namespace, sizes: dict[str, int]) -> None:
    """The process that gives packs and keeps what is decided."""
    found = json.dumps({"text": "x" * sizes["pack"]}).encode()
    password = os.environ.get(given.secret, "")
    async with AsyncGraphDatabase.driver(given.neo4j, auth=("neo4j", password)) as driver:

        async def run(statement: LiteralString, **values: Any) -> None:
            async with driver.session() as session:
                result = await session.run(statement, values)
                async for _ in result:
                    pass

        async def pack(request: bytes, _: Any) -> bytes:
            identity = json.loads(request)["id"]
            if given.writes:
                await run(AROUND, id=identity)
            return found

        async def plan(data: dict[str, Any]) -> None:
            await run(PLAN, id=data["id"], document=b"x" * sizes["plan"])

        async def done(data: dict[str, Any]) -> None:
            await run(DECISION, id=data["id"], document=b"x" * sizes["event"])

        if given.writes:
            for statement in _INDEXES:
                await run(statement)
            client = await _connected(given)
            await consume(client, given.space, "plans", plan, "graph-plans")
            await consume(client, given.space, "done", done, "graph-done")
        await _serve(PACK, pack, given.context)


async def _connected(given: argparse.Namespace) -> Any:
    """A connection, once the stream is there."""
    client = await nats.connect(given.nats)
    subjects = [f"{root(given.space)}.>"]
    await client.jetstream().add_stream(StreamConfig(name=given.space, subjects=subjects))
    return client


async def _serve(path: str, work: Callable[[bytes, Any], Awaitable[bytes]], address: str) -> None:
    _, service, method = path.split("/")
    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(work)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    server.add_insecure_port(address)
    await server.start()
    await _until_told()
    await server.stop(None)


async def _until_told() -> None:
    sys.stdout.write("up\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serve until standard input ends; prints `up` once it does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("orchestrator", "executor", "context"))
    names = ("space", "nats", "valkey", "ray", "executor", "context", "model", "neo4j", "secret")
    for name in names:
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--sizes", type=json.loads, default={})
    parser.add_argument("--body", type=json.loads, default={})
    parser.add_argument("--no-writes", dest="writes", action="store_false")
    given = parser.parse_args()
    work = {"orchestrator": orchestrator, "executor": executor, "context": context}
    asyncio.run(work[given.role](given, given.sizes))
    if given.role == "executor":
        os._exit(0)  # Ray's own ending takes seconds and keeps nothing


if __name__ == "__main__":
    main()
