"""The event log of deliberations in the form in which two logs are compared.

The order in which the jobs of a step end is nobody's promise, and it decides which of their events
carries what the step led to. So a log becomes, for each deliberation, a list of moments: the inputs
of one step, sorted by kind and agent number, then what they led to. Ids, times, traceparent, usage
and durations are left out; so is the graph's revision, which counts what happened elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from fleet_core.domain.events import COMPLETED, DELIBERATION, Event, matches

_LEFT_OUT = frozenset(
    {
        "deliberation_id",
        "plan_id",
        "decision_id",
        "job_id",
        "now_ms",
        "decided_ms",
        "deadline_ms",
        "duration_ms",
        "usage",
        "revision",
    }
)
_RECORDED = re.compile(r"^decision:[0-9a-f]{32}$")

Log = dict[str, list["Moment"]]


@dataclass(frozen=True, slots=True)
class Moment:
    """Inputs that belong together, and what they led to.

    Attributes:
        name: the step, `round 1 propose`, or the kind of a lone input.
        inputs: JSON texts, sorted by kind, agent number and sample.
        outcomes: what the deliberation said of itself, in order: its subject's last part with the
            decision or failure as JSON text. `completed` is the last one.
    """

    name: str
    inputs: tuple[str, ...]
    outcomes: tuple[str, ...]


def canonical_log(events: Iterable[Event]) -> Log:
    """The canonical form, by task and attempt (`store/1`).

    Args:
        events: in any order, repeats and other subjects included; payloads that travelled by
            reference are opened already.
    """
    own = {e.event_id: e for e in events if matches(f"{DELIBERATION}.>", e.subject)}
    by_task: dict[str, list[Event]] = {}
    for event in own.values():
        place = f"{event.data['task_id']}/{event.data['attempt']}"
        by_task.setdefault(place, []).append(event)
    return {place: _moments(said) for place, said in sorted(by_task.items())}


def shown(log: Log) -> str:
    """A log as text, line by line, so that two can be laid beside each other."""
    lines = []
    for place, moments in log.items():
        for moment in moments:
            lines.append(f"{place} {moment.name}")
            lines += [f"  {text}" for text in (*moment.inputs, *moment.outcomes)]
    return "\n".join(lines)


def _moments(events: list[Event]) -> list[Moment]:
    ordered = sorted(events, key=lambda e: (e.sequence, e.subject == COMPLETED))
    name = ""
    named = []
    for event in ordered:
        if event.subject != COMPLETED:  # that one belongs to the input before it
            name = _name(event.data["input"])
        named.append((name, event))
    return [
        _moment(at, [event for _, event in group])
        for at, group in groupby(named, key=lambda pair: pair[0])
    ]


def _name(given: Mapping[str, Any]) -> str:
    if given["kind"] != "result":
        return str(given["kind"])
    key = given["result"]["key"]
    return f"round {key['round']} {key['step']}"


def _moment(name: str, events: list[Event]) -> Moment:
    inputs = [e.data["input"] for e in events if e.subject != COMPLETED]
    inputs.sort(key=_seat)
    outcomes = [_outcome(e) for e in events if not e.subject.endswith((".started", ".advanced"))]
    return Moment(name, tuple(_text(_input(i)) for i in inputs), tuple(outcomes))


def _seat(given: Mapping[str, Any]) -> tuple[str, int, int]:
    key = given["result"]["key"] if given["kind"] == "result" else {}
    return (str(given["kind"]), int(key.get("agent", 0)), int(key.get("sample", 0)))


def _input(given: Mapping[str, Any]) -> Mapping[str, Any]:
    if given["kind"] != "result":
        return given
    result = {k: v for k, v in given["result"].items() if k != "task"}  # holds the plan's id
    return {**given, "result": result}


def _outcome(event: Event) -> str:
    kind = event.subject.rpartition(".")[2]
    said = {k: v for k, v in event.data.items() if k in ("decision", "failure", "provisional")}
    return f"{kind} {event.data['phase']} {_text(said)}"


def _text(value: Any) -> str:
    return json.dumps(_bare(value), sort_keys=True, ensure_ascii=False)


def _bare(value: Any) -> Any:
    if isinstance(value, Mapping):
        bare = {k: _bare(v) for k, v in value.items() if k not in _LEFT_OUT}
        if "cited" in bare:  # ids of decisions; how many is not an id
            bare["cited"] = len(bare["cited"])
        return bare
    if isinstance(value, list | tuple):
        return [_bare(v) for v in value]
    return "decision" if isinstance(value, str) and _RECORDED.match(value) else value
