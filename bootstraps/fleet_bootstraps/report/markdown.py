"""A report's data as Markdown for people. What agents wrote is escaped or fenced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fleet_bootstraps.report.text import fenced, inline

Data = Mapping[str, Any]
_RESTS_ON = {
    "verified": "verified: its checks passed",
    "refuted": "refuted: a check of it ran and failed",
    "unverified": "unverified",
}


def markdown(report: Data) -> str:
    """The whole report."""
    return "\n".join([*_head(report), *(line for t in report["tasks"] for line in _task(t))])


def _head(report: Data) -> Iterator[str]:
    yield f"# {inline(report['title'] or report['story'])}"
    yield ""
    outcome = {"undecided": "ended with tasks that are not decided"}
    said = str(outcome.get(report["outcome"], report["outcome"]))
    yield f"**{inline(said)}**" + (f": {inline(report['reason'])}" if report["reason"] else "")
    yield ""
    yield f"- story: {inline(report['story'])}"
    yield f"- plan: `{report['plan_id']}`, attempt {report['attempt']}"
    if report["profile"]:
        yield f"- profile: {inline(report['profile'])}"
    yield f"- approved {report['approved']}, this report written {report['written']}"
    yield f"- {_spent(report)}"
    yield ""
    yield "| task | role | state | winner | standing | calls | tokens | seconds |"
    yield "| --- | --- | --- | --- | --- | ---: | ---: | ---: |"
    for task in report["tasks"]:
        cells = [task[k] or "" for k in ("task", "role", "state", "winner", "standing")]
        numbers = f"{task['calls']} | {task['tokens']} | {task['seconds']:.1f} |"
        yield f"| {' | '.join(inline(c) for c in cells)} | {numbers}"
    yield ""


def _spent(data: Data) -> str:
    money = f", ${data['usd']:.6f}" if data["usd"] else ""
    return f"{data['calls']} model calls, {data['tokens']} tokens{money}"


def _task(task: Data) -> Iterator[str]:
    yield f"## {inline(task['task'])}: {inline(task['title'])}"
    yield ""
    if task["state"] == "decided":
        yield from _decided(task)
    else:
        why = f": {inline(task['reason'])}" if task["reason"] else ""
        yield f"**{task['state']}**{why}"
        yield ""
    if task["deliberation_id"]:
        kept = " (kept from an earlier attempt)" if task["carried_over"] else ""
        yield (
            f"{_spent(task)}, {task['seconds']:.1f} s; attempt {task['attempt']}{kept}; "
            f"deliberation `{task['deliberation_id']}`"
        )
        yield ""
    yield from _listed("Notes", [inline(note) for note in task["notes"]])
    yield from _listed("Failed jobs", [_failure(f) for f in task["failures"]])
    if task["context"] is not None:
        yield from _context(task["context"])


def _decided(task: Data) -> Iterator[str]:
    decision = task["decision"]
    yield f"Winner **{inline(task['winner'])}**, {_standing(task)}."
    yield ""
    if decision is None:
        return
    yield f"### {inline(decision['title'])}"
    yield ""
    yield f"Why: {inline(decision['rationale'])}"
    yield ""
    yield fenced(decision["text"])
    yield ""
    yield f"It came first by: {inline(decision['rule'])}."
    yield ""
    if decision["affects"]:
        yield f"It affects: {inline(', '.join(decision['affects']))}."
        yield ""
    if decision["cited"]:
        yield f"It uses decisions: {inline(', '.join(decision['cited']))}."
        yield ""
    if decision["incomplete"]:
        yield f"Decided without: {inline(', '.join(decision['incomplete']))}."
        yield ""
    for evidence in decision["evidence"]:
        yield (
            f"Evidence {inline(evidence['kind'])}: **{evidence['standing']}**, "
            f"{inline(evidence['summary'])}"
        )
        yield ""
        if evidence["output"].strip():
            yield fenced(evidence["output"])
            yield ""
    alternatives = [
        f"{inline(', '.join(a['agents']))}, {inline(a['title'])}: {inline(a['reason'])}"
        for a in decision["alternatives"]
    ]
    yield from _listed("Alternatives", alternatives)
    dissent = [
        f"{inline(d['by'])} preferred {inline(', '.join(d['preferred']))}: {inline(d['reason'])}"
        for d in decision["dissent"]
    ]
    yield from _listed("Dissent", dissent)


def _standing(task: Data) -> str:
    """What the decision rests on; where checks did not run, that and why."""
    said = _RESTS_ON.get(task["standing"], str(task["standing"]))
    if task["standing"] != "unverified":
        return said
    if not task["checks"]:
        return f"{said}: the task has no checks"
    evidence = task["decision"]["evidence"] if task["decision"] is not None else []
    missing = [e for e in evidence if e["standing"] == "not run"]
    if missing:
        return (
            said
            + "; "
            + "; ".join(
                f"the check {inline(e['kind'])} did not run: {inline(e['summary'])}"
                for e in missing
            )
        )
    return f"{said}: its checks did not run" if not evidence else said


def _failure(failure: Data) -> str:
    where = f"{failure['agent']}, {failure['step']} (round {failure['round']})"
    return f"{inline(where)}: {inline(failure['code'])}: {inline(failure['reason'])}"


def _listed(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"### {title}"
        yield ""
        yield from (f"- {line}" for line in lines)
        yield ""


def _context(context: Data) -> Iterator[str]:
    yield "### Context"
    yield ""
    yield (
        f"{context['tokens']} of {context['budget']} tokens (counted by "
        f"{inline(context['counted_by'])}), from revision {context['revision']} of the story."
    )
    yield ""
    yield "| item | kind | tokens | told | why |"
    yield "| --- | --- | ---: | --- | --- |"
    for entry in context["ledger"]:
        told = "yes" if entry["included"] else "no"
        yield (
            f"| {inline(entry['item'])} | {inline(entry['kind'])} | {entry['tokens']} | {told} | "
            f"{inline(entry['reason'])} |"
        )
    yield ""
