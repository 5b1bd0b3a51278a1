from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from fleet_core.domain.job import Outcome
from fleet_core.usecases import documents
from fleet_plugins.kit.json_bytes import dump, dump_wire, load_texts


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"text": 'líne\n\t"quoted" \\ \u2028 \x00 \x7f 𝄞', "list": [1, -2.5, True, None]},
        {"half": "a \ud83d lone", "both": "\ud83d\ude00", "key \udc00": 1},
        {"large": 2**64, "small": -(2**70), "float": 1e300, "tiny": 5e-324, "tenth": 0.1},
        {"outcome": Outcome.OK, "pair": (1, ("two",))},
        {"7": "keys are text", "": {"": []}},
    ],
)
def test_decodes_to_what_the_standard_library_gives(data: Any) -> None:
    read = json.loads(dump(data).decode("utf-8", "surrogatepass"))
    assert read == json.loads(documents.dump(data).decode("utf-8", "surrogatepass"))


def test_half_a_character_travels_escaped() -> None:
    data = {"half": "a \ud83d lone", "whole": "é"}
    assert json.loads(dump_wire(data).decode()) == data
    assert dump_wire({"whole": "é"}) == '{"whole":"é"}'.encode()


def test_texts_come_back_whole() -> None:
    texts = ["é \u2028 \x00", "a \ud83d lone", "\U0001f600", ""]
    assert load_texts(dump(texts)) == texts
    with pytest.raises(ValueError, match="Expecting"):
        load_texts(b"[")


def test_deep_nesting() -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    assert dump(deep) == b"[" * 501 + b"]" * 501


@dataclass(frozen=True, slots=True)
class Point:
    x: int = 0


@pytest.mark.parametrize("data", [Point(), {1, 2}, object()])
def test_what_is_not_json_data_is_refused(data: object) -> None:
    with pytest.raises(TypeError):
        dump({"data": data})
