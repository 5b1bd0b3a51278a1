from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fleet_bootstraps.report.schema import report_schema

Script = Callable[..., tuple[str, ...]]
Plan = Callable[..., str]
Fleet = Callable[..., Any]
TWO = (
    {"id": "a", "title": "Do a", "role": "DEV"},
    {"id": "b", "title": "Do b", "role": "qa", "depends_on": ["a"]},
)


def valid(report: Any) -> Any:
    jsonschema.Draft202012Validator(report_schema()).validate(report)
    return report


def reports(home: Path) -> list[Any]:
    found = sorted((home / "runs").glob("*/report.json"))
    return [valid(json.loads(path.read_text())) for path in found]


def test_a_plan_is_decided_and_reported(
    fleet: Fleet, plan: Plan, script: Script, home: Path
) -> None:
    ran = fleet("run", plan(*TWO), *script())

    assert ran.code == 0
    (report,) = reports(home)
    assert report["outcome"] == "decided"
    assert [(t["task"], t["state"], t["winner"], t["standing"]) for t in report["tasks"]] == [
        ("a", "decided", "dev-2", "unverified"),
        ("b", "decided", "qa-2", "unverified"),
    ]
    assert [t["calls"] for t in report["tasks"]] == [10, 10]
    told = [
        e for e in report["tasks"][1]["context"]["ledger"] if e["kind"] == "dependency decision"
    ]
    assert [e["included"] for e in told] == [True]
    path = home / "runs" / f"{report['plan_id'][:12]}-1" / "report.md"
    assert ran.out.splitlines()[-1] == f"report: {path}"
    assert "| a | DEV | decided | dev-2 | unverified | 10 |" in path.read_text()
    assert "a: decided, unverified, winner dev-2; 10 calls" in ran.err


def test_the_result_as_json_is_the_report(fleet: Fleet, plan: Plan, script: Script) -> None:
    data = fleet("run", plan(*TWO), *script(), "--json").json

    assert Path(data.pop("report")).name == "report.md"
    assert valid(data)["calls"] == 20


def test_a_decided_plan_says_so_and_makes_no_call(
    fleet: Fleet, plan: Plan, script: Script, home: Path
) -> None:
    fleet("run", plan(), *script())
    again = fleet(
        "run", plan(), "--set", "model.use=openai", "--set", "model.base_url=http://[::1]:1"
    )

    assert again.code == 0
    assert "decided already; no call was made" in again.err
    assert len(reports(home)) == 1


def test_fresh_deliberates_anew_in_a_further_attempt(
    fleet: Fleet, plan: Plan, script: Script, home: Path
) -> None:
    fleet("run", plan(), *script())
    ran = fleet("run", plan(), *script(), "--fresh")

    assert ran.code == 0
    assert [(r["attempt"], r["tasks"][0]["attempt"]) for r in reports(home)] == [(1, 1), (2, 2)]
    assert [row["attempt"] for row in fleet("runs", "--json").json] == [1, 2]


def test_failed_calls_fail_the_task_and_block_what_waited(
    fleet: Fleet, plan: Plan, script: Script, home: Path
) -> None:
    ran = fleet("run", plan(*TWO), *script({"fail": {"empty": True}}))

    assert ran.code == 1
    assert "empty_answer" in ran.out
    (report,) = reports(home)
    first, second = report["tasks"]
    assert (first["state"], second["state"]) == ("failed", "blocked")
    assert (first["winner"], first["standing"], first["decision"]) == (None, None, None)
    assert first["reason"].startswith("no proposal stands: empty_answer")
    assert {f["code"] for f in first["failures"]} == {"empty_answer"}
    assert second["reason"] == "depends on 'a', which is failed"
    assert report["outcome"] == "undecided"


def test_running_a_failed_plan_again_deliberates_only_what_is_not_decided(
    fleet: Fleet, plan: Plan, script: Script, home: Path
) -> None:
    broken = ({"role": "QA", "fail": {"empty": True}}, {"role": "DEV", "text": "an answer"})
    fleet("run", plan(*TWO), *script(*broken))
    ran = fleet("run", plan(*TWO), *script())

    assert ran.code == 0
    latest = reports(home)[-1]
    assert [(t["attempt"], t["carried_over"]) for t in latest["tasks"]] == [(1, True), (2, False)]


@pytest.mark.parametrize("way", [{"malformed": True}, {"cut": 3}, {"status": 400}, {"status": 503}])
def test_whatever_fails_is_a_reason_and_no_traceback(
    fleet: Fleet, plan: Plan, script: Script, way: dict[str, Any]
) -> None:
    ran = fleet("run", plan(), *script({"text": "an answer", "fail": way, "times": 99}))

    assert ran.code == 1
    assert "a failed: no proposal stands" in ran.out
    assert "Traceback" not in ran.out + ran.err


def test_a_model_that_is_not_ready_is_said_before_anything_is_begun(
    fleet: Fleet, plan: Plan, home: Path
) -> None:
    ran = fleet(
        "run", plan(), "--set", "model.use=openai", "--set", "model.base_url=http://127.0.0.1:1/v1"
    )

    assert ran.code == 3
    assert "the model of [model] is not ready: no answer from http://127.0.0.1:1/v1" in ran.err
    assert "nothing was begun" in ran.err
    assert fleet("runs", "--json").json == []


def test_only_models_that_the_plan_needs_must_be_ready(
    fleet: Fleet, plan: Plan, script: Script
) -> None:
    away = ("--set", "models.big.use=openai", "--set", "models.big.base_url=http://127.0.0.1:1/v1")

    assert fleet("run", plan(), *script(), *away).code == 0
    needed = fleet("run", plan(), *script(), *away, "--fresh", "--set", "councils.DEV.model=big")
    assert needed.code == 3
    assert "[models.big]" in needed.err


def test_a_plan_that_is_refused_opens_nothing(fleet: Fleet, plan: Plan, home: Path) -> None:
    ran = fleet("run", plan({"id": "a", "title": "t", "role": "CHEF"}))

    assert ran.code == 2
    assert "tasks[0].role" in ran.err
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "basicc"], "did you mean basic"),
        (["run", "basic", "--profile", "embeddet"], "did you mean embedded"),
        (["run", "basic", "--set", "mmodel.use=x"], "did you mean model"),
        (["run", "basic", "--set", "model.use=scripted"], "model.scripted: script: "),
        (["run", "basic", "--set", "deliberation.protocol=x"], "there is no protocol 'x'"),
        (["run", "basic", "--set", "councils.DEV.size=0"], "councils.DEV.size"),
        (["run"], "PLAN"),
        (["fly"], "fly"),
    ],
)
def test_bad_input_is_one_message_and_exit_2(fleet: Fleet, arguments: list[str], said: str) -> None:
    ran = fleet(*arguments)

    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_protocol_that_a_task_names_must_exist(fleet: Fleet, plan: Plan) -> None:
    ran = fleet("run", plan({"id": "a", "title": "t", "role": "DEV", "protocol": "vot"}))

    assert ran.code == 2
    assert "tasks[0].protocol" in ran.err
    assert "did you mean vote" in ran.err


def test_a_home_that_is_a_file_is_refused(fleet: Fleet, plan: Plan, home: Path) -> None:
    home.write_text("")

    ran = fleet("run", plan())

    assert ran.code == 2
    assert f"{home}: is not a folder" in ran.err


def test_a_home_that_cannot_be_made_is_refused(fleet: Fleet, plan: Plan, script: Script) -> None:
    ran = fleet("--home", "/proc/nowhere", "run", plan(), *script())

    assert ran.code == 3
    assert "/proc/nowhere cannot be made" in ran.err
    assert "bug" not in ran.err


def test_a_model_file_that_is_none_is_refused(fleet: Fleet, plan: Plan) -> None:
    ran = fleet("run", plan(), "--set", f"model.gguf={plan()}")

    assert ran.code == 2
    assert "plan.json" in ran.err
    assert "Traceback" not in ran.err


def test_a_store_that_is_none_is_refused(fleet: Fleet, plan: Plan, home: Path) -> None:
    home.mkdir()
    (home / "fleet.sqlite").write_bytes(b"x" * 5000)

    ran = fleet("run", plan())

    assert ran.code == 3
    assert "fleet.sqlite" in ran.err
    assert "Traceback" not in ran.err


def test_an_approval_among_the_dead_letters_ends_the_run(
    fleet: Fleet, plan: Plan, script: Script, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fleet_core.errors import DecodeError  # noqa: PLC0415 -- beside its use
    from fleet_core.usecases.plans import Plans  # noqa: PLC0415 -- beside its use

    async def refuse(*_: object) -> None:
        raise DecodeError("not today")

    with monkeypatch.context() as patched:
        patched.setattr(Plans, "_approved", refuse)
        ran = fleet("run", plan(), *script())

    assert ran.code == 1
    assert "planning.plan.approved went to the dead letters: not today" in ran.err
    assert "fleet dead list" in ran.err
    (letter,) = fleet("dead", "list", "--json").json
    assert (letter["subject"], letter["reason"]) == ("planning.plan.approved", "not today")
    assert fleet("run", plan(), *script()).code == 0, "the next approval is heard"


def test_what_agents_say_is_followed_and_made_safe(
    fleet: Fleet, plan: Plan, script: Script, home: Path
) -> None:
    hostile = "\x1b[2Jgone\x07 \u202eevil\n```\n<script>alert(1)</script>\n# Not a heading"
    ran = fleet("run", plan(), *script({"text": hostile}), "--follow")
    shown = fleet("show", "a", "--plan", plan())

    assert ran.code == 0
    for text in (ran.out, ran.err, shown.out, *(p.read_text() for p in home.rglob("report.md"))):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "a dev-1| " in ran.err
    assert "\\x1b[2Jgone" in shown.out
    report = next(home.rglob("report.md")).read_text()
    assert "````text\n\\x1b[2Jgone\\x07 \\u202eevil\n```\n<script>" in report


def test_an_unexpected_bug_is_one_line_and_the_way_to_more(
    fleet: Fleet, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("fleet_bootstraps.cli.run.planned", broken)

    ran = fleet("run", plan())
    assert ran.code == 1
    assert "error: ZeroDivisionError: oh" in ran.err
    assert "FLEET_DEBUG=1" in ran.err

    monkeypatch.setenv("FLEET_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        fleet("run", plan())


def test_a_check_that_cannot_run_is_said_in_time_and_in_the_report(
    fleet: Fleet, plan: Plan, script: Script, home: Path
) -> None:
    task = {
        "id": "a",
        "title": "t",
        "role": "DEV",
        "checks": [{"kind": "python", "entry": "f", "examples": [{"args": [], "returns": 1}]}],
    }
    answer = {"text": "```python\ndef f():\n    return 1\n```"}
    off = ("--set", "check.bwrap=/nowhere/bwrap")
    ran = fleet("run", plan(task), *script(answer), *off)

    assert ran.code == 0
    assert "warning: the check python will not run" in ran.err
    (report,) = reports(home)
    assert report["tasks"][0]["standing"] == "unverified"
    (evidence,) = report["tasks"][0]["decision"]["evidence"]
    assert evidence["standing"] == "not run"
    assert "the check python did not run" in next(home.rglob("report.md")).read_text()


def test_quiet_shows_the_result_only(fleet: Fleet, plan: Plan, script: Script) -> None:
    ran = fleet("run", plan(), *script(), "--quiet")

    assert ran.err == ""
    assert ran.out.startswith("TASK")


def test_home_may_be_an_option(fleet: Fleet, plan: Plan, script: Script, tmp_path: Path) -> None:
    other = tmp_path / "other"

    assert fleet("--home", str(other), "run", plan(), *script()).code == 0
    assert len(reports(other)) == 1
    with sqlite3.connect(other / "fleet.sqlite") as file:
        assert file.execute("select count(*) from sqlite_master").fetchone()[0] > 0
    file.close()
