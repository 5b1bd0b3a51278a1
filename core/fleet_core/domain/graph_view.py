"""A story's records as nodes and relations, for whoever draws it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from fleet_core.domain.context import PlanRecord
from fleet_core.domain.history import DecisionRecord, Recorded


class NodeKind(StrEnum):
    """What is kept of a story."""

    STORY = "Story"
    PLAN = "Plan"
    TASK = "Task"
    DECISION = "Decision"
    EVIDENCE = "Evidence"
    AGENT = "Agent"


class RelationKind(StrEnum):
    """How two of them stand to each other, read from source to target."""

    HAS_PLAN = "HAS_PLAN"
    HAS_TASK = "HAS_TASK"
    DEPENDS_ON = "DEPENDS_ON"
    DECIDED_BY = "DECIDED_BY"
    SUPPORTED_BY = "SUPPORTED_BY"
    DISSENTED_FROM = "DISSENTED_FROM"
    SUPERSEDES = "SUPERSEDES"
    AFFECTS = "AFFECTS"
    CITED = "CITED"


@dataclass(frozen=True, slots=True)
class Node:
    """One node.

    Attributes:
        node_id: unique within its story.
        title: of a story, plan, task or decision; a kind of evidence, or an agent's id.
        role: of a task or a decision.
        standing: of a decision or evidence.
        at_ms: when a plan was approved or a decision recorded, UTC milliseconds.
        winner: of a decision.
    """

    node_id: str
    kind: NodeKind
    title: str
    role: str = ""
    standing: str = ""
    at_ms: int = 0
    winner: str = ""


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation; its ends are ids of nodes."""

    kind: RelationKind
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """Nodes, each once, and the relations that begin at them or lead to them."""

    nodes: tuple[Node, ...]
    relations: tuple[Relation, ...]


_STORY = "story"


def drawn(story: str, recorded: Recorded) -> Drawn:
    """What one record adds to the picture of its story, the story's own node included.

    A decision's task has its node from the plan; a decision alone does not know its title.
    """
    nodes: dict[str, Node] = {_STORY: Node(_STORY, NodeKind.STORY, story)}
    relations: list[Relation] = []
    record = recorded.record
    parts = _plan(record) if isinstance(record, PlanRecord) else _decision(record, recorded)
    for part in parts:
        if isinstance(part, Node):
            nodes[part.node_id] = part
        else:
            relations.append(part)
    return Drawn(tuple(nodes.values()), tuple(dict.fromkeys(relations)))


def _plan(record: PlanRecord) -> Iterator[Node | Relation]:
    plan_id = f"plan:{record.plan_id}"
    yield Node(plan_id, NodeKind.PLAN, record.plan.title, at_ms=record.approved_ms)
    yield Relation(RelationKind.HAS_PLAN, _STORY, plan_id)
    for task in record.plan.tasks:
        task_id = _task(record.plan_id, task.task_id)
        yield Node(task_id, NodeKind.TASK, task.title, task.role)
        yield Relation(RelationKind.HAS_TASK, plan_id, task_id)
        for other in task.depends_on:
            yield Relation(RelationKind.DEPENDS_ON, task_id, _task(record.plan_id, other))


def _decision(record: DecisionRecord, recorded: Recorded) -> Iterator[Node | Relation]:
    one = record.decision
    decision_id = f"decision:{one.decision_id}"
    yield Node(
        decision_id,
        NodeKind.DECISION,
        one.title,
        one.role,
        one.standing.value,
        record.recorded_ms,
        one.winner,
    )
    yield Relation(RelationKind.DECIDED_BY, _task(one.plan_id, one.task_id), decision_id)
    for number, evidence in enumerate(one.evidence):
        evidence_id = f"evidence:{number}:{one.decision_id}"
        standing = evidence.standing.value
        yield Node(evidence_id, NodeKind.EVIDENCE, evidence.kind, standing=standing)
        yield Relation(RelationKind.SUPPORTED_BY, decision_id, evidence_id)
    for dissent in one.dissent:
        agent_id = f"agent:{dissent.by}"
        yield Node(agent_id, NodeKind.AGENT, dissent.by)
        yield Relation(RelationKind.DISSENTED_FROM, agent_id, decision_id)
    for superseded in recorded.supersedes:
        yield Relation(RelationKind.SUPERSEDES, decision_id, f"decision:{superseded}")
    for task in one.affects:
        yield Relation(RelationKind.AFFECTS, decision_id, _task(one.plan_id, task))
    for cited in one.cited:
        yield Relation(RelationKind.CITED, decision_id, f"decision:{cited}")


def _task(plan_id: str, task_id: str) -> str:
    return f"task:{task_id}:{plan_id}"
