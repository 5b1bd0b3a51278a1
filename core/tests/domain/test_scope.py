"""Scopes by phase and role."""

from __future__ import annotations

import pytest

from fleet_core.domain.context import ANCHORS, ItemKind
from fleet_core.domain.plan import PHASES, Plan, Task, validated
from fleet_core.domain.scope import DEFAULT_SCOPES, PhaseScopes, allowed, validate
from fleet_core.errors import InputError, PlanError

ROLES = ("DEV", "QA", "ARCHITECT", "DEVOPS", "DATA")
QA_IN_TEST = ["task", "acceptance", "constraints", "dependency decision", "affecting decision",
              "role decision", "concurrent task"]  # fmt: skip


def test_there_is_a_policy_for_every_phase_and_anchors_are_always_told() -> None:
    assert tuple(DEFAULT_SCOPES) == PHASES
    for phase in PHASES:
        for role in ROLES:
            assert set(ANCHORS) <= allowed(phase, role)
    assert allowed("x", "DEV", {"x": PhaseScopes(frozenset())}) == frozenset(ANCHORS)


def test_what_is_missing_and_what_is_too_much_are_both_told() -> None:
    report = validate("test", "qa", ["task", "timeline", "task"], roles=ROLES)
    assert [kind.value for kind in report.allowed] == QA_IN_TEST
    assert [kind.value for kind in report.missing] == QA_IN_TEST[1:]
    assert report.extra == (ItemKind.TIMELINE,)
    assert not report.valid
    assert validate("test", "QA", QA_IN_TEST, roles=ROLES).valid
    assert not validate("test", "ARCHITECT", QA_IN_TEST, roles=ROLES).valid


@pytest.mark.parametrize(
    ("phase", "role", "scope", "field", "offered"),
    [
        ("tset", "QA", "task", "phase", "test"),
        ("test", "Q A", "task", "role", "QA"),
        ("test", "WIZARD", "task", "role", "known: ARCHITECT, DATA"),
        ("test", "QA", "time line", "scopes[0]", "timeline"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_close(
    phase: str, role: str, scope: str, field: str, offered: str
) -> None:
    with pytest.raises(InputError) as refused:
        validate(phase, role, [scope], roles=ROLES)
    assert refused.value.field == field
    assert offered in refused.value.hint


def test_a_plan_with_an_unknown_phase_is_refused() -> None:
    plan = Plan("s", "S", (Task("a", "A", "QA", phase="testing"),))
    with pytest.raises(PlanError) as refused:
        validated(plan, roles=ROLES)
    assert refused.value.field == "tasks[0].phase"
    assert "test" in refused.value.hint
