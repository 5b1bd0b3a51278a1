"""Decisions and what they rest on, as the log tells: tasks, their dependencies, citations."""

from __future__ import annotations

from typing import Any

from fleet_bootstraps.monitor.picture import Picture
from fleet_bootstraps.monitor.rows import clip, plan_row


def decision_graph(picture: Picture, story: str) -> dict[str, Any]:
    """The graph of a story, or of all for an empty name.

    Nodes are tasks, each with the decision that it came to, if any. An edge goes from what came
    first to what builds on it: `depends_on` of the plan, `cited` and `affects` of a decision.
    """
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, str]] = []
    stories: dict[str, None] = {}
    decided: dict[str, str] = {}
    states = []
    for planned in picture.plans.values():
        run = planned.run
        stories[run.plan.story] = None
        if story and run.plan.story != story:
            continue
        row = plan_row(planned, picture.deliberations)
        for task in row["tasks"]:
            node = f"{run.plan_id}/{task['task']}"
            tracked = picture.deliberations.get(task["deliberation_id"] or "")
            decision = tracked.state.decision if tracked is not None and tracked.state else None
            nodes.append(
                {
                    "node": node,
                    "story": clip(run.plan.story),
                    "plan_id": run.plan_id,
                    **task,
                    "decision_id": decision.decision_id if decision is not None else None,
                    "decision": clip(decision.title) if decision is not None else None,
                }
            )
            if decision is not None:
                decided[decision.decision_id] = node
                states.append((node, run.plan_id, decision))
            edges += [
                {"from": f"{run.plan_id}/{needed}", "to": node, "kind": "depends_on"}
                for needed in task["depends_on"]
            ]
    known = {node["node"] for node in nodes}
    for node, plan_id, decision in states:
        cited = [decided[i] for i in decision.cited if i in decided]
        edges += [{"from": other, "to": node, "kind": "cited"} for other in cited]
        affected = [f"{plan_id}/{task}" for task in decision.affects]
        edges += [{"from": node, "to": t, "kind": "affects"} for t in affected if t in known]
    return {"stories": [clip(s) for s in stories], "nodes": nodes, "edges": edges}
