"""Where the context graph is asked for a story: at its service, or at the graph itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from fleet_bootstraps.profile import Profile
from fleet_core.domain.graph_view import Drawn, Node, Relation, drawn
from fleet_core.errors import NotFound
from fleet_core.ports.context_graph import ContextGraph
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.registry import Binding

if TYPE_CHECKING:
    from fleet_adapters.grpc.drawing import Draw

MOST = 2_000


@asynccontextmanager
async def drawing(
    profile: Profile, context: FactoryContext, ports: Mapping[PortName, Any]
) -> AsyncIterator[Draw | None]:
    """Whoever is given tells what is kept of a story; None where nobody here can ask.

    Args:
        profile: says where the context service is, if there is one.
        context: secrets.
        ports: the graph itself, where this process has it open.
    """
    graph = ports.get(PortName.GRAPH)
    bound = profile.bindings[PortName.HYDRATOR]
    if graph is not None:
        yield partial(_drawn_here, graph)
    elif isinstance(bound, Binding) and bound.adapter.name == "grpc":
        from fleet_adapters.grpc.drawing import opened_drawing  # noqa: PLC0415 -- its driver

        async with opened_drawing(bound.settings, context.secret) as draw:
            yield draw
    else:
        yield None


async def _drawn_here(graph: ContextGraph, story: str, most: int) -> tuple[Drawn, bool]:
    nodes: dict[str, Node] = {}
    relations: dict[Relation, None] = {}
    after = ""
    while page := await graph.records(story, after=after):
        for recorded in page:
            part = drawn(story, recorded)
            nodes |= {node.node_id: node for node in part.nodes}
            relations |= dict.fromkeys(part.relations)
        after = page[-1].place
        if len(nodes) >= most:
            return Drawn(tuple(nodes.values()), tuple(relations)), False
    if not after:
        raise NotFound("nothing is known of that story")
    return Drawn(tuple(nodes.values()), tuple(relations)), True


def graph_data(found: Drawn, *, whole: bool) -> dict[str, Any]:
    """The graph as JSON data."""
    return {
        "whole": whole,
        "nodes": [
            {
                "id": node.node_id,
                "kind": node.kind.value,
                "title": node.title,
                "role": node.role,
                "standing": node.standing,
                "at_ms": node.at_ms,
                "winner": node.winner,
            }
            for node in found.nodes
        ],
        "relations": [
            {"kind": one.kind.value, "source": one.source, "target": one.target}
            for one in found.relations
        ],
    }
