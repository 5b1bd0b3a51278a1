"""Text and records as Neo4j can keep them.

Its strings are UTF-8 and cannot hold lone surrogates, which JSON can carry; so those are written as
pairs of characters that begin with U+E000, and U+E000 itself as another such pair. The order of
texts stays what it is. A decision is kept whole as JSON bytes; other properties are for queries.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.context import EarlierPlan, PlanRecord
from fleet_core.domain.decision import Decision, DecisionStanding
from fleet_core.domain.history import DecisionRecord
from fleet_core.domain.plan import Task
from fleet_core.domain.told import ToldDecision
from fleet_plugins.kit.json_bytes import dump, load_texts

_ESCAPED = re.compile("[\ud800-\udfff\ue000]")
_MARK, _ITSELF, _LONG = "\ue000", "\ue800", "\ue801"
_FROM, _TO = 0xD800, 0xE000
_KEPT = re.compile(f"{_MARK}(.)", re.DOTALL)
HASHED = f"{_MARK}{_LONG}"
"""What an identity begins with that is a hash."""
_LONGEST = 1024  # bytes; an index of several properties takes 8 KiB in all


def kept(text: str) -> str:
    """A text as Neo4j can hold it; no two texts become one."""
    return _ESCAPED.sub(_escape, text)


def shown(text: str) -> str:
    """The text that was kept."""
    return _KEPT.sub(_unescape, text)


def identity(text: str) -> str:
    """A text to find a node by: as kept or, where an index could not take it, its hash."""
    shown = kept(text)
    encoded = shown.encode()
    if len(encoded) <= _LONGEST:
        return shown
    return f"{HASHED}{hashlib.sha256(encoded).hexdigest()}"


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return _MARK + (_ITSELF if character == _MARK else chr(ord(character) - _FROM + _TO))


def _unescape(found: re.Match[str]) -> str:
    character = found[1]
    return _MARK if character == _ITSELF else chr(ord(character) - _TO + _FROM)


def plan_row(record: PlanRecord, revision: int) -> dict[str, Any]:
    """A plan's properties, and those of its tasks."""
    node = {
        "story": identity(record.plan.story),
        "plan_id": identity(record.plan_id),
        "title": kept(record.plan.title),
        "description": kept(record.plan.description),
        "approved_ms": record.approved_ms,
        "document": dump(to_data(record)),
        "summary": _plan_summary(record),
        "revision": revision,
    }
    tasks = [_task_properties(number, task) for number, task in enumerate(record.plan.tasks)]
    return {"node": node, "tasks": tasks}


def _task_properties(number: int, task: Task) -> dict[str, Any]:
    """A task's, but for its story and plan."""
    return {
        "task_id": identity(task.task_id),
        "number": number,
        "role": identity(task.role),
        "title": kept(task.title),
        "document": dump(to_data(task)),
    }


def dependency_rows(record: PlanRecord) -> list[dict[str, str]]:
    """Each dependency once."""
    plan_id = identity(record.plan_id)
    return [
        {"plan_id": plan_id, "task_id": identity(task.task_id), "on": identity(other)}
        for task in record.plan.tasks
        for other in dict.fromkeys(task.depends_on)
    ]


def decision_row(record: DecisionRecord) -> dict[str, Any]:
    """A decision's properties, but for whether it is current; and what is to lie around it."""
    decision = record.decision
    return {
        "node": _decision_properties(record),
        "affects": [identity(task_id) for task_id in dict.fromkeys(decision.affects)],
        "evidence": _evidence_rows(decision),
        "dissent": _dissent_rows(decision),
    }


def cited_rows(decision: Decision) -> list[dict[str, str]]:
    """Each decision that it used, once."""
    decision_id = identity(decision.decision_id)
    return [
        {"decision_id": decision_id, "cited": identity(earlier)}
        for earlier in dict.fromkeys(decision.cited)
    ]


def _decision_properties(record: DecisionRecord) -> dict[str, Any]:
    decision = record.decision
    return {
        **({} if record.told is None else _told_properties(record.told)),
        "decision_id": identity(decision.decision_id),
        "story": identity(decision.story),
        "plan_id": identity(decision.plan_id),
        "task_id": identity(decision.task_id),
        "role": identity(decision.role),
        "title": kept(decision.title),
        "winner": kept(decision.winner),
        "standing": decision.standing.value,
        "rule": kept(decision.rule),
        "recorded_ms": record.recorded_ms,
        "document": dump(to_data(decision)),
    }


def _told_properties(told: ToldDecision) -> dict[str, Any]:
    """What is told of a decision: what a title needs, and the rest; in its own characters."""
    head = [told.decision_id, told.task_id, told.title, told.standing.value]
    return {
        "told_by": kept(told.by),
        "told_head": dump(head),
        "told_rest": dump([told.rationale, told.text]),
    }


def to_told(head: bytes, rest: bytes | None, by: str) -> ToldDecision:
    """What is told of a decision; by its title only, where there is no rest."""
    decision_id, task_id, title, standing = load_texts(head)
    rationale, text = load_texts(rest) if rest is not None else ("", "")
    return ToldDecision(
        decision_id, task_id, title, DecisionStanding(standing), rationale, text, by
    )


def _evidence_rows(decision: Decision) -> list[dict[str, Any]]:
    """The evidence's properties, in its order; what a check printed is in the document only."""
    return [
        {
            "number": number,
            "kind": kept(evidence.kind),
            "standing": evidence.standing.value,
            "summary": kept(evidence.summary),
            "score": evidence.score,
        }
        for number, evidence in enumerate(decision.evidence)
    ]


def _dissent_rows(decision: Decision) -> list[dict[str, Any]]:
    """Who dissented, what they preferred, and their reasons."""
    return [
        {
            "agent_id": identity(dissent.by),
            "preferred": [kept(agent) for agent in dissent.preferred],
            "reason": kept(dissent.reason),
        }
        for dissent in decision.dissent
    ]


def _plan_summary(record: PlanRecord) -> bytes:
    """What is told of a plan, in its own characters: id, title and number of tasks."""
    return dump([record.plan_id, record.plan.title, len(record.plan.tasks)])


def to_earlier(summary: bytes | None, document: bytes, decided: int, source: str) -> EarlierPlan:
    """What is told of a plan; from the whole, where it has no summary."""
    if summary is None:
        summary = _plan_summary(to_plan(document, source))
    plan_id, title, tasks = json.loads(summary)
    return EarlierPlan(plan_id, title, tasks, decided)


def to_plan(document: bytes, source: str) -> PlanRecord:
    """The plan that was kept.

    Raises:
        DecodeError: it is not one of ours.
    """
    return from_data(PlanRecord, json.loads(document), source=source)


def to_decision(document: bytes, source: str) -> Decision:
    """The decision that was kept.

    Raises:
        DecodeError: it is not one of ours.
    """
    return from_data(Decision, json.loads(document), source=source)
