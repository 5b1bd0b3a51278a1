from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Script = Callable[..., tuple[str, ...]]
Plan = Callable[..., str]
Fleet = Callable[..., Any]
TWO = (
    {"id": "a", "title": "Do a", "role": "DEV"},
    {"id": "b", "title": "Do b", "role": "QA", "depends_on": ["a"]},
)


@pytest.fixture
def ran(fleet: Fleet, plan: Plan, script: Script) -> Any:
    return fleet("run", plan(*TWO), *script(), "--json").json


def test_a_deliberation_is_shown_whole(fleet: Fleet, plan: Plan, ran: Any) -> None:
    identity = ran["tasks"][0]["deliberation_id"]
    data = fleet("show", identity[:6], "--json").json

    assert data["deliberation_id"] == identity
    assert [s["step"] for s in data["steps"]] == ["propose", "critique", "revise", "judge"]
    proposals = [job["proposal"]["text"] for job in data["steps"][0]["jobs"]]
    assert proposals == ["first", "second, with a MARK", "third"]
    revised = {job["agent"]: job["proposal"]["digest"] for job in data["steps"][2]["jobs"]}
    (judged,) = data["steps"][3]["jobs"]
    assert judged["ballot"]["ranking"][0] == revised["dev-2"]
    assert next(r["agents"] for r in data["ranking"]["order"]) == ["dev-2"]
    assert data["ranking"]["order"][0]["judge"] == 1.0
    assert data["decision"]["text"] == "second, with a MARK, revised"
    text = fleet("show", "a", "--plan", plan(*TWO)).out
    assert f"deliberation {identity}" in text
    assert "| second, with a MARK, revised" in text
    assert "ranking, set by judge" in text


def test_a_plan_is_named_by_its_id_too(fleet: Fleet, ran: Any) -> None:
    data = fleet("show", "b", "--plan", ran["plan_id"][:8], "--json").json

    assert (data["task"], data["plan_id"]) == ("b", ran["plan_id"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "ffff"], "there is no deliberation ffff"),
        (["show", "zz"], "'zz' is no deliberation's id"),
        (["show", "c", "--plan", "PLAN"], "the plan has no task 'c'"),
        (["show", "a", "--plan", "basic"], "was never run here"),
        (["show", "a", "--plan", "eeee"], "there is no plan eeee"),
        (["cancel", "eeee"], "there is no deliberation eeee"),
        (["cancel", "basic"], "was never run here"),
        (["cancel", "basicc"], "did you mean basic"),
        (["context", "c", "--plan", "PLAN"], "the plan has no task 'c'"),
        (["context", "a", "--plan", "PLAN", "--role", "CHEF"], "has no council"),
        (["councils", "--role", "CHEF"], "has no council"),
        (["profiles", "show", "embeddet"], "did you mean embedded"),
        (["plugins", "new", "tape", "--port", "graaph"], "did you mean graph"),
        (["plugins", "new", "Tape!", "--port", "graph"], "NAME"),
        (["models", "pull", "file.gguf"], "OWNER/NAME/FILE"),
        (["plan", "check", "basicc"], "did you mean basic"),
    ],
)
def test_what_is_not_there_is_said_with_the_way_out(
    fleet: Fleet, plan: Plan, ran: Any, arguments: list[str], said: str
) -> None:
    result = fleet(*(plan(*TWO) if word == "PLAN" else word for word in arguments))

    assert result.code == 2
    assert said in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("arguments", [["show", "abcd"], ["cancel", "basic"], ["dead", "list"]])
def test_looking_where_nothing_is_makes_nothing(
    fleet: Fleet, home: Path, arguments: list[str]
) -> None:
    result = fleet(*arguments)

    assert result.code == 2
    assert f"nothing is kept in {home}" in result.err
    assert not home.exists()
    assert fleet("runs").out == f"nothing was run in {home}\n"
    assert fleet("councils").code == 0
    assert not home.exists()


def test_a_profile_that_keeps_nothing_says_so(fleet: Fleet, ran: Any) -> None:
    assert "keeps nothing after a run" in fleet("show", "abcd", "--profile", "scripted").err


def test_runs_tells_what_is_under_way_from_what_has_ended(fleet: Fleet, ran: Any) -> None:
    (row,) = fleet("runs", "--json").json

    assert (row["plan_id"], row["state"], row["decided"], row["tasks"]) == (
        ran["plan_id"],
        "decided",
        2,
        2,
    )
    assert row["report"] == str(Path(ran["report"]).parent)
    assert ran["plan_id"][:12] in fleet("runs").out


def test_cancelling_what_has_ended_changes_nothing(fleet: Fleet, plan: Plan, ran: Any) -> None:
    plan_ = fleet("cancel", plan(*TWO), "--json").json
    one = fleet("cancel", ran["tasks"][0]["deliberation_id"][:12], "--json").json

    assert plan_["tasks"] == {"a": "decided", "b": "decided"}
    assert one["state"] == "decided"


def test_the_pack_of_a_task_holds_the_decision_it_depends_on(
    fleet: Fleet, plan: Plan, script: Script, ran: Any
) -> None:
    data = fleet("context", "b", "--plan", plan(*TWO), *script(), "--json").json

    assert data["role"] == "QA"
    assert "second, with a MARK, revised" in data["text"]
    assert {e["kind"] for e in data["ledger"] if e["included"]} >= {"task", "dependency decision"}
    text = fleet("context", "b", "--plan", plan(*TWO), "--role", "dev", *script()).out
    assert "dependency decision" in text


def test_councils_are_listed_with_their_models(fleet: Fleet) -> None:
    data = fleet(
        "councils", "--role", "dev", "--json", "--set", "councils.DEV.temperature=0.1"
    ).json

    (council,) = data
    assert [a["agent"] for a in council["agents"]] == ["dev-1", "dev-2", "dev-3"]
    assert {a["temperature"] for a in council["agents"]} == {0.1}
    assert all(a["persona"] for a in council["agents"])
    assert "dev-1" in fleet("councils").out


def test_settings_are_shown_with_their_source_and_without_secrets(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "hunter2")
    monkeypatch.setenv("FLEET_MODEL__TIMEOUT_MS", "5")
    arguments = ("profiles", "show", "embedded", "--set", "model.use=openai")
    sets = ("--set", "model.api_key=MY_KEY", "--set", "model.base_url=http://me:hunter2@h/v1")
    result = fleet(*arguments, *sets, "--json")

    rows = {f"{r['table']}.{r['key']}": (r["value"], r["source"]) for r in result.json["settings"]}
    assert "hunter2" not in result.out + fleet(*arguments, *sets).out
    assert rows["model.use"] == ("openai", "--set model.use=openai")
    assert rows["model.api_key"][0] == "MY_KEY"
    assert rows["bus.use"] == ("sqlite", "profile embedded")
    assert rows["lease.tokens"][1] == "default"


def test_a_setting_in_the_environment_of_another_adapter_is_refused(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEET_DELIBERATION__JUDGE__SEED", "4")
    rows = {
        f"{r['table']}.{r['key']}": (r["value"], r["source"])
        for r in fleet("profiles", "show", "--json").json["settings"]
    }

    assert rows["deliberation.judge.seed"] == (4, "FLEET_DELIBERATION__JUDGE__SEED")
    assert rows["deliberation.judge.model"] == ("default", "default")


def test_lists_and_schemas_are_json(fleet: Fleet, tmp_path: Path) -> None:
    assert {p["name"] for p in fleet("profiles", "list", "--json").json} >= {"embedded", "scripted"}
    loaded = fleet("plugins", "list", "--load", "--json").json
    assert {p["status"] for p in loaded if p["distribution"] == "swe-ai-fleet"} == {"available"}
    assert all(p["summary"] for p in loaded if p["distribution"] == "swe-ai-fleet")
    assert fleet("plan", "check", "basic", "--json").json["tasks"][0]["task"] == "button"
    assert "button" in fleet("plan", "check", "basic").out
    assert fleet("plan", "schema").json["type"] == "object"
    assert "tasks" in fleet("report-schema").json["properties"]
    assert fleet("--version").out.startswith("fleet ")
    made = fleet("plugins", "new", "tape", "--port", "blobs", "--folder", str(tmp_path), "--json")
    assert str(tmp_path / "fleet-blobs-tape" / "pyproject.toml") in made.json


def test_dead_letters_are_none_where_all_went_well(fleet: Fleet, ran: Any) -> None:
    assert fleet("dead", "list", "--json").json == []
    assert "no dead letters" in fleet("dead", "list").out
