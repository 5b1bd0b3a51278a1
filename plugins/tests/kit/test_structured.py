from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_core.errors import MalformedAnswer
from fleet_plugins.kit.structured import parse_structured, schema_check, unfenced

_NAMES = st.sampled_from(["a", "b", "c"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, 2.0])
    | st.sampled_from(["", "a", "b", "abc", "é"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
_SCALARS: list[dict[str, Any]] = [
    {"type": "string"},
    {"type": "string", "minLength": 1, "maxLength": 2},
    {"type": "string", "enum": ["a", "b"]},
    {"enum": ["a"]},
    {"type": "integer"},
    {"type": "number"},
    {"type": "boolean"},
    {"type": "null"},
    {"title": "anything"},
    {"minimum": 1},  # not compiled: goes through jsonschema
    {"type": ["string", "null"]},
    {"enum": [1, "a"]},
]
_SCHEMAS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.sampled_from(_SCALARS),
    lambda inner: (
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner},
            optional={"minItems": st.integers(0, 2), "maxItems": st.integers(1, 3)},
        )
        | st.just({"type": "array", "items": {"type": "string"}, "uniqueItems": True})
        | st.fixed_dictionaries(
            {"properties": st.dictionaries(_NAMES, inner, max_size=3)},
            optional={
                "type": st.just("object"),
                "required": st.lists(_NAMES, unique=True, max_size=2),
                "additionalProperties": st.booleans(),
            },
        )
    ),
    max_leaves=6,
)


@given(_SCHEMAS, _VALUES)
def test_says_what_jsonschema_says(schema: dict[str, Any], value: Any) -> None:
    ours = schema_check(schema)(value)
    assert (ours == "") == jsonschema.Draft202012Validator(schema).is_valid(value), ours


_SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "n": {"type": "array", "items": {"enum": ["A"]}}},
    "required": ["title"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "type object"),
        ("{}", "title is missing"),
        ('{"title": 1}', "title should be of type string"),
        ('{"title": "t", "x": 1}', "x was not asked for"),
        ('{"title": "t", "n": ["B"]}', "n[0] is 'B', none of A"),
        ('{"title": NaN}', "NaN"),
    ],
)
def test_says_where_an_answer_is_wrong(text: str, said: str) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        parse_structured(text, _SCHEMA)
    assert said in caught.value.message


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', 'Here:\n```json\n{"a": 1}\n```\nas asked', '```\n{"a": 1}```', 'So {"a": 1}.'],
)
def test_finds_the_json_in_free_text(text: str) -> None:
    assert json.loads(unfenced(text)) == {"a": 1}
