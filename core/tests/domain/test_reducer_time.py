"""Quorum, deadlines, late answers, the lease's end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleet_core.domain.decision import DecisionStanding
from fleet_core.domain.deliberation import Phase, ProtocolSpec
from fleet_core.domain.events import ADVANCED, AMENDED, COMPLETED, DECIDED
from fleet_core.domain.inputs import Due, Extend, PackRefused, ResultArrived
from fleet_core.domain.job import AgentResult, Failure, Standing
from fleet_core.domain.lease import Lease, Slice
from fleet_core.domain.model_call import Price, Sampling, Usage
from fleet_core.domain.plan import CheckSpec
from fleet_core.domain.protocols.peer_review import PeerReview
from fleet_core.domain.protocols.vote import Vote
from fleet_core.domain.ranking import rank
from fleet_core.domain.reducer import Strategy
from fleet_core.testing.playing import (
    T0,
    Asked,
    Play,
    checked,
    folded,
    gave_up,
    judge,
    proposed,
    ranked,
    replied,
    seats,
    start_with,
)

VOTE = Strategy(Vote().next_step, rank)
REVIEW = Strategy(PeerReview().next_step, rank)
STEP = ProtocolSpec("vote", step_ms=10_000)
PYTHON = CheckSpec("python")


def text_of(asked: Asked) -> AgentResult:
    return proposed(asked, f"text {asked.job.key.agent}")


def phase_of(play: Play) -> Phase:
    return play.now.phase


def standing_of(play: Play) -> DecisionStanding | None:
    return play.now.decision.standing if play.now.decision is not None else None


def vote_of(number: int, spec: ProtocolSpec = STEP, **more: object) -> Play:
    start = start_with(seats("DEV", number), spec, **more)  # type: ignore[arg-type]  # as start_with takes them
    return Play(VOTE).begin(start)


def test_a_step_closes_at_its_deadline_when_more_than_half_have_answered() -> None:
    play = vote_of(3)
    first, second, third = play.asked()
    play.answer(first, text_of)
    assert not play.feed(Due(T0 + 10_000)).changed, "one of three is no quorum"
    play.answer(second, text_of)
    assert phase_of(play) is Phase.RUNNING, "a quorum closes nothing before the deadline"
    assert not play.feed(Due(T0 + 9_999)).changed
    play.feed(Due(T0 + 10_000))
    assert phase_of(play) is Phase.PROVISIONAL
    assert play.now.decision is not None
    assert play.now.decision.incomplete == ("dev-3",)
    assert "without 1 of 3" in play.now.notes[0]
    assert play.log[-1].subject == DECIDED
    assert play.log[-1].data["provisional"] is True
    assert third.job.job_id not in play.cancelled


def test_exactly_half_is_no_quorum() -> None:
    play = vote_of(2)
    play.answer(play.asked()[0], text_of)
    assert not play.feed(Due(T0 + 10_000)).changed


def test_a_failed_job_is_no_answer() -> None:
    play = vote_of(3)
    first, second, _ = play.asked()
    play.answer(first, text_of)
    play.answer(second, lambda a: gave_up(a.job))
    assert not play.feed(Due(T0 + 10_000)).changed


def test_a_step_without_quorum_closes_with_the_answer_that_makes_it_one() -> None:
    play = vote_of(3)
    first, second, _ = play.asked()
    play.answer(first, text_of)
    play.feed(Due(T0 + 10_000))
    play.now_ms = T0 + 20_000
    play.answer(second, text_of)
    assert play.now.phase is Phase.PROVISIONAL


def test_the_quorum_can_be_set() -> None:
    play = vote_of(4, replace(STEP, quorum=0.75))
    for asked in play.asked()[:3]:
        play.answer(asked, text_of)
    assert not play.feed(Due(T0 + 10_000)).changed


def provisional(winner_late: bool) -> Play:
    """Three votes of which one is late; checks decide, and the late text has none."""
    play = vote_of(3, replace(STEP, samples=1), checks=(PYTHON,))
    first, second, _ = play.asked()
    play.answer(first, text_of)
    play.answer(second, text_of)
    play.feed(Due(T0 + 10_000))
    standing = Standing.FAILED if winner_late else Standing.PASSED
    play.now_ms = T0 + 11_000
    for asked in [a for a in play.asked() if a.job.key.step == "check"]:
        play.answer(asked, lambda a: checked(a.job, standing))
    assert play.now.phase is Phase.PROVISIONAL
    return play


def test_a_late_answer_amends_a_provisional_decision_once() -> None:
    play = provisional(winner_late=True)
    assert standing_of(play) is DecisionStanding.REFUTED
    (late,) = play.asked()
    steps = len(play.now.steps)
    play.answer(late, text_of)
    assert play.now.phase is Phase.DECIDED
    assert play.now.amended
    assert play.now.decision is not None
    assert play.now.decision.text == "text 3"
    assert standing_of(play) is DecisionStanding.UNVERIFIED
    assert play.now.decision.incomplete == ()
    assert len(play.now.steps) == steps, "a late answer reopens no step"
    subjects = [e.subject for e in play.log]
    assert subjects.count(AMENDED) == 1
    assert subjects[-2:] == [AMENDED, COMPLETED]
    assert folded(play.log, VOTE) == play.now


def test_a_late_answer_that_changes_nothing_makes_the_decision_final() -> None:
    play = provisional(winner_late=False)
    (late,) = play.asked()
    play.answer(late, text_of)
    assert play.now.phase is Phase.DECIDED
    assert not play.now.amended
    assert [e.subject for e in play.log[-2:]] == [ADVANCED, COMPLETED]
    record = next(j for j in play.now.jobs() if j.job_id == late.job.job_id)
    assert record.ended is not None
    assert record.ended.late


def test_a_provisional_decision_is_final_at_the_deadline() -> None:
    play = provisional(winner_late=False)
    waiting = [a.job.job_id for a in play.asked()]
    play.feed(Due(play.now.lease.deadline_ms))
    assert play.now.phase is Phase.DECIDED
    assert play.cancelled == waiting
    assert play.now.decision is not None
    assert play.now.decision.incomplete == ("dev-3",)


def test_a_failed_late_job_ends_the_wait() -> None:
    play = provisional(winner_late=False)
    (late,) = play.asked()
    play.answer(late, lambda a: gave_up(a.job))
    assert play.now.phase is Phase.DECIDED


def test_the_deadline_ends_with_what_there_is() -> None:
    play = vote_of(3)
    play.answer(play.asked()[0], text_of)
    play.feed(Due(play.now.lease.deadline_ms))
    assert play.now.phase is Phase.DECIDED
    assert any("deadline came with 2 jobs unanswered" in note for note in play.now.notes)
    assert len(play.cancelled) == 2
    assert folded(play.log, VOTE) == play.now


def test_the_deadline_without_any_answer_fails_and_says_so() -> None:
    play = vote_of(2)
    play.feed(Due(play.now.lease.deadline_ms))
    assert play.now.phase is Phase.FAILED
    assert play.now.failure is not None
    assert "2 jobs had not answered" in play.now.failure.reason


def test_the_deadline_before_the_pack_fails() -> None:
    play = Play(VOTE)
    start = start_with(seats("DEV", 1), STEP)
    play.feed(start)
    play.feed(Due(start.lease.deadline_ms))
    assert play.now.phase is Phase.FAILED
    assert play.now.failure == Failure("deadline", "the deadline came before the context pack")


def test_a_refused_pack_fails_with_its_reason() -> None:
    play = Play(VOTE)
    play.feed(start_with(seats("DEV", 1), STEP))
    play.feed(PackRefused(T0, Failure("input", "the anchors take 900 tokens, the budget is 800")))
    assert play.now.phase is Phase.FAILED
    assert play.now.failure is not None
    assert "900" in play.now.failure.reason
    assert play.log[-1].subject == COMPLETED


def test_an_exhausted_lease_ends_with_what_it_has_and_says_so() -> None:
    start = start_with(seats("DEV", 3), ProtocolSpec(judge=judge()), checks=(PYTHON,), tokens=2_000)
    play = Play(REVIEW).begin(start)

    def answer(asked: Asked) -> AgentResult:
        if asked.job.key.step == "check":
            good = asked.job.key.agent == 2
            return checked(asked.job, Standing.PASSED if good else Standing.FAILED)
        return proposed(asked, f"text {asked.job.key.agent}")

    spent = play.run(answer).now
    assert spent.exhausted
    assert spent.phase is Phase.DECIDED
    assert {s.name for s in spent.steps} == {"propose", "check"}, "checks cost no tokens"
    assert spent.decision is not None
    assert spent.decision.winner == "dev-2"
    (note,) = [n for n in spent.notes if "lease" in n]
    assert "critique" in note
    assert "free" in note


def test_a_lease_that_covers_nothing_fails_and_makes_no_call() -> None:
    play = Play(REVIEW).begin(start_with(seats("DEV", 3), ProtocolSpec(), tokens=100))
    assert play.now.phase is Phase.FAILED
    assert not play.jobs
    assert play.now.exhausted


@pytest.mark.parametrize(("times", "spare"), [(4, True), (3, False), (2, False)])
@pytest.mark.parametrize("limited", ["tokens", "micro_usd"])
def test_calls_get_room_to_be_repeated_where_the_lease_has_it_for_the_whole_step(
    limited: str, times: int, *, spare: bool
) -> None:
    council = seats("DEV", 2)
    priced = tuple(
        replace(agent, binding=replace(agent.binding, price=Price(10**6, 10**6)))
        for agent in council.agents
    )
    start = start_with(replace(council, agents=priced), STEP)
    (once,) = {
        job.slice.prompt_tokens + job.slice.answer_tokens
        for job in Play(VOTE).begin(start).jobs.values()
    }
    play = Play(VOTE).begin(
        replace(start, lease=replace(start.lease, **{limited: times * once}))  # a token costs 1
    )
    assert [job.slice.spare_tokens for job in play.jobs.values()] == [once * spare] * 2
    assert {job.slice.micro_usd for job in play.jobs.values()} == {once * (1 + spare)}
    ended = play.run(text_of).now
    assert ended.phase is Phase.DECIDED
    assert (ended.lease.reserved_tokens, ended.lease.reserved_micro_usd) == (0, 0)


def test_extending_adds_to_what_is_limited_only() -> None:
    play = vote_of(2)
    before = play.now.lease
    play.feed(Extend(T0, tokens=5, micro_usd=7, deadline_ms=before.deadline_ms + 9))
    assert play.now.lease == replace(
        before, tokens=before.tokens + 5, deadline_ms=before.deadline_ms + 9
    )
    assert not play.feed(Extend(T0, tokens=-5, micro_usd=-7, deadline_ms=1)).changed


def test_money_is_a_limit_of_its_own() -> None:
    lease = Lease(10**6, T0, micro_usd=10)
    part = Slice(micro_usd=6)
    assert lease.covers((part,))
    assert not lease.covers((part, part))
    once = lease.reserve(part)
    with pytest.raises(ValueError, match="a slice"):
        once.reserve(part)
    assert once.settle(part, Usage(micro_usd=2)).free_micro_usd == 8


def test_what_a_server_bills_beyond_the_slice_is_shown() -> None:
    play = vote_of(1)
    (asked,) = play.asked()
    size = asked.job.slice.tokens
    over = replace(proposed(asked, "x"), usage=Usage(size, 11, 0, 1))
    play.feed(ResultArrived(T0, over))
    assert play.now.lease.overrun_tokens == 11


def test_the_longest_answer_is_reserved_with_the_prompt() -> None:
    council = seats("DEV", 1)
    agent = replace(council.agents[0], sampling=Sampling(max_tokens=77))
    play = Play(VOTE).begin(start_with(replace(council, agents=(agent,)), STEP))
    (asked,) = play.asked()
    assert asked.job.slice.answer_tokens == 77
    assert play.now.lease.reserved_tokens == asked.job.slice.tokens > 77


def test_an_answer_after_the_last_step_does_not_count_twice() -> None:
    play = Play(REVIEW).begin(start_with(seats("DEV", 2), ProtocolSpec(rounds=1)))

    def answer(asked: Asked) -> AgentResult:
        if asked.shown:
            return ranked(asked, asked.shown)
        return replied(asked.job, "not JSON") if asked.own else text_of(asked)

    state = play.run(answer).now
    assert state.phase is Phase.DECIDED
    assert state.decision is not None
    assert state.decision.text in ("text 1", "text 2"), "an unreadable revision leaves what stood"
