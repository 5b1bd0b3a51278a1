"""`fleet show` and `fleet runs`: what is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fleet_bootstraps.cli.kept import find_deliberation, find_task, plan_runs, require_home
from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import block, emit, line, table
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.report import folder as folders
from fleet_bootstraps.report.data import stamp
from fleet_bootstraps.report.deliberation import deliberation
from fleet_bootstraps.report.text import one_line, printable
from fleet_core.domain.plan_run import PlanRun, TaskState
from fleet_plugins.api import PortName

_INDENT = "    "


async def show(opened: Session, name: str, plan: str, *, as_json: bool) -> Exit:
    """Print one deliberation."""
    require_home(opened)
    async with opened.state() as state:
        if plan:
            found = await find_task(opened, state, plan, name)
        else:
            found = await find_deliberation(state, name)
    data = deliberation(found, ranked=PortName.RANKER not in opened.profile.bindings)
    if as_json:
        emit(data)
    else:
        block("\n".join(_told(data)))
    return Exit.DONE


async def runs(opened: Session, *, as_json: bool) -> Exit:
    """List the plans that were run, and the reports kept of them."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for path, data in folders.read_all(opened.home):
        rows[str(data.get("plan_id")), int(data.get("attempt", 0))] = _reported(data, str(path))
    if opened.profile.durable and opened.home.is_dir():
        async with opened.state() as state:
            async for run in plan_runs(state):
                key = (run.plan_id, run.attempt)
                report = rows.get(key, {}).get("report")
                rows[key] = _saved(run, report)
    found = [rows[key] for key in sorted(rows, key=lambda k: (str(rows[k]["approved"]), k))]
    if as_json:
        emit(found)
    elif not found:
        line(f"nothing was run in {opened.home}")
    else:
        head = ("plan_id", "attempt", "approved", "state", "decided", "tasks", "title", "report")
        rows_ = ([str(r[k])[:12] if k == "plan_id" else r[k] or "-" for k in head] for r in found)
        table(head, rows_, limit=240)
    return Exit.DONE


def _reported(data: Mapping[str, Any], path: str) -> dict[str, Any]:
    tasks = data.get("tasks", [])
    return {
        "plan_id": data.get("plan_id"),
        "attempt": data.get("attempt"),
        "approved": data.get("approved"),
        "state": data.get("outcome"),
        "decided": sum(t.get("state") == "decided" for t in tasks),
        "tasks": len(tasks),
        "title": data.get("title"),
        "report": path,
    }


def _saved(run: PlanRun, report: str | None) -> dict[str, Any]:
    state = "decided" if run.decided else "undecided" if run.settled else "under way"
    return {
        "plan_id": run.plan_id,
        "attempt": run.attempt,
        "approved": stamp(run.approved_ms),
        "state": state,
        "decided": sum(t.state is TaskState.DECIDED for t in run.tasks),
        "tasks": len(run.tasks),
        "title": run.plan.title,
        "report": report,
    }


def _told(data: Mapping[str, Any]) -> Iterator[str]:
    yield f"deliberation {data['deliberation_id']}, attempt {data['attempt']}"
    yield f"task {one_line(data['task'])} ({data['role']}): {one_line(data['title'])}"
    yield f"plan {data['plan_id']}, story {one_line(data['story'])}"
    yield f"state {data['state']}, {data['protocol']} of {', '.join(data['agents'])}"
    yield f"from {data['started']} to {data['ended'] or 'now'}"
    lease = data["lease"]
    yield (
        f"{data['calls']} calls; lease: {lease['spent_tokens']} of {lease['tokens']} tokens spent, "
        f"{lease['reserved_tokens']} reserved, until {lease['deadline']}"
    )
    if lease["usd"] or lease["spent_usd"]:
        yield f"money: ${lease['spent_usd']:.6f} spent, limit ${lease['usd']:.6f} (0: none)"
    if data["failure"]:
        yield f"failure: {one_line(data['failure']['code'])}: {one_line(data['failure']['reason'])}"
    yield from (f"note: {one_line(note)}" for note in data["notes"])
    for step in data["steps"]:
        yield ""
        yield f"step {step['number']}: {step['step']}, round {step['round']}, {_span(step)}"
        for job in step["jobs"]:
            yield from _job(job)
    yield from _ranking(data["ranking"])
    yield from _decision(data["decision"])


def _span(step: Mapping[str, Any]) -> str:
    return f"closed {step['closed']}" if step["closed"] else f"open until {step['deadline']}"


def _job(job: Mapping[str, Any]) -> Iterator[str]:
    late = ", late" if job["late"] else ""
    spent = f"{job['calls']} calls, {job['tokens']} tokens, {job['ms']} ms"
    yield f"  {one_line(job['agent'])}: {job['outcome'] or 'not ended'}{late}; {spent}"
    if job["failure"]:
        yield f"{_INDENT}{one_line(job['failure']['code'])}: {one_line(job['failure']['reason'])}"
    if job["evidence"]:
        yield from _evidence(job["evidence"], f" of {str(job['checked'])[:12]}")
    if proposal := job["proposal"]:
        if "unreadable" in proposal:
            yield f"{_INDENT}held no proposal:"
            yield from _indented(proposal["unreadable"])
        else:
            yield f"{_INDENT}{proposal['digest'][:12]} {one_line(proposal['title'])}"
            yield from _indented(proposal["text"])
    if ballot := job["ballot"]:
        yield from _ballot(ballot)


def _ballot(ballot: Mapping[str, Any]) -> Iterator[str]:
    if "unreadable" in ballot:
        yield f"{_INDENT}held no ballot:"
        yield from _indented(ballot["unreadable"])
        return
    yield f"{_INDENT}ballot: {' > '.join(digest[:12] for digest in ballot['ranking'])}"
    if ballot["reason"]:
        yield f"{_INDENT}{one_line(ballot['reason'])}"
    for critique in ballot["critiques"]:
        for sign, key in (("+", "strengths"), ("-", "weaknesses")):
            if critique[key]:
                yield f"{_INDENT}{critique['of'][:12]} {sign} {one_line(critique[key])}"


def _evidence(evidence: Mapping[str, Any], of: str = "") -> Iterator[str]:
    said = f"{evidence['standing']}: {one_line(evidence['summary'])}"
    yield f"{_INDENT}check {one_line(evidence['kind'])}{of}: {said}"
    yield from _indented(evidence["output"])


def _ranking(ranking: Mapping[str, Any] | None) -> Iterator[str]:
    if not ranking or not ranking["order"]:
        return
    yield ""
    yield f"ranking, set by {ranking['rule']}:"
    for one in ranking["order"]:
        evidence = ", ".join(f"{e['kind']} {e['standing']}" for e in one["evidence"]) or "no check"
        rungs = ", ".join(
            f"{rung} {one[rung]:.2f}" for rung in ("judge", "ballots") if one[rung] is not None
        )
        who = one_line(", ".join(one["agents"]))
        yield f"  {one['place']}. {one['digest'][:12]} {who}: {one_line(one['title'])}"
        yield f"{_INDENT}{one_line(evidence)}; {rungs or 'no ballots'}; written {one['support']}x"
    for dissent in ranking["dissent"]:
        preferred = one_line(", ".join(dissent["preferred"]))
        yield f"  {one_line(dissent['by'])} preferred {preferred}: {one_line(dissent['reason'])}"


def _decision(decision: Mapping[str, Any] | None) -> Iterator[str]:
    if decision is None:
        return
    yield ""
    yield f"decision {decision['id']}: {one_line(decision['title'])}"
    yield f"  {one_line(decision['rationale'])}"
    if decision["incomplete"]:
        yield f"  decided without {one_line(', '.join(decision['incomplete']))}"
    for evidence in decision["evidence"]:
        yield from _evidence(evidence)
    yield from _indented(decision["text"])


def _indented(text: str) -> Iterator[str]:
    yield from (f"{_INDENT}| {row}" for row in printable(text).strip("\n").split("\n") if text)
