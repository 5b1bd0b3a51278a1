"""A story's graph as a context service tells it, for whoever draws it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fleet_adapters.grpc._calling import opened_peer
from fleet_adapters.grpc._graph import node_of, relation_of
from fleet_adapters.grpc.proto.fleet.context.v1 import context_pb2 as pb
from fleet_adapters.grpc.proto.fleet.context.v1.context_pb2_grpc import ContextServiceStub
from fleet_adapters.grpc.settings import GrpcHydratorSettings
from fleet_core.domain.graph_view import Drawn, Node, Relation
from fleet_core.errors import ProfileError

_CALL = "/fleet.context.v1.ContextService/GetGraph"

Draw = Callable[[str, int], Awaitable[tuple[Drawn, bool]]]
"""What is kept of a story, up to so many nodes, the oldest first; and whether that is all."""


@asynccontextmanager
async def opened_drawing(
    settings: GrpcHydratorSettings, secret: Callable[[str], str]
) -> AsyncIterator[Draw]:
    """Whoever is given may ask the first context service of the settings, again and again.

    Asking raises NotFound for a story of which nothing is known, Unavailable without an answer.

    Raises:
        ProfileError: an address, a file or the token is wrong.
    """
    if not settings.address:
        raise ProfileError("names no context service", "e.g. 127.0.0.1:50051", field="address")
    async with opened_peer("context service", settings.address[0], settings, secret) as peer:
        stub = ContextServiceStub(peer.channel)

        async def draw(story: str, most: int) -> tuple[Drawn, bool]:
            nodes: dict[str, Node] = {}
            relations: dict[Relation, None] = {}
            after = ""
            while True:
                asked = pb.GetGraphRequest(story=story, after=after)
                page = await peer.call(_CALL, stub.GetGraph, asked)
                nodes |= {node.id: node_of(node) for node in page.nodes}
                relations |= dict.fromkeys(map(relation_of, page.relations))
                after = page.next
                if not after or len(nodes) >= most:
                    return Drawn(tuple(nodes.values()), tuple(relations)), not after

        yield draw
