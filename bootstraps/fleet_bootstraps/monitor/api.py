"""The table of all operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet_bootstraps.monitor import doing, reading, sessions
from fleet_bootstraps.monitor.acting import TEST_CASES
from fleet_bootstraps.monitor.operations import Operation
from fleet_bootstraps.monitor.schemas import (
    NUMBER,
    OBJECT,
    TEXT,
    TRUTH,
    array,
    null_or,
    obj,
    ref,
    some,
)

_PAGED: Mapping[str, Any] = {
    "offset": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
    "limit": {"type": "integer", "minimum": 1, "maximum": 1_000},
}
_AT: Mapping[str, Any] = {"at": {"type": "integer", "minimum": 0, "maximum": 1_000_000_000}}
_FLAG: Mapping[str, Any] = {"type": "boolean"}
_NAME: Mapping[str, Any] = {"type": "string", "minLength": 1, "maxLength": 200}
_REASON: Mapping[str, Any] = {"type": "string", "maxLength": 2_000}
_LETTER = "/api/admin/dead-letters/{position}"
_ADMIN = "/api/admin/deliberations/{deliberation_id}"
_ONE = "/api/deliberations/{deliberation_id}"
_MUCH = 1_000_000_000_000


def _taken(required: tuple[str, ...] = (), **members: Any) -> dict[str, Any]:
    """The schema of a body."""
    return {
        "type": "object",
        "properties": members,
        "required": list(required),
        "additionalProperties": False,
    }


def _paged(name: str, of: Mapping[str, Any]) -> dict[str, Any]:
    return obj(total=NUMBER, offset=NUMBER, **{name: array(of)})


_LOOKING = (
    Operation(
        "GET",
        "/api/overview",
        "overview",
        "How everything is: services, stores, streams, runner, models, and the log itself",
        reading.overview,
        gives=obj(
            source=TEXT,
            name=TEXT,
            now_ms=NUMBER,
            parts=array(ref("Part")),
            log=some(caught_up=TRUTH, trouble=TEXT, events=NUMBER, unreadable=NUMBER),
            deliberations={"type": "object", "additionalProperties": NUMBER},
            plans=NUMBER,
            letters=NUMBER,
        ),
    ),
    Operation(
        "GET",
        "/api/plans",
        "plans",
        "Plans with their tasks, the newest first",
        reading.plans,
        query={**_PAGED, "failed": _FLAG},
        gives=_paged("plans", ref("PlanRow")),
    ),
    Operation(
        "GET",
        "/api/plans/{plan_id}",
        "plan",
        "One plan, with the document that was approved",
        reading.plan,
        gives=ref("PlanRow"),
    ),
    Operation(
        "GET",
        "/api/deliberations",
        "deliberations",
        "Deliberations, those that changed last first",
        reading.deliberations,
        query={**_PAGED, "failed": _FLAG, "open": _FLAG, "plan_id": _NAME},
        gives=_paged("deliberations", ref("DeliberationRow")),
    ),
    Operation(
        "GET",
        _ONE,
        "deliberation",
        "One deliberation whole, as it is, or as it was at a version",
        reading.deliberation,
        query=_AT,
        gives=obj(
            row=ref("DeliberationRow"),
            at=NUMBER,
            newest=NUMBER,
            ranked=TRUTH,
            now_ms=NUMBER,
            deliberation=some(deliberation_id=TEXT, state=TEXT, steps=array(OBJECT)),
        ),
    ),
    Operation(
        "GET",
        f"{_ONE}/log",
        "log",
        "Every version of a deliberation, in order",
        reading.log,
        gives=obj(
            deliberation_id=TEXT,
            trouble=TEXT,
            moments=array(
                obj(
                    version=NUMBER,
                    at_ms=NUMBER,
                    event=TEXT,
                    input=TEXT,
                    about=TEXT,
                    state=TEXT,
                    step=TEXT,
                )
            ),
        ),
    ),
    Operation(
        "GET",
        f"{_ONE}/jobs/{{job_id}}",
        "job",
        "One job: exactly what was asked, and exactly what was answered",
        reading.job,
        query=_AT,
        gives=some(job_id=TEXT, agent=TEXT, step=TEXT, asked=null_or(OBJECT), answer=null_or(TEXT)),
    ),
    Operation(
        "GET",
        "/api/councils",
        "councils",
        "Who sits for which role",
        reading.councils,
        gives=obj(
            **{
                "from": {"enum": ["fleet", "log"]},
                "councils": array(obj(role=TEXT, agents=array(ref("Agent")))),
            }
        ),
    ),
    Operation(
        "GET",
        "/api/jobs",
        "jobs",
        "Jobs that have not ended",
        reading.jobs,
        gives=obj(asked=TRUTH, reason=TEXT, jobs=array(OBJECT), unknown=array(TEXT)),
    ),
    Operation(
        "GET",
        "/api/decisions",
        "decisions",
        "Decisions of a story, or of all, and what they rest on",
        reading.decisions,
        query={"story": _NAME},
        gives=obj(stories=array(TEXT), nodes=array(OBJECT), edges=array(OBJECT)),
    ),
    Operation(
        "GET",
        "/api/graph",
        "graph",
        "What the context graph keeps of a story, superseded decisions too",
        reading.kept,
        query={"story": {**_NAME, "x-required": True}},
        gives=obj(whole=TRUTH, nodes=array(ref("Node")), relations=array(ref("Relation"))),
        also=(404,),
    ),
    Operation(
        "GET",
        "/api/dead-letters",
        "letters",
        "Events that could not be handled, the newest first",
        reading.letters,
        query={**_PAGED, "all": _FLAG},
        gives=_paged("letters", ref("Letter")),
    ),
    Operation(
        "GET",
        "/api/search",
        "search",
        "Plans and deliberations that hold all the words",
        reading.search,
        query={
            "q": {"type": "string", "minLength": 1, "maxLength": 200, "x-required": True},
            "limit": {"type": "integer", "minimum": 1, "maximum": 200},
        },
        gives=obj(q=TEXT, found=array(some(kind=TEXT, id=TEXT, title=TEXT, text=TEXT))),
    ),
    Operation(
        "GET",
        "/api/events",
        "events",
        "States as they change (deliberation, plan, letters) and words as they are said",
        reading.events,
        query={
            "deliberation": _NAME,
            "newest": {"type": "integer", "minimum": 0, "maximum": 20_000},
            "last_event_id": {"type": "string", "maxLength": 200},
        },
        gives=TEXT,
        media="text/event-stream",
    ),
)
_SESSIONS = (
    Operation(
        "GET",
        "/api/session",
        "session",
        "What the caller may do",
        sessions.session,
        gives=ref("Session"),
        open=True,
    ),
    Operation(
        "POST",
        "/api/session",
        "sign_in",
        "Sign in with a token; the answer sets a cookie",
        sessions.sign_in,
        body=_taken(("token",), token={"type": "string", "minLength": 1, "maxLength": 4_096}),
        gives=ref("Session"),
        open=True,
    ),
    Operation(
        "DELETE",
        "/api/session",
        "sign_out",
        "Sign out",
        sessions.sign_out,
        gives=OBJECT,
        open=True,
    ),
)
_ACTING = (
    Operation(
        "POST",
        "/api/admin/plans",
        "submit",
        "Approve a plan, given as YAML or JSON text",
        doing.submit,
        body=_taken(
            ("plan",), plan={"type": "string", "minLength": 1, "maxLength": 1_048_576}, fresh=_FLAG
        ),
    ),
    Operation(
        "POST",
        "/api/admin/test-cases/execute",
        "test_case",
        "Approve a built-in test case",
        doing.test_case,
        query={
            "test_case": {"type": "string", "enum": list(TEST_CASES), "x-required": True},
            "fresh": _FLAG,
        },
    ),
    Operation(
        "POST",
        f"{_ADMIN}/cancel",
        "cancel",
        "End a deliberation",
        doing.cancel,
        body=_taken(reason=_REASON),
    ),
    Operation(
        "POST",
        f"{_ADMIN}/lease",
        "extend",
        "Raise a deliberation's budget: more tokens, more micro-dollars, later by so many ms",
        doing.extend,
        body={
            **_taken(
                tokens={"type": "integer", "minimum": 1, "maximum": _MUCH},
                micro_usd={"type": "integer", "minimum": 1, "maximum": _MUCH},
                ms={"type": "integer", "minimum": 1, "maximum": _MUCH},
            ),
            "minProperties": 1,
        },
    ),
    Operation(
        "POST",
        f"{_ADMIN}/jobs/{{job_id}}/kill",
        "kill",
        "Stop one job",
        doing.kill,
        body=_taken(),
    ),
    Operation(
        "POST",
        f"{_LETTER}/replay",
        "replay",
        "Hand the event of a dead letter out again",
        doing.replay,
        body=_taken(again=_FLAG),
    ),
    Operation(
        "POST",
        f"{_LETTER}/discard",
        "discard",
        "Take a dead letter off the list",
        doing.discard,
        body=_taken(reason=_REASON),
    ),
)
OPERATIONS: tuple[Operation, ...] = (*_LOOKING, *_SESSIONS, *_ACTING)
