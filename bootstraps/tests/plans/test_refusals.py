# ruff: noqa: E501 -- one case a line reads best
"""Every malformed plan gets one clear message with file, line, field and way out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fleet_bootstraps.plans import builtin_plans, load_plan, parse_plan
from fleet_core.domain.council import DEFAULT_ROLES
from fleet_core.domain.plan import MAX_PLAN_BYTES, plan_id
from fleet_core.errors import PlanError

HEAD = "story: s\ntasks:\n  - id: a\n    title: t\n    role: DEV\n"


def refusal(text: str | bytes) -> PlanError:
    raw = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(PlanError) as error:
        parse_plan(raw, "p.yaml", DEFAULT_ROLES)
    return error.value


@pytest.mark.parametrize(
    ("text", "where", "field", "said"),
    [
        ("", "p.yaml", "", "the file is empty"),
        ("# only words\n", "p.yaml", "", "the file is empty"),
        ("- a\n", "p.yaml:1", "", "should be a mapping, is a list"),
        ("story: [\n", "p.yaml:2:1", "", "is not YAML"),
        ("story: s\n\tx: 1\n", "p.yaml:2:1", "", "is not YAML"),
        ("story: s\x01", "p.yaml:1:9", "", "is not YAML"),
        ("tasks: []\n", "p.yaml:1", "story", "missing"),
        ("story: s\n", "p.yaml:1", "tasks", "missing"),
        ("story: s\ntasks: []\n", "p.yaml:2", "tasks", "the plan is empty"),
        ("story: s\ntasks:\n", "p.yaml:2", "tasks", "should be a list of tasks, is empty"),
        ("story: ' '\ntasks: []\n", "p.yaml:1", "story", "is blank"),
        ("story: no\n", "p.yaml:1", "story", 'no is text to some and false to others (write false, or "no"'),
        ("story: s\ntitle: 3\n" + HEAD[9:], "p.yaml:2", "title", "should be text, is 3 (put it in quotes"),
        ("story: s\nstory: t\n", "p.yaml:2", "story", "is given twice, first on line 1"),
        ("story: s\n1: t\n", "p.yaml:2", "", "a key is not text"),
        ("story: s\n[1]: t\n", "p.yaml:2", "", "a key is not text"),
        ("a: &a [x]\nb: *a\n", "p.yaml:1", "a", "uses an anchor or alias"),
        ("story: !!python/name:os.system\n", "p.yaml:1", "story", "uses the tag"),
        ("story: s\n---\nstory: t\n", "p.yaml:2", "", "a second document"),
        ("story: .inf\n", "p.yaml:1", "story", ".inf is no number"),
        ("story: 1e999\n", "p.yaml:1", "story", "too large"),
        ("story: " + "9" * 5000, "p.yaml:1", "story", "too long"),
        ('story: "a\\0b"\n', "p.yaml:1", "story", "U+0000"),
        ('{"story": "\\ud800"}', "p.yaml", "story", "U+D800"),
        ('{"story": "a", "story": "b"}', "p.yaml", "story", "is given twice"),
        ("stori: s\n" + HEAD, "p.yaml:1", "stori", "unknown key (did you mean story?"),
        (HEAD + "    depnds_on: [b]\n", "p.yaml:6", "tasks[0].depnds_on", "did you mean depends_on?"),
        (HEAD + "    depends_on: b\n", "p.yaml:6", "tasks[0].depends_on", "should be a list of text, is 'b'"),
        (HEAD + "    depends_on: [3]\n", "p.yaml:6", "tasks[0].depends_on[0]", "should be text, is 3"),
        (HEAD + "    depends_on: [b]\n", "p.yaml:6", "tasks[0].depends_on", "depends on 'b', which is not in"),
        (HEAD + "    depends_on: [a]\n", "p.yaml:2", "tasks", "in a circle: a -> a"),
        (HEAD + HEAD[16:], "p.yaml:6", "tasks[1].id", "task id 'a' is used twice"),
        (HEAD.replace("id: a", "id: a b"), "p.yaml:3", "tasks[0].id", "'a b' is not allowed"),
        (HEAD.replace("DEV", "DVE"), "p.yaml:5", "tasks[0].role", "(did you mean DEV"),
        (HEAD + "    checks: [python]\n", "p.yaml:6", "tasks[0].checks[0]", "should be a mapping"),
        (HEAD + "    checks: [{}]\n", "p.yaml:6", "tasks[0].checks[0].kind", "missing"),
        (
            HEAD + "    checks:\n    - kind: python\n      tests: x\n      required: 1\n",
            "p.yaml:9",
            "tasks[0].checks[0].required",
            "should be true or false, is 1",
        ),
        (
            HEAD + "    checks:\n    - kind: python\n      examples:\n      - {args: 3, returns: 1}\n",
            "p.yaml:9",
            "tasks[0].checks[0].examples[0].args",
            "should be a list, is 3",
        ),
        ("x: " + "[" * 2000, "p.yaml:1", None, "nests too deeply"),
        ('{"x": ' + "[" * 70 + "]" * 70 + "}", "p.yaml", None, "nests too deeply"),
    ],
)  # fmt: skip
def test_it_is_refused_with_its_place(text: str, where: str, field: str | None, said: str) -> None:
    error = refusal(text)
    assert said in f"{error.message} ({error.hint})"
    assert error.source == where
    assert field is None or error.field == field


def test_invalid_utf8_names_the_byte() -> None:
    assert "byte 7 is not UTF-8" in str(refusal(b"story: \xff"))


def test_of_several_problems_the_first_in_file_order_is_told() -> None:
    text = "tasks:\n- id: 1\n  title: t\n  role: DEV\n  x: 1\nstory: 5\n"
    assert refusal(text).field == "tasks[0].id"


def test_a_plan_over_the_limit_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    raw = b"[" * (MAX_PLAN_BYTES + 1)
    assert f"{len(raw)} bytes" in str(refusal(raw))
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(PlanError, match="over the limit"):
        load_plan(path, DEFAULT_ROLES)


def test_a_terminal_is_not_written_to_by_a_key() -> None:
    assert "\x1b" not in str(refusal('"\\e[31mred": 1\nstory: s\ntasks: []\n'))


def test_what_is_no_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "is not a regular file"),
        ("/dev/zero", "is not a regular file"),
        ("a\0b", "cannot be read"),
        ("x" * 5000, "cannot be read"),
        (tmp_path / "none.yaml", "there is no such file"),
    ):
        with pytest.raises(PlanError, match=said):
            load_plan(path, DEFAULT_ROLES)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlanError, match=r"did you mean basic\? built-in plans: basic, medium"):
        load_plan("basci", DEFAULT_ROLES)


def test_an_unreadable_file_is_named() -> None:
    path = Path("/proc/self/mem")  # a file that even root cannot read from its start
    with pytest.raises(PlanError, match=r"/proc/self/mem.*Input/output error"):
        load_plan(path, DEFAULT_ROLES)


def test_a_file_comes_before_a_builtin_of_its_name_and_a_folder_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("code").mkdir()
    assert load_plan("code", DEFAULT_ROLES).story == "small-functions"
    Path("basic").write_text(HEAD)
    assert load_plan("basic", DEFAULT_ROLES).story == "s"


def test_json_is_read_as_the_same_plan(tmp_path: Path) -> None:
    text = HEAD + "    description: tschüß 🙂\n"
    plan = parse_plan(text.encode(), "p", DEFAULT_ROLES)
    task = {"id": "a", "title": "t", "role": "dev", "description": "tschüß 🙂"}
    raw = json.dumps({"story": "s", "tasks": [task]}, indent="\t").encode()
    assert plan_id(parse_plan(raw, "p.json", DEFAULT_ROLES)) == plan_id(plan)
    bom = b"\xef\xbb\xbf" + raw
    assert plan_id(parse_plan(bom, "p.json", DEFAULT_ROLES)) == plan_id(plan)


def test_plain_words_keep_their_yaml_1_2_meaning() -> None:
    check = "{kind: third-party, a: 010, b: 0x10, c: 12:30, d: 2026-01-31, e: y, f: ~, g: 1_0}"
    plan = parse_plan((HEAD + f"    checks: [{check}]\n").encode(), "p", DEFAULT_ROLES)
    spec = plan.tasks[0].checks[0].spec
    assert list(spec.values()) == [10, 16, "12:30", "2026-01-31", "y", None, "1_0"]


def test_the_builtins_are_named() -> None:
    assert set(builtin_plans()) == {"basic", "medium", "complex", "code", "first"}
