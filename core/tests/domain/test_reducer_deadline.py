"""The jobs' deadline is the lease's: whichever of them is told first, the verdict is the same."""

from __future__ import annotations

from dataclasses import replace

from fleet_core.domain.deliberation import DEADLINE, Phase, ProtocolSpec
from fleet_core.domain.inputs import Due
from fleet_core.domain.job import AgentResult, Failure, Outcome
from fleet_core.domain.protocols.peer_review import PeerReview
from fleet_core.domain.ranking import rank
from fleet_core.domain.reducer import Strategy
from fleet_core.testing.playing import Asked, Play, proposed, replied, seats, start_with

REVIEW = Strategy(PeerReview().next_step, rank)


def begun(**more: object) -> Play:
    start = start_with(seats("DEV", 3), ProtocolSpec(), **more)  # type: ignore[arg-type]  # as start_with takes them
    return Play(REVIEW).begin(start)


def ran_out(asked: Asked) -> AgentResult:
    late = replied(asked.job, "")
    failure = Failure(DEADLINE, "did not end within its time")
    return replace(late, outcome=Outcome.FAILED, failure=failure)


def test_a_job_that_its_deadline_ended_is_unanswered_as_one_that_had_not_ended() -> None:
    swept, told = begun(), begun()
    for play in (swept, told):
        play.answer(play.asked()[0], lambda a: proposed(a, "a text"))
        play.now_ms = play.now.lease.deadline_ms
    swept.feed(Due(swept.now_ms))
    told.answer(told.asked()[0], ran_out)
    for play in (swept, told):
        assert play.now.phase is Phase.DECIDED
        assert play.now.decision is not None
        assert play.now.decision.incomplete == ("dev-2", "dev-3")
        assert "the deadline came with 2 jobs unanswered" in play.now.notes


def test_no_step_is_opened_by_an_answer_that_comes_at_the_deadline() -> None:
    play = begun()
    first, second, third = play.asked()
    for asked, text in ((first, "one"), (second, "two")):
        play.answer(asked, lambda a, text=text: proposed(a, text))  # type: ignore[misc]  # binds text
    play.now_ms = play.now.lease.deadline_ms
    play.answer(third, lambda a: proposed(a, "three"))
    assert play.now.phase is Phase.DECIDED
    assert len(play.now.steps) == 1
    assert "the deadline came before the next step" in play.now.notes


def test_a_lease_that_covers_no_step_is_the_reason_of_the_failure() -> None:
    play = begun(tokens=10)
    assert play.now.phase is Phase.FAILED
    assert play.now.failure is not None
    assert play.now.failure.code == "lease_exceeded"
    assert "did not cover step 'propose'" in play.now.failure.reason
