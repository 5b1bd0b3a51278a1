"""A story's graph as messages: pages of nodes and relations."""

from __future__ import annotations

from collections.abc import Sequence

from fleet_adapters.grpc._deliberations import ANSWER_BYTES
from fleet_adapters.grpc._open_parts import Names
from fleet_adapters.grpc.proto.fleet.context.v1 import context_pb2 as pb
from fleet_adapters.grpc.proto.fleet.domain.v1 import graph_pb2
from fleet_core.domain.graph_view import Drawn, Node, NodeKind, Relation, RelationKind, drawn
from fleet_core.domain.history import Recorded
from fleet_core.errors import InputError

_NODES = Names(NodeKind, graph_pb2.NodeKind, "NODE_KIND")
_RELATIONS = Names(RelationKind, graph_pb2.RelationKind, "RELATION_KIND")
_SHOWN = 300
_DEFAULT, _MOST = 200, 1000


def page_limit(limit: int) -> int:
    """How many records a page may hold, of what was asked for.

    Raises:
        InputError: it is below 0 or too many.
    """
    if not 0 <= limit <= _MOST:
        raise InputError(f"is {limit}", f"1 to {_MOST}, or 0 for {_DEFAULT}", field="limit")
    return limit or _DEFAULT


def page(story: str, records: Sequence[Recorded], revision: int, limit: int) -> pb.GetGraphResponse:
    """The answer of the records that fit into one, the first in any case."""
    answer = pb.GetGraphResponse(revision=revision)
    seen: set[str] = set()
    size = 0
    for number, recorded in enumerate(records):
        part = _message(drawn(story, recorded), seen)
        size += part.ByteSize()
        if number and size > ANSWER_BYTES:
            return answer
        answer.MergeFrom(part)
        seen.update(node.id for node in part.nodes)
        answer.next = recorded.place
    if len(records) < limit:
        answer.next = ""
    return answer


def _message(found: Drawn, seen: set[str]) -> pb.GetGraphResponse:
    return pb.GetGraphResponse(
        nodes=[_node(node) for node in found.nodes if _sound(node.node_id) not in seen],
        relations=[_relation(relation) for relation in found.relations],
    )


def _node(node: Node) -> graph_pb2.GraphNode:
    return graph_pb2.GraphNode(
        id=_sound(node.node_id),
        kind=_NODES[node.kind],
        title=_sound(node.title[:_SHOWN]),
        role=_sound(node.role[:_SHOWN]),
        standing=node.standing,
        at_ms=node.at_ms,
        winner=_sound(node.winner[:_SHOWN]),
    )


def _relation(relation: Relation) -> graph_pb2.GraphRelation:
    return graph_pb2.GraphRelation(
        kind=_RELATIONS[relation.kind],
        source=_sound(relation.source),
        target=_sound(relation.target),
    )


def node_of(message: graph_pb2.GraphNode) -> Node:
    """The node in a message."""
    return Node(
        message.id,
        _NODES.read(message.kind, "kind"),
        message.title,
        message.role,
        message.standing,
        message.at_ms,
        message.winner,
    )


def relation_of(message: graph_pb2.GraphRelation) -> Relation:
    """The relation in a message."""
    return Relation(_RELATIONS.read(message.kind, "kind"), message.source, message.target)


def _sound(text: str) -> str:
    """The text with U+FFFD for what UTF-8, and so a message, cannot hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
