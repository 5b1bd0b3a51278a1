"""The operations that only look."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from fleet_bootstraps.monitor import graph, searching
from fleet_bootstraps.monitor.details import agent, detail, job_detail
from fleet_bootstraps.monitor.drawing import MOST, graph_data
from fleet_bootstraps.monitor.events import NEWEST, Stream, last_id_of, streamed
from fleet_bootstraps.monitor.guard import answer
from fleet_bootstraps.monitor.history import moments_data
from fleet_bootstraps.monitor.letters import letter_data, letters_of
from fleet_bootstraps.monitor.operations import Call
from fleet_bootstraps.monitor.rows import deliberation_row, plan_row
from fleet_core.domain.codec import to_data
from fleet_core.errors import NotFound, Unavailable

PAGE = 200
_LETTERS_S = 5.0  # other processes settle dead letters too, and no event tells
FAILED = frozenset({"failed", "cancelled", "blocked", "refused", "undecided"})


async def overview(call: Call) -> web.Response:
    """How everything is."""
    site, picture = call.site, call.site.picture
    await site.feed.recount(fresh_s=_LETTERS_S)
    states = [tracked.phase for tracked in picture.deliberations.values()]
    return answer(
        {
            "source": site.source,
            "name": site.name,
            "now_ms": site.clock(),
            "parts": await site.overview.data(),
            "log": {
                "caught_up": site.feed.caught_up.is_set(),
                "trouble": site.feed.trouble,
                "events": picture.events,
                "unreadable": picture.unreadable,
                "last_unreadable": picture.last_unreadable,
                "let_go": picture.let_go,
            },
            "deliberations": {state: states.count(state) for state in sorted(set(states))},
            "plans": len(picture.plans),
            "letters": picture.open_letters,
        }
    )


async def plans(call: Call) -> web.Response:
    """Plans, the newest first."""
    picture = call.site.picture
    found = [plan_row(p, picture.deliberations) for p in reversed(picture.plans.values())]
    if call.query.get("failed"):
        found = [p for p in found if p["state"] in FAILED or _some_failed(p)]
    return answer(_page(call, "plans", found))


def _some_failed(plan: dict[str, Any]) -> bool:
    return any(task["state"] in FAILED for task in plan["tasks"])


async def plan(call: Call) -> web.Response:
    """One plan whole."""
    picture = call.site.picture
    planned = picture.plans.get(call.path["plan_id"])
    if planned is None:
        raise NotFound("there is no such plan", "GET /api/plans lists them")
    row = plan_row(planned, picture.deliberations)
    return answer({**row, "plan": to_data(planned.run.plan)})


async def deliberations(call: Call) -> web.Response:
    """Deliberations, those that changed last first."""
    found = list(reversed(call.site.picture.deliberations.values()))
    if wanted := call.query.get("plan_id"):
        found = [t for t in found if t.plan_id == wanted]
    if call.query.get("failed"):
        found = [t for t in found if t.phase in FAILED]
    if call.query.get("open"):
        found = [t for t in found if t.open]
    page = _page(call, "deliberations", found)
    page["deliberations"] = [deliberation_row(tracked) for tracked in page["deliberations"]]
    return answer(page)


async def deliberation(call: Call) -> web.Response:
    """One deliberation whole, as it is or as it was at a version."""
    site = call.site
    tracked = site.tracked(call.path["deliberation_id"])
    version = call.query.get("at", 0)
    state = await site.state(tracked, version)
    return answer(
        {
            "row": deliberation_row(tracked),
            "at": state.version,
            "newest": tracked.sequence,
            "ranked": site.ranked,
            "now_ms": site.clock(),
            "deliberation": detail(state, ranked=site.ranked),
        }
    )


async def log(call: Call) -> web.Response:
    """Every version of a deliberation, for the slider."""
    site = call.site
    history = await site.history(site.tracked(call.path["deliberation_id"]))
    return answer(
        {
            "deliberation_id": history.deliberation_id,
            "trouble": history.gap,
            "moments": moments_data(history.moments),
        }
    )


async def job(call: Call) -> web.Response:
    """One job: exactly what was asked, and exactly what was answered."""
    site = call.site
    history = await site.history(site.tracked(call.path["deliberation_id"]))
    wanted = call.path["job_id"]
    for record in history.at(call.query.get("at", 0)).state.jobs():
        if record.job_id == wanted:
            return answer(job_detail(record, history.issued.get(wanted)))
    raise NotFound("the deliberation has no such job")


async def councils(call: Call) -> web.Response:
    """Who sits for which role, and where that is known from."""
    site = call.site
    known = await site.councils() if site.councils is not None else site.picture.councils
    return answer(
        {
            "from": "fleet" if site.councils is not None else "log",
            "councils": [
                {"role": role, "agents": [agent(a) for a in council.agents]}
                for role, council in sorted(known.items())
            ],
        }
    )


async def jobs(call: Call) -> web.Response:
    """Jobs that have not ended, as the log tells, and as the executor does where it can be asked.

    The executor knows how far each is; the log, what it is for.
    """
    site = call.site
    found: list[dict[str, Any]] = []
    phases: dict[str, str] = {}
    told, reason = False, "the executor cannot be asked from here"
    if site.acting is not None and site.acting.executor is not None:
        try:
            phases = {s.job_id: s.phase for s in await site.acting.executor.active()}
            told, reason = True, ""
        except Unavailable as error:
            reason = str(error)
    for tracked in site.picture.deliberations.values():
        if tracked.state is None or not tracked.open:
            continue
        found += [
            {
                "job_id": record.job_id,
                "deliberation_id": tracked.deliberation_id,
                "task": tracked.task_id,
                "agent": record.agent_id,
                "step": record.key.step,
                "round": record.key.round,
                "deadline_ms": record.slice.deadline_ms,
                "tokens": record.slice.tokens,
                "phase": phases.pop(record.job_id, None),
            }
            for record in tracked.state.outstanding
        ]
    return answer(
        {"asked": told, "reason": reason, "jobs": found, "unknown": sorted(phases)[:PAGE]}
    )


async def decisions(call: Call) -> web.Response:
    """The decisions of a story and what they rest on, as a graph."""
    return answer(graph.decision_graph(call.site.picture, call.query.get("story", "")))


async def kept(call: Call) -> web.Response:
    """What the context graph keeps of a story, superseded decisions too."""
    draw = call.site.draw
    if draw is None:
        raise NotFound("the context graph cannot be asked from here")
    found, whole = await draw(call.query["story"], MOST)
    return answer(graph_data(found, whole=whole))


async def letters(call: Call) -> web.Response:
    """Dead letters, the newest first."""
    acting = call.site.acting
    if acting is None:
        found = [letter_data(letter) for letter in await letters_of(call.site.log)]
    else:
        found = [letter_data(letter) for letter in await acting.letters.all()]
    if not call.query.get("all"):
        found = [letter for letter in found if not letter["settled"]]
    return answer(_page(call, "letters", list(reversed(found))))


async def search(call: Call) -> web.Response:
    """What holds all the words that are looked for."""
    found = searching.search(call.site.picture, call.query["q"], call.query.get("limit", 50))
    return answer({"q": call.query["q"], "found": found})


async def events(call: Call) -> web.StreamResponse:
    """Server-sent events."""
    site = call.site
    stream = Stream(
        site.feed,
        site.speaking,
        site.clock,
        last_id=last_id_of(call.request),
        deliberation=call.query.get("deliberation", ""),
        newest=call.query.get("newest", NEWEST),
    )
    return await streamed(call.request, stream)


def _page(call: Call, name: str, found: list[Any]) -> dict[str, Any]:
    offset, limit = call.query.get("offset", 0), call.query.get("limit", PAGE)
    return {"total": len(found), "offset": offset, name: found[offset : offset + limit]}
