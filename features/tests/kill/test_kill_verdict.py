"""What `make kill` lets pass, and what it does not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest

from fleet_features.kill.__main__ import main
from fleet_features.kill.tables import Row, table
from fleet_features.kill.verdict import Kill, Left, Point, disturbed, points, undisturbed
from fleet_features.kill.work import plans

DECIDED = ("decided", "dev-1", "unverified", 1, True)
WANTED = Left(
    tasks={"a": DECIDED, "b": DECIDED},
    completed={"a": 1, "b": 1},
    log="a started\nb started",
    events=4,
    calls=Counter({"a1": 1, "b1": 1}),
    kept={"a1": 1, "b1": 1},
)
AT = Point(0.5, "asked")


def kill(*in_flight: str) -> Kill:
    return Kill(AT, pid=17, in_flight=frozenset(in_flight))


def test_an_undisturbed_run_has_no_faults() -> None:
    assert undisturbed(WANTED) == []
    assert disturbed(WANTED, WANTED, []) == []


def test_a_call_that_was_in_flight_may_be_made_once_more_for_each_kill() -> None:
    twice = replace(WANTED, calls=Counter({"a1": 3, "b1": 1}), kept={"a1": 3, "b1": 1})

    assert disturbed(twice, WANTED, [kill("a1"), kill("a1", "b1")]) == []
    (fault,) = disturbed(twice, WANTED, [kill("a1"), kill("b1")])
    assert "a1 was asked 2 times too often, and was in flight at 1" in fault


def test_a_call_for_an_answer_in_the_journal_is_never_excused() -> None:
    again = replace(WANTED, calls=Counter({"a1": 2, "b1": 1}))

    (fault,) = disturbed(again, WANTED, [kill("a1")])
    assert "a1 was called for again" in fault


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (replace(WANTED, completed={"a": 2, "b": 1}), "a has 2 completed"),
        (replace(WANTED, completed={"a": 1}), "b has 0 completed"),
        (replace(WANTED, tasks={**WANTED.tasks, "b": (*DECIDED[:4], False)}), "recorded: False"),
        (
            replace(WANTED, tasks={**WANTED.tasks, "b": ("failed", "", "", 1, False)}),
            "b is failed",
        ),
        (
            replace(WANTED, tasks={**WANTED.tasks, "b": ("decided", "dev-2", *DECIDED[2:])}),
            "dev-2",
        ),
        (replace(WANTED, tasks={"a": DECIDED}), "task b: None"),
        (replace(WANTED, log="a started\nb failed"), "the event log differs: 'b failed'"),
        (replace(WANTED, dead=["no plan"]), "a dead letter: no plan"),
        (
            replace(WANTED, unrecorded=["the decision of task a"]),
            "the graph is wrong: the decision of task a",
        ),
        (replace(WANTED, lost=["b1"]), "b1 was issued and never journaled"),
        (replace(WANTED, calls=Counter({"a1": 1})), "other calls: ['b1']"),
    ],
)
def test_whatever_else_differs_is_a_fault(left: Left, said: str) -> None:
    faults = disturbed(left, WANTED, [kill("a1", "b1")])

    assert [fault for fault in faults if said in fault]


def test_a_run_that_nobody_disturbs_makes_no_call_twice() -> None:
    twice = replace(WANTED, calls=Counter({"a1": 2, "b1": 1}), kept={"a1": 2, "b1": 1})

    assert undisturbed(twice) == ["a1 was asked 2 times"]


def test_points_are_drawn_from_the_seed_and_the_part() -> None:
    drawn = list(islice(points(1, "nats", 2), 3))

    assert drawn == list(islice(points(1, "nats", 2), 3))
    assert drawn != list(islice(points(2, "nats", 2), 3))
    assert drawn != list(islice(points(1, "valkey", 2), 3))
    assert all(first.share <= second.share for first, second in drawn)


def test_runs_differ_in_nothing_but_the_story() -> None:
    ours, others = plans("one"), plans("other")

    assert [replace(plan, story="") for plan in ours] == [replace(p, story="") for p in others]
    assert len({plan.story for plan in (*ours, *others)}) == len(ours) + len(others)
    tasks = [task.task_id for plan in ours for task in plan.tasks]
    assert len(set(tasks)) == len(tasks), "a call is named by its task"


def test_a_part_sums_up_its_runs_and_counts_who_was_killed() -> None:
    row = Row("nats")
    row.add([kill("a1"), Kill(AT)], WANTED, WANTED, 1.0)
    faults = row.add([kill()], replace(WANTED, completed={"a": 1, "b": 2}), WANTED, 2.0)

    assert row.faults == faults != []
    assert (len(row.kills), row.deliberations, row.completed, row.in_flight) == (2, 4, 3, 1)
    assert list(table([row]))[1].endswith("no")


def test_an_unknown_part_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["kill", "--parts", "nets"])

    with pytest.raises(SystemExit):
        main()
    assert "there is no part 'nets'" in capsys.readouterr().err
