"""The published schema and the loader agree on shape."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_bootstraps.plans import builtin_plan_path, builtin_plans, parse_plan, plan_schema
from fleet_core.domain.council import DEFAULT_ROLES
from fleet_core.domain.plan import Plan, plan_id
from fleet_core.errors import PlanError

SCHEMA = jsonschema.Draft202012Validator(plan_schema())
# What only the loader can say: it compares one part of the plan with another, or with the roles.
SEMANTIC = ("has no council", "which is not in the plan", "in a circle", "is used twice")
DOCUMENTS = {
    name: yaml.safe_load(builtin_plan_path(name).read_text(encoding="utf-8"))
    for name in builtin_plans()
}
DOCUMENTS["commands"] = {
    "story": "s",
    "tasks": [
        {
            "id": "a",
            "title": "t",
            "role": "dev",
            "protocol": "vote",
            "checks": [
                {"kind": "command", "command": ["ls"], "apply": "a/b", "files": {"c": ""}},
                {"kind": "third-party", "required": True, "anything": [1, {"x": None}]},
            ],
        }
    ],
}


def load(document: object) -> Plan:
    return parse_plan(json.dumps(document).encode(), "p.json", DEFAULT_ROLES)


def loads(document: object) -> bool:
    try:
        load(document)
    except PlanError as error:
        return any(said in error.message for said in SEMANTIC)
    return True


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(plan_schema())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_valid_plan_passes_both(name: str) -> None:
    SCHEMA.validate(DOCUMENTS[name])
    plan = load(DOCUMENTS[name])
    if name in builtin_plans():
        raw = builtin_plan_path(name).read_bytes()
        assert plan_id(parse_plan(raw, name, DEFAULT_ROLES)) == plan_id(plan)


OTHERS: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        "",
        " ",
        "x",
        "a b",
        "../x",
        "x\n",
        [],
        [""],
        ["x"],
        ["x", "x"],
        [3],
        {},
        {"x": 1},
        {"returns": 1},
        {"args": []},
        {"raises": "A"},
        "python",
        "command",
    ]
)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    inner: list[tuple[Any, Any]] = []
    if isinstance(document, dict | list):
        inner = list(document.items() if isinstance(document, dict) else enumerate(document))
    for key, value in inner:
        found += places(value, (*path, key))
    return found


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=400)
@given(st.data())
def test_a_plan_with_one_thing_changed_is_judged_alike_by_both(data: st.DataObject) -> None:
    document = copy.deepcopy(DOCUMENTS[data.draw(st.sampled_from(sorted(DOCUMENTS)))])
    *above, last = data.draw(st.sampled_from(places(document)))
    holder: Any = document
    for key in above:
        holder = holder[key]
    match data.draw(st.sampled_from(["replace", "drop", "add"])):
        case "replace":
            holder[last] = data.draw(OTHERS)
        case "drop":
            del holder[last]
        case "add" if isinstance(holder, dict):
            holder[data.draw(st.sampled_from(["extra", "args", "tests", "kind"]))] = data.draw(
                OTHERS
            )
    assert loads(document) == SCHEMA.is_valid(document), document


@settings(deadline=None, max_examples=300)
@given(st.binary() | st.text().map(str.encode))
def test_bytes_are_refused_with_a_plan_error_alone(raw: bytes) -> None:
    with pytest.raises(PlanError):
        parse_plan(raw, "p", DEFAULT_ROLES)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda s: (
        st.lists(s, max_size=4)
        | st.dictionaries(
            st.sampled_from(["story", "tasks", "id", "role", "checks", "kind", "examples"])
            | st.text(),
            s,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
@given(JSON, st.booleans())
def test_structures_are_refused_with_a_plan_error_alone(data: Any, as_yaml: bool) -> None:
    text = yaml.safe_dump(data, allow_unicode=True) if as_yaml else json.dumps(data)
    with pytest.raises(PlanError):
        parse_plan(text.encode("utf-8", "surrogatepass"), "p", DEFAULT_ROLES)


MARKS = st.sampled_from(
    [*list("{}[]:,-?&*!|>'\"%@`#\n\t \\~<="), "a", "1", "yes", "\u2028", "---\n"]
)


@settings(deadline=None, max_examples=500)
@given(st.lists(MARKS, max_size=40).map("".join))
def test_marks_of_yaml_are_refused_with_a_plan_error_alone(text: str) -> None:
    with pytest.raises(PlanError):
        parse_plan(text.encode(), "p", DEFAULT_ROLES)
