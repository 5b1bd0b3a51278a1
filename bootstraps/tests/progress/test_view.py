from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from fleet_bootstraps.progress.live import drawn
from fleet_bootstraps.progress.speech import Speech
from fleet_bootstraps.progress.view import RunView, run_view, stuck, told
from fleet_core.domain.council import Agent, Council
from fleet_core.domain.deliberation import Deliberation, Ended, JobRecord, Phase, ProtocolSpec, Step
from fleet_core.domain.job import Failure, JobKey, Outcome
from fleet_core.domain.lease import Lease, Slice
from fleet_core.domain.model_call import Usage
from fleet_core.domain.plan import Plan, Task
from fleet_core.domain.plan_run import PlanRun, TaskRun, TaskState, Terms
from fleet_core.ports.token_stream import Words

TASKS = (Task("a", "A", "DEV"), Task("b", "B", "DEV", depends_on=("a",)))
COUNCIL = Council("DEV", (Agent("dev-1", 1, "DEV"), Agent("dev-2", 2, "DEV")))


def run(first: TaskState = TaskState.RUNNING, reason: str = "") -> PlanRun:
    return PlanRun(
        "f" * 32,
        Plan("s", "The plan", TASKS),
        1,
        1_000,
        {"DEV": COUNCIL},
        ProtocolSpec(),
        Terms(),
        (TaskRun("a", first, deliberation_id="d", reason=reason), TaskRun("b")),
    )


def state(phase: Phase = Phase.RUNNING, *, answered: int = 0) -> Deliberation:
    ended = Ended(Outcome.OK, "x", usage=Usage(10, 5, 2_000_000, 1))
    jobs = tuple(
        JobRecord(
            f"j{n}",
            f"dev-{n}",
            JobKey(1, "propose", n),
            Slice(),
            ended=ended if n <= answered else None,
        )
        for n in (1, 2)
    )
    return Deliberation(
        "d",
        "f" * 32,
        "s",
        1,
        TASKS[0],
        COUNCIL,
        ProtocolSpec(),
        Lease(1000, 99_000),
        2_000,
        3,
        phase,
        steps=(Step(1, 1, "propose", 2_000, 60_000, jobs),),
    )


def lines(before: RunView | None, after: RunView) -> list[str]:
    return list(told(before, after))


def test_a_run_is_told_change_by_change() -> None:
    begun = run_view(run(), {}, 2_000)
    asked = run_view(run(), {"d": state()}, 3_000)
    half = run_view(run(), {"d": state(answered=1)}, 4_500)

    assert lines(None, begun) == ["a: starting"]
    assert lines(begun, asked) == ["a: propose (round 1), 2 jobs"]
    assert lines(asked, half) == ["a: propose (round 1): 1 of 2 ended"]
    assert lines(half, run_view(run(), {"d": state(answered=1)}, 9_000)) == []
    assert (half.tasks[0].calls, half.tasks[0].tokens, half.tasks[0].seconds) == (1, 15, 2.5)
    assert half.total("micro_usd") == 2_000_000


def test_an_end_is_told_once_with_its_reason() -> None:
    failure = Failure("no_proposal", "nothing stands")
    over = replace(state(Phase.FAILED, answered=2), failure=failure, ended_ms=4_000)
    before = run_view(run(), {"d": state()}, 3_000)
    ended = run_view(run(), {"d": over}, 5_000)
    heard = run_view(run(TaskState.FAILED, "nothing stands"), {"d": over}, 9_000)

    assert lines(before, ended) == ["a: failed: nothing stands; 2 calls, 30 tokens, 2.0 s"]
    assert lines(ended, heard) == []


def test_notes_are_told() -> None:
    before = run_view(run(), {"d": state()}, 3_000)
    noted = replace(state(), notes=("step 'propose' closed without 1 of 2",))

    assert lines(before, run_view(run(), {"d": noted}, 3_000)) == [
        "a: step 'propose' closed without 1 of 2"
    ]


def test_a_run_is_stuck_where_every_deliberation_has_ended_and_the_plan_has_not() -> None:
    assert not stuck(run(), {"d": state()})
    assert not stuck(run(), {})
    assert stuck(run(), {"d": state(Phase.FAILED)})


def test_the_table_holds_every_task_and_no_escape_of_an_agents() -> None:
    view = run_view(run(TaskState.FAILED, "bad \x1b]0;title\x07 [bold]x[/bold]"), {}, 3_000)
    out = io.StringIO()
    Console(file=out, width=160, force_terminal=False).print(drawn(view))

    text = out.getvalue()
    assert "The plan" in text
    assert "\x1b" not in text
    assert "\\x1b]0;title\\x07 [bold]x[/bold]" in text
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["a", "b"]


def words(job: str, offset: int, text: str) -> Words:
    return Words("d", "ffffffffffff-a", f"dev-{job}", job, offset, text)


def test_speech_is_shown_by_whole_lines_so_that_agents_do_not_mix() -> None:
    speech = Speech()

    assert list(speech.hear(words("1", 0, "one "))) == []
    assert list(speech.hear(words("2", 0, "two\nand"))) == [("ffffffffffff-a", "dev-2", "two")]
    assert list(speech.hear(words("1", 4, "more\n"))) == [("ffffffffffff-a", "dev-1", "one more")]
    assert list(speech.rest()) == [("ffffffffffff-a", "dev-2", "and")]


def test_a_retry_begins_its_line_anew() -> None:
    speech = Speech()
    list(speech.hear(words("1", 0, "half an answ")))

    assert list(speech.hear(words("1", 0, "an answer\n"))) == [
        ("ffffffffffff-a", "dev-1", "an answer")
    ]


def test_long_lines_are_cut_at_words() -> None:
    found = list(Speech().hear(words("1", 0, "word " * 50)))

    assert found
    assert all(len(line) <= 100 and line.endswith("word") for _, _, line in found)
