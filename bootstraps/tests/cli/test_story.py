"""`fleet story`: out of one graph, into another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Script = Callable[..., tuple[str, ...]]
Plan = Callable[..., str]
Fleet = Callable[..., Any]
HEAD = '{"fleet_story": 1, "story": "s"}'
OTHER = json.dumps(
    {
        "plan": {
            "plan_id": "p",
            "approved_ms": 1,
            "plan": {"story": "other", "title": "t", "tasks": []},
        }
    }
)
TWO = (
    {"id": "a", "title": "Do a", "role": "DEV"},
    {"id": "b", "title": "Do b", "role": "QA", "depends_on": ["a"]},
)


@pytest.fixture
def ran(fleet: Fleet, plan: Plan, script: Script) -> Any:
    return fleet("run", plan(*TWO), *script(), "--json").json


def test_a_story_goes_from_one_graph_to_another_and_back(
    fleet: Fleet, plan: Plan, ran: Any, tmp_path: Path
) -> None:
    out = tmp_path / "s.jsonl"
    assert fleet("story", "list", "--json").json == ["s"]
    written = fleet("story", "export", "s", "--out", str(out))
    assert written.code == 0
    lines = out.read_text().splitlines()
    assert [sorted(json.loads(line)) for line in lines] == [
        ["fleet_story", "story"],
        ["plan"],
        ["decision", "recorded_ms"],
        ["decision", "recorded_ms"],
    ]
    elsewhere = ("--set", "graph.path=other.sqlite")
    found = fleet("story", "import", str(out), *elsewhere, "--json").json
    assert found == {"story": "s", "plans": 1, "decisions": 2, "revision": 3}
    again = fleet("story", "import", str(out), *elsewhere, "--json").json
    assert again == found, "what is known stays as it is"
    assert fleet("story", "export", "s", *elsewhere).out == out.read_text()
    packs = [
        fleet("context", "b", "--plan", plan(*TWO), "--json", *more).json
        for more in ((), elsewhere)
    ]
    assert packs[0] == packs[1]
    assert "second, with a MARK, revised" in packs[0]["text"]


def test_superseded_decisions_are_dropped(
    fleet: Fleet, plan: Plan, script: Script, ran: Any
) -> None:
    assert fleet("story", "prune", "s", "--before", "2100-01-01", "--json").json["dropped"] == 0
    anew = [
        {"step": step, "agent": number, "text": f"{step} {number} anew"}
        for number in (1, 2, 3)
        for step in ("propose", "revise")
    ]
    other = script(*anew, *({"step": s, "prefer": ["anew"]} for s in ("critique", "judge")))
    assert fleet("run", plan(*TWO), *other, "--fresh", "--json").code == 0
    told = fleet("story", "prune", "s", "--before", "1990-01-01", "--json").json
    assert told == {"story": "s", "dropped": 0, "decisions": 4}
    told = fleet("story", "prune", "s", "--before", "2100-01-01", "--json").json
    assert told == {"story": "s", "dropped": 2, "decisions": 2}
    assert len(fleet("story", "export", "s").out.splitlines()) == 4


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("no json", "s.jsonl:1: is not JSON"),
        ('{"fleet_story": 2, "story": "s"}', "s.jsonl:1: fleet_story: is no story of format 1"),
        ('{"fleet_story": 1, "story": "s"}\n{"plan": {"plan_id": 7}}', "s.jsonl:2: plan.plan_id"),
        ('{"fleet_story": 1, "story": "s"}\n{"decision": {}}', "s.jsonl:2: decision.decision_id"),
        (
            f"{HEAD}\n{OTHER}",
            "s.jsonl:2: belongs to story 'other'",
        ),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_what_is_no_story_is_refused_with_its_line(
    fleet: Fleet, tmp_path: Path, content: str | bytes, said: str
) -> None:
    file = tmp_path / "s.jsonl"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = fleet("story", "import", str(file))
    assert result.code == 2
    assert said in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "t"), "nothing is known of story 't'"),
        (("prune", "t", "--before", "2100-01-01"), "nothing is known of story 't'"),
        (("prune", "s", "--before", "soon"), "--before: 'soon' is no day or time"),
        (("import", "nowhere.jsonl"), "nowhere.jsonl: cannot be read"),
        (("export", "s", "--out", "/nowhere/s.jsonl"), "/nowhere/s.jsonl: cannot be written"),
    ],
)
def test_bad_input_is_told(fleet: Fleet, ran: Any, arguments: tuple[str, ...], said: str) -> None:
    result = fleet("story", *arguments)
    assert result.code == 2
    assert said in result.err


def test_an_export_that_fails_leaves_no_file(fleet: Fleet, ran: Any, tmp_path: Path) -> None:
    assert fleet("story", "export", "t", "--out", str(tmp_path / "t.jsonl")).code == 2
    assert list(tmp_path.glob("t.jsonl*")) == []
