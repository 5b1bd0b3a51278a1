"""Specs, extraction, comparison and the wire: no sandbox needed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_adapters.sandbox.extract import any_code, python_code
from fleet_adapters.sandbox.inside import wire
from fleet_adapters.sandbox.inside.solution import no_other
from fleet_adapters.sandbox.spec import SPECS, SpecError
from fleet_adapters.sandbox.verdict import matches, shortened

FENCED = "```python\ndef f(): pass\n```\nthen\n```python\nprint(f())\n```\n"


@pytest.mark.parametrize(
    ("text", "entry", "code"),
    [
        (FENCED, "f", "def f(): pass\n"),
        (FENCED, "", "print(f())\n"),
        ("```py\nf = 1\n```\n```python\nf = 2\n```", "f", "f = 2\n"),
        ("```\ndef f(): 0\n```", "f", "def f(): 0\n"),
        ("```\nplain\n```\n```Python\nx\n```", "f", "x\n"),
        ("~~~python\ndef f(): 0\n~~~", "f", "def f(): 0\n"),
        ("1. so:\n   ```python\n   def f():\n       pass\n   ```", "f", "def f():\n    pass\n"),
        ("```python\ndef f():\n    return 1", "f", "def f():\n    return 1"),
        ("````python\n```\n````", "", "```\n"),
        ("def f(): pass", "f", "def f(): pass"),
        ("```js\nx\n```", "f", None),
        ("  \n", "f", None),
    ],
)
def test_the_code_is_found_by_the_rule(text: str, entry: str, code: str | None) -> None:
    found = python_code(text, entry)
    assert (found.text if found else None) == code


def test_code_of_any_language_is_the_last_block() -> None:
    found = any_code("```js\na\n```\n```sh\nb\n```")
    assert found is not None
    assert found.text == "b\n"


@pytest.mark.parametrize(
    ("kind", "spec", "field"),
    [
        ("python", {}, "examples"),
        ("python", {"examples": []}, "examples"),
        ("python", {"examples": 3}, "examples"),
        ("python", {"examples": [1]}, "examples[0]"),
        ("python", {"examples": [{"returns": 1}, {"args": 1, "returns": 1}]}, "examples[1].args"),
        ("python", {"examples": [{"args": [1]}]}, "examples[0]"),
        ("python", {"examples": [{"returns": 1, "raises": "E"}]}, "examples[0]"),
        ("python", {"examples": [{"return": 1}]}, "examples[0].return"),
        ("python", {"examples": [{"raises": 3}]}, "examples[0].raises"),
        ("python", {"tests": 3}, "tests"),
        ("python", {"tests": "x", "entry": "a b"}, "entry"),
        ("python", {"tests": "x", "time_ms": True}, "time_ms"),
        ("python", {"tests": "x", "time_ms": 0}, "time_ms"),
        ("python", {"tests": "x", "exampels": []}, "exampels"),
        ("command", {"apply": "x"}, "command"),
        ("command", {"command": "ls", "apply": "x"}, "command"),
        ("command", {"command": [1], "apply": "x"}, "command[0]"),
        ("command", {"command": ["ls"]}, "apply"),
        ("command", {"command": ["ls"], "apply": "/x"}, "apply"),
        ("command", {"command": ["ls"], "apply": "a/../../x"}, "apply"),
        ("command", {"command": ["ls"], "apply": "x", "files": {"../y": ""}}, "files.../y"),
        ("command", {"command": ["ls"], "apply": "x", "files": {"y": 1}}, "files.y"),
    ],
)
def test_a_wrong_spec_names_its_field(kind: str, spec: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as error:
        SPECS[kind](spec)
    assert error.value.field == field


@pytest.mark.parametrize(
    ("got", "expected", "same"),
    [
        (True, True, True),
        (1, True, False),
        (True, 1, False),
        (0, None, False),
        (2, 2.0, True),
        (0.1 + 0.2, 0.3, True),
        (10**400, 1.5, False),
        (float("nan"), 1.0, False),
        ((1, 2), [1, 2], True),
        ([1, 2], [1, 2, 3], False),
        ({1, 2}, [1, 2], False),
        ({"a": (1,)}, {"a": [1]}, True),
        ({1: 2}, {"1": 2}, False),
        (b"a", "a", False),
        ("1", 1, False),
    ],
)
def test_values_match_as_stated(got: Any, expected: Any, same: bool) -> None:
    assert matches(got, expected) is same


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
HASHABLE = SCALARS | st.binary() | st.tuples(SCALARS, SCALARS) | st.frozensets(SCALARS, max_size=3)
VALUES = st.recursive(
    HASHABLE | st.sets(HASHABLE, max_size=3),
    lambda s: st.lists(s, max_size=3) | st.dictionaries(HASHABLE, s, max_size=3),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_crosses_the_wire_as_it_is(value: Any) -> None:
    frame = wire.encode(wire.pack(value, lambda other: {"r": repr(other)}))
    back = wire.unpack(wire.decode(frame[wire.HEADER :]), no_other)
    assert back == value
    assert type(back) is type(value)


JSON = st.recursive(
    SCALARS, lambda s: st.lists(s) | st.dictionaries(st.sampled_from("fibdtszrxy") | st.text(), s)
)


@given(JSON)
def test_no_data_from_a_proposal_break_the_reader(data: Any) -> None:
    try:
        value = wire.unpack(data, no_other)
    except wire.Malformed:
        return
    matches(value, data)
    wire.shown(value)


@given(st.text(st.characters()))
def test_kept_output_is_short_and_storable(text: str) -> None:
    kept = shortened(text * 40)
    assert len(kept.encode("utf-8")) <= 4096
    assert "\0" not in kept
