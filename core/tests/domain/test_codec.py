"""What is stored or travels comes back as it was; what is wrong is named by its path."""

from __future__ import annotations

import enum
import json
import types
import typing
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.context import ContextPack, PackRequest, PlanRecord
from fleet_core.domain.council import Agent, Council
from fleet_core.domain.decision import Decision
from fleet_core.domain.deliberation import Deliberation, JobRecord, ProtocolSpec, Step
from fleet_core.domain.events import Event
from fleet_core.domain.inputs import (
    Cancel,
    Due,
    Extend,
    Input,
    PackReady,
    PackRefused,
    ResultArrived,
    Start,
)
from fleet_core.domain.job import AgentJob, AgentResult, Evidence
from fleet_core.domain.plan import Plan
from fleet_core.domain.plan_run import PlanRun
from fleet_core.errors import DecodeError
from fleet_core.ports.state_store import Document
from fleet_core.usecases.documents import dump_object, load_object

TEXT = st.text(st.characters(exclude_categories=()), max_size=5)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=3,
)
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(),
    bool: st.booleans(),
    float: FLOATS,
    Any: JSON,
    type(None): st.none(),
}


def any_of(hint: Any) -> st.SearchStrategy[Any]:
    """Every value of a type that the codec writes."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in SCALARS:
        return SCALARS[hint]
    if origin in (typing.Union, types.UnionType):
        return st.one_of([any_of(a) for a in args])
    if origin is tuple:
        return st.lists(any_of(args[0]), max_size=2).map(tuple)
    if origin is not None:
        return st.dictionaries(TEXT, any_of(args[1]), max_size=2)
    if issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    if hint is Council:  # refuses what is not a council
        return st.lists(any_of(Agent), min_size=1, max_size=2).map(
            lambda found: Council(
                "DEV",
                tuple(replace(a, agent_id=f"{n}", number=n) for n, a in enumerate(found, 1)),
            )
        )
    hints = typing.get_type_hints(hint)
    return st.builds(hint, **{f.name: any_of(hints[f.name]) for f in fields(hint)})


STORED = [
    AgentJob,
    AgentResult,
    ContextPack,
    Council,
    Decision,
    Deliberation,
    Event,
    Evidence,
    JobRecord,
    PackRequest,
    Plan,
    PlanRecord,
    PlanRun,
    ProtocolSpec,
    Step,
    Start,
    PackReady,
    PackRefused,
    ResultArrived,
    Due,
    Cancel,
    Extend,
]


@pytest.mark.parametrize("cls", STORED, ids=lambda c: c.__name__)
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_it_comes_back_as_it_was(cls: type[Any], data: st.DataObject) -> None:
    value = data.draw(any_of(cls))
    raw = dump_object(value)
    assert load_object(cls, Document("k", 1, raw)) == value
    assert to_data(load_object(cls, Document("k", 1, raw))) == json.loads(
        raw.decode("utf-8", "surrogatepass")
    )


@pytest.mark.parametrize(
    ("cls", "data", "field", "says"),
    [
        (Plan, {"story": "s", "title": "t"}, "tasks", "missing"),
        (Plan, {"story": "s", "title": "t", "tasks": [{"x": 1}]}, "tasks[0].x", "unknown key"),
        (Plan, {"story": 3, "title": "t", "tasks": []}, "story", "should be text, is 3"),
        (Plan, {"story": "s", "title": "t", "tasks": "no"}, "tasks", "should be a list"),
        (Plan, [], "", "should be a mapping"),
        (
            Plan,
            {"story": "s", "title": "t", "tasks": [{"task_id": "a", "title": 1, "role": "D"}]},
            "tasks[0].title",
            "should be text",
        ),
        (
            Plan,
            {
                "story": "s",
                "title": "t",
                "tasks": [
                    {
                        "task_id": "a",
                        "title": "t",
                        "role": "D",
                        "checks": [{"kind": "p", "required": 1}],
                    }
                ],
            },
            "tasks[0].checks[0].required",
            "true or false",
        ),
        (Evidence, {"kind": "p", "standing": "won", "summary": ""}, "standing", "none of"),
        (Evidence, {"kind": "p", "standing": [], "summary": ""}, "standing", "none of"),
        (
            Evidence,
            {"kind": "p", "standing": "passed", "summary": "", "score": float("inf")},
            "score",
            "finite",
        ),
        (
            Evidence,
            {"kind": "p", "standing": "passed", "summary": "", "score": 10**400},
            "score",
            "finite",
        ),
        (Due, {"kind": "start", "now_ms": 1}, "kind", "unknown key"),
        (Due, {"now_ms": True}, "now_ms", "whole number"),
        (Due, {"now_ms": 1.0}, "now_ms", "whole number"),
        (Input, {"kind": "dew", "now_ms": 1}, "", "kind is none of"),
        (Input, {"kind": ["due"], "now_ms": 1}, "", "kind is none of"),
        (Input, 3, "", "kind is none of"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(cls: Any, data: Any, field: str, says: str) -> None:
    with pytest.raises(DecodeError) as caught:
        from_data(cls, data, source="a file")
    assert caught.value.field == field
    assert caught.value.source == "a file"
    assert says in str(caught.value)


def test_unions_come_back_as_what_they_were() -> None:
    for value in (Due(1), Cancel(1, "x"), Extend(1)):
        assert from_data(Input, to_data(value)) == value  # type: ignore[arg-type]  # a union


def test_defaults_are_left_out() -> None:
    assert to_data(Extend(1)) == {"kind": "extend", "now_ms": 1}


def test_a_long_wrong_value_is_shortened() -> None:
    with pytest.raises(DecodeError) as caught:
        from_data(Due, {"now_ms": "x" * 10_000})
    assert len(str(caught.value)) < 200
