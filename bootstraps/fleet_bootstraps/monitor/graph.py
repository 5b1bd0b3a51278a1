"""Decisions and what they rest on, as the log tells: tasks, their dependencies, citations."""

from __future__ import annotations

from typing import Any

from fleet_bootstraps.monitor.gist import UNKNOWN, clip
from fleet_bootstraps.monitor.picture import Picture
from fleet_bootstraps.monitor.rows import plan_row


def decision_graph(picture: Picture, story: str) -> dict[str, Any]:
    """The graph of a story, or of all for an empty name.

    Nodes are tasks, each with the decision that it came to, if any. An edge goes from what came
    first to what builds on it: `depends_on` of the plan, `cited` and `affects` of a decision.
    """
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, str]] = []
    stories: dict[str, None] = {}
    decided: dict[str, str] = {}
    gists = []
    for planned in picture.plans.values():
        run = planned.run
        stories[run.plan.story] = None
        if story and run.plan.story != story:
            continue
        row = plan_row(planned, picture.deliberations)
        for task in row["tasks"]:
            node = f"{run.plan_id}/{task['task']}"
            tracked = picture.deliberations.get(task["deliberation_id"] or "")
            gist = tracked.gist if tracked is not None else UNKNOWN
            nodes.append(
                {
                    "node": node,
                    "story": clip(run.plan.story),
                    "plan_id": run.plan_id,
                    **task,
                    "decision_id": gist.decision_id or None,
                    "decision": gist.shown["decision"] if gist.decision_id else None,
                }
            )
            if gist.decision_id:
                decided[gist.decision_id] = node
                gists.append((node, run.plan_id, gist))
            edges += [
                {"from": f"{run.plan_id}/{needed}", "to": node, "kind": "depends_on"}
                for needed in task["depends_on"]
            ]
    known = {node["node"] for node in nodes}
    for node, plan_id, gist in gists:
        cited = [decided[i] for i in gist.cited if i in decided]
        edges += [{"from": other, "to": node, "kind": "cited"} for other in cited]
        affected = [f"{plan_id}/{task}" for task in gist.affects]
        edges += [{"from": node, "to": t, "kind": "affects"} for t in affected if t in known]
    return {"stories": [clip(s) for s in stories], "nodes": nodes, "edges": edges}
