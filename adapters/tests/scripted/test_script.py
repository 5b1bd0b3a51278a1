from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.scripted.answering import (
    Asked,
    HashedAnswers,
    NoAnswer,
    ScriptedAnswers,
    candidates,
)
from fleet_adapters.scripted.script import load_script, parse_script
from fleet_core.errors import InputError
from fleet_plugins.kit.structured import schema_check

_PROMPT = """Rank these.

### Candidate A
plain text
### Candidate B
text with PLANTED in it
### Candidate C
other text, second BEST
<<<end>>>
PLANTED and BEST outside of any candidate
"""
_CRITIQUE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "ranking": {"type": "array", "items": {"type": "string", "enum": ["A", "B", "C"]}},
        "critiques": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "label": {"type": "string", "enum": ["A", "B", "C"]},
                    "strengths": {"type": "string"},
                    "weaknesses": {"type": "string", "maxLength": 5},
                },
                "required": ["label", "strengths", "weaknesses"],
                "additionalProperties": False,
            },
            "minItems": 3,
        },
        "reason": {"type": "string"},
    },
    "required": ["ranking", "critiques", "reason"],
    "additionalProperties": False,
}
_PROPOSAL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "rationale": {"type": "string"},
        "solution": {"type": "string"},
        "affects": {"type": "array", "items": {"type": "string", "enum": ["t1", "t2"]}},
    },
    "required": ["title", "rationale", "solution", "affects"],
    "additionalProperties": False,
}


def header(**keys: Any) -> str:
    job = {"task": "t1", "role": "DEV", "agent": 1, "step": "propose", "round": 1, "sample": 0}
    return json.dumps(job | keys)


def answer(entry: dict[str, Any], prompt: str = "", schema: Any = None, **keys: Any) -> str:
    answers = ScriptedAnswers(parse_script({"answers": [entry]}))
    return answers.reply(Asked(header(**keys), (("user", prompt),), schema)).text


def test_the_entry_with_the_most_keys_answers_wherever_it_stands() -> None:
    entries = [
        {"text": "any"},
        {"task": "t1", "text": "task"},
        {"task": "t1", "role": "dev", "agent": 2, "text": "seat"},
        {"task": "t1", "role": "dev", "agent": 2, "step": "revise", "text": "step"},
    ]
    for order in itertools.permutations(entries):
        answers = ScriptedAnswers(parse_script({"answers": list(order)}))

        def said(answers: ScriptedAnswers = answers, **keys: Any) -> str:
            return answers.reply(Asked(header(**keys), (("user", ""),))).text

        assert said(task="t9") == "any"
        assert said() == "task"
        assert said(agent=2) == "seat"
        assert said(agent=2, step="revise") == "step"


def test_no_entry_is_no_answer() -> None:
    answers = ScriptedAnswers(parse_script({"answers": [{"task": "t1", "text": "x"}]}))
    for asked in (header(task="t2"), "", "not a header"):
        with pytest.raises(NoAnswer):
            answers.reply(Asked(asked, ()))


def test_fails_the_first_times_of_each_job() -> None:
    entry = {"text": "fine", "fail": {"status": 500}, "times": 2}
    answers = ScriptedAnswers(parse_script({"answers": [entry]}))
    for agent in (1, 2):
        replies = [answers.reply(Asked(header(agent=agent), ())) for _ in range(4)]
        assert [reply.fail is None for reply in replies] == [False, False, True, True]


def test_candidates_are_read_from_the_prompt() -> None:
    assert list(candidates(_PROMPT)) == ["A", "B", "C"]
    assert candidates(_PROMPT)["C"] == "other text, second BEST"


@pytest.mark.parametrize(
    ("prefer", "ranking"),
    [
        (["PLANTED"], ["B", "A", "C"]),
        (["BEST", "PLANTED"], ["C", "B", "A"]),
        (["nowhere"], ["A", "B", "C"]),
        (["text"], ["A", "B", "C"]),
    ],
)
def test_prefers_by_marker(prefer: list[str], ranking: list[str]) -> None:
    value = json.loads(answer({"prefer": prefer}, _PROMPT, _CRITIQUE))
    assert value["ranking"] == ranking
    assert schema_check(_CRITIQUE)(value) == ""
    assert [critique["label"] for critique in value["critiques"]] == ["A", "B", "C"]
    assert json.loads(answer({"prefer": prefer}, _PROMPT))["ranking"] == ranking


def test_only_allowed_labels_are_ranked() -> None:
    schema = {"properties": {"ranking": {"items": {"enum": ["C", "A"]}}}, "required": ["ranking"]}
    value = json.loads(answer({"prefer": ["PLANTED"]}, _PROMPT, schema))
    assert value == {"ranking": ["C", "A"]}


def test_a_text_becomes_the_solution_where_one_is_asked_for() -> None:
    text = "Use a form\nwith two fields"
    value = json.loads(answer({"text": text}, schema=_PROPOSAL))
    assert value["solution"] == text
    assert value["title"] == "Use a form"
    assert schema_check(_PROPOSAL)(value) == ""
    assert answer({"text": text}) == text


def test_json_is_filled_up_and_never_changed() -> None:
    value = json.loads(answer({"json": {"title": "T", "affects": ["t2"]}}, schema=_PROPOSAL))
    assert (value["title"], value["affects"]) == ("T", ["t2"])
    assert schema_check(_PROPOSAL)(value) == ""


def test_tokens_can_be_said() -> None:
    entry = {"text": "x", "tokens": {"prompt": 11, "answer": 7}}
    reply = ScriptedAnswers(parse_script({"answers": [entry]})).reply(Asked(header(), ()))
    assert (reply.prompt_tokens, reply.answer_tokens) == (11, 7)


@pytest.mark.parametrize(
    ("answers", "field", "said"),
    [
        ([{"txt": "x"}], "answers[0].txt", "unknown key"),
        ([{"text": 5}], "answers[0].text", "should be text"),
        ([{"text": " "}], "answers[0].text", "is empty"),
        ([{"task": "t"}], "answers[0]", "no answer"),
        ([{"text": "x", "json": {}}], "answers[0].text", "beside"),
        ([{"text": "x", "agent": "1"}], "answers[0].agent", "whole number"),
        ([{"text": "x", "delay_ms": -1}], "answers[0].delay_ms", "below 0"),
        ([{"text": "x", "times": 1}], "answers[0].times", "nothing to fail"),
        ([{"fail": {}}], "answers[0].fail", "no way"),
        ([{"fail": {"empty": True, "status": 500}}], "answers[0].fail", "several"),
        ([{"fail": {"status": 200}}], "answers[0].fail.status", "status"),
        ([{"fail": {"empty": True, "retry_after": 1}}], "answers[0].fail.retry_after", "status"),
        ([{"fail": {"cut": 5}}], "answers[0]", "no answer"),
        ([{"fail": {"status": 500}, "times": 1}], "answers[0]", "no answer"),
        ([{"text": "a", "task": "t"}, {"text": "b", "task": "t"}], "answers[1]", "ties"),
        ([{"text": "a", "task": "t"}, {"text": "b", "role": "DEV"}], "answers[1]", "ties"),
        ([{"text": "a"}, {"text": "b"}], "answers[1]", "every job"),
        ("x", "answers", "a list"),
    ],
)
def test_a_wrong_script_is_refused_by_field(answers: Any, field: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        parse_script({"answers": answers}, source="script.yaml")
    assert caught.value.field == field
    assert caught.value.source == "script.yaml"


def test_a_tie_that_a_third_entry_settles_is_none() -> None:
    parse_script(
        {
            "answers": [
                {"task": "t", "text": "a"},
                {"role": "DEV", "text": "b"},
                {"task": "t", "role": "dev", "text": "c"},
                {"task": "other", "text": "d"},
                {"task": "other", "role": "DEV", "text": "e"},
            ]
        }
    )


@pytest.mark.parametrize(
    "raw", [b"answers: [", b"\xff\xfe\xff", b"", b"- 1", b"!!python/object:os.system {}"]
)
def test_a_file_that_is_no_script_is_named(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"bad\.yaml"):
        load_script(path)


def test_hashed_answers_depend_on_the_request_alone() -> None:
    def ask(text: str, schema: Any = None, job: str = "") -> str:
        return HashedAnswers().reply(Asked(job, (("user", text),), schema)).text

    assert ask("a") == ask("a", job=header()) != ask("b")
    for schema in (_CRITIQUE, _PROPOSAL):
        value = json.loads(ask("a", schema))
        assert schema_check(schema)(value) == ""
        assert ask("a", schema) == ask("a", schema) != ask("b", schema)
    rankings = {tuple(json.loads(ask(str(n), _CRITIQUE))["ranking"]) for n in range(60)}
    assert len(rankings) == 6
