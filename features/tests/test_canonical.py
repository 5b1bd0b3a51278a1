"""The canonical form forgets what differs between two runs of one plan, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fleet_core.domain.events import ADVANCED, COMPLETED, CONTEXT_UPDATED, DECIDED, Event
from fleet_features.canonical import canonical_log, shown


def result(agent: int, text: str, *, salt: str = "", ms: int = 0) -> dict[str, Any]:
    return {
        "kind": "result",
        "now_ms": ms,
        "result": {
            "job_id": f"job{agent}{salt}",
            "deliberation_id": salt,
            "task": f"{salt}-store",
            "key": {"round": 1, "step": "propose", "agent": agent},
            "outcome": "ok",
            "text": text,
            "usage": {"prompt_tokens": ms},
            "duration_ms": ms,
        },
    }


def log(order: tuple[int, ...] = (1, 2, 3), *, salt: str = "a", ms: int = 1) -> list[Event]:
    """A deliberation of three proposals, the last of which decides it."""
    out = []
    about = {"deliberation_id": salt, "plan_id": salt, "task_id": "store", "attempt": 1}
    decision = {"decision_id": salt, "winner": "dev-1", "decided_ms": ms, "text": "one"}
    decision["cited"] = [f"{salt}-earlier"]
    for sequence, agent in enumerate(order, 1):
        last = sequence == len(order)
        data: dict[str, Any] = {**about, "phase": "decided" if last else "running"}
        data["input"] = result(agent, f"text {agent}", salt=salt, ms=ms * sequence)
        if last:
            data |= {"decision": decision, "provisional": False}
        subject = DECIDED if last else ADVANCED
        out.append(Event(f"{salt}:{sequence}", subject, data, ms, sequence))
    end = {**about, "phase": "decided", "decision": decision, "failure": None}
    out.append(Event(f"{salt}:end", COMPLETED, end, ms, len(order)))
    return out


def test_order_within_a_step_ids_times_and_usage_do_not_matter() -> None:
    assert canonical_log(log()) == canonical_log(log((3, 1, 2), salt="b", ms=77))


def test_the_order_of_the_log_and_repeats_do_not_matter() -> None:
    events = log()
    other = Event("c", CONTEXT_UPDATED, {"revision": 2})
    assert canonical_log([*reversed(events), other, *events]) == canonical_log(events)


def test_what_was_said_matters() -> None:
    events = log()
    changed = {**events[0].data, "input": result(1, "another text", salt="a", ms=1)}
    assert canonical_log([replace(events[0], data=changed), *events[1:]]) != canonical_log(events)
    *rest, decided, end = events
    uses_none = {**decided.data, "decision": {**decided.data["decision"], "cited": []}}
    assert canonical_log([*rest, replace(decided, data=uses_none), end]) != canonical_log(events)


def test_the_decision_matters() -> None:
    events = log()
    other = {**events[2].data, "decision": {**events[2].data["decision"], "winner": "dev-2"}}
    changed = [*events[:2], replace(events[2], data=other), events[3]]
    assert canonical_log(changed) != canonical_log(events)


def test_a_lost_event_matters() -> None:
    events = log()
    for index in range(len(events)):
        assert canonical_log(events[:index] + events[index + 1 :]) != canonical_log(events)


def test_an_input_that_was_reduced_twice_matters() -> None:
    events = log()
    again = replace(events[0], event_id="a:9", sequence=9)
    assert canonical_log([*events, again]) != canonical_log(events)


def test_it_can_be_read() -> None:
    text = shown(canonical_log(log()))
    assert text.splitlines()[0] == "store/1 round 1 propose"
    assert "dev-1" in text
