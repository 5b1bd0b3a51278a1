"""The reducer under any order, repetition and loss of results, and any seating."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_core.domain.commands import Publish, SubmitJobs
from fleet_core.domain.deliberation import FINAL, Deliberation, Phase, ProtocolSpec
from fleet_core.domain.events import COMPLETED
from fleet_core.domain.ids import text_hash
from fleet_core.domain.inputs import Cancel, Due, Extend, Input, PackReady, ResultArrived
from fleet_core.domain.job import AgentResult, Standing
from fleet_core.domain.plan import CheckSpec
from fleet_core.domain.protocols.peer_review import PeerReview
from fleet_core.domain.protocols.vote import Vote
from fleet_core.domain.ranking import rank
from fleet_core.domain.reducer import Strategy
from fleet_core.testing.playing import (
    Answer,
    Arrange,
    Asked,
    Play,
    checked,
    folded,
    gave_up,
    judge,
    pack_of,
    proposed,
    ranked,
    seats,
    start_with,
    timeless,
)

STRATEGIES = {
    "peer-review": Strategy(PeerReview().next_step, rank),
    "vote": Strategy(Vote().next_step, rank),
}
REVIEW = ProtocolSpec(judge=judge(), rounds=1)
TESTS = CheckSpec("python")


def answers(seed: int, *, share_failed: float = 0.0, twins: bool = False) -> Answer:
    """Answers that depend on nothing but the request's place and the seed."""

    def answer(asked: Asked) -> AgentResult:
        job = asked.job
        luck = random.Random(f"{seed}:{job.key}:{job.agent_id}")
        if luck.random() < share_failed:
            return gave_up(job)
        if job.key.step == "check":
            return checked(job, luck.choice(list(Standing)), luck.choice([0.0, 0.25, 1.0]))
        if job.key.step in ("propose", "revise"):
            who = luck.randrange(2) if twins else job.key.agent
            return proposed(asked, f"text {seed} {job.key.step} {who} {job.key.sample}")
        shown = list(asked.shown)
        luck.shuffle(shown)
        return ranked(asked, shown[: luck.randint(1, len(shown))])

    return answer


def shuffled(seed: int, *, repeats: bool = True) -> Arrange:
    """Any order; some results twice, some lost at first and delivered again at the end."""

    def arrange(results: list[AgentResult]) -> Iterable[AgentResult]:
        luck = random.Random(seed)
        queue = list(results)
        luck.shuffle(queue)
        if repeats:
            queue += [luck.choice(results) for _ in range(luck.randrange(3)) if results]
            lost = queue.pop(0) if queue else None
            queue += [lost] if lost is not None else []
        return queue

    return arrange


def played(seed: int, arrange: Arrange = list) -> Play:
    shape = random.Random(seed)
    name = shape.choice(["peer-review", "vote"])
    protocol = ProtocolSpec(
        name,
        rounds=shape.choice([0, 1, 2]),
        samples=shape.choice([1, 2]),
        judge=shape.choice([None, judge()]),
    )
    checks = shape.choice([(), (TESTS,), (TESTS, CheckSpec("lint", required=True))])
    start = start_with(
        seats("DEV", shape.choice([1, 2, 3, 4])),
        protocol,
        checks=checks,
        tokens=shape.choice([300, 2_000, 6_000, 1_000_000]),
    )
    answer = answers(seed, share_failed=shape.choice([0.0, 0.3, 1.0]), twins=shape.random() < 0.3)
    return Play(STRATEGIES[name]).begin(start).run(answer, arrange)


SEEDS = st.integers(0, 10**6)


@given(SEEDS, SEEDS)
def test_order_and_repetition_of_results_do_not_matter(seed: int, order: int) -> None:
    straight, mixed = played(seed), played(seed, shuffled(order))
    assert timeless(mixed.now) == timeless(straight.now)
    assert mixed.jobs == straight.jobs
    assert mixed.now.phase in FINAL


@given(SEEDS, SEEDS)
def test_the_lease_is_never_overspent_and_every_slice_comes_back_once(
    seed: int, order: int
) -> None:
    """Counted from the log, not from the lease: reserved and spent are what the jobs say."""
    strategy = played(seed).strategy
    play = played(seed, shuffled(order))
    log = sorted((e for e in play.log if e.subject != COMPLETED), key=lambda e: e.sequence)
    for event in log:
        state = folded([e for e in log if e.sequence <= event.sequence], strategy)
        assert state is not None
        lease = state.lease
        assert lease.reserved_tokens + lease.spent_tokens <= lease.tokens
        assert lease.reserved_tokens == sum(j.slice.tokens for j in state.outstanding)
        ended = [j.ended for j in state.jobs() if j.ended is not None]
        assert lease.spent_tokens == sum(e.usage.tokens for e in ended)
    assert play.now.lease.overrun_tokens == 0
    assert play.now.lease.reserved_tokens == 0
    assert not play.now.outstanding


@given(SEEDS, SEEDS)
def test_the_event_log_folds_to_the_state(seed: int, order: int) -> None:
    play = played(seed, shuffled(order))
    log = list(play.log)
    random.Random(order).shuffle(log)
    assert folded(log, play.strategy) == play.now


@given(SEEDS, SEEDS)
def test_completed_comes_once_and_last_and_each_event_has_its_own_id(seed: int, order: int) -> None:
    log = played(seed, shuffled(order)).log
    assert [e.subject for e in log].count(COMPLETED) == 1
    assert log[-1].subject == COMPLETED
    assert len({e.event_id for e in log}) == len(log)
    assert [e.sequence for e in log[:-1]] == list(range(1, len(log)))
    assert log[-1].sequence == log[-2].sequence


@given(SEEDS)
def test_nothing_changes_after_the_end(seed: int) -> None:
    play = played(seed)
    end = play.now
    late: list[Input] = [
        Cancel(play.now_ms, "too late"),
        Due(end.lease.deadline_ms + 1),
        Extend(play.now_ms, tokens=10**6),
        PackReady(play.now_ms, end.pack) if end.pack is not None else Due(0),
    ]
    late += [ResultArrived(play.now_ms, gave_up(job)) for job in play.jobs.values()]
    for given_ in late:
        reduction = play.feed(given_)
        assert reduction.state is end
        assert not reduction.changed
        assert reduction.commands == ()


@given(st.integers(2, 5), SEEDS, st.randoms(use_true_random=False), st.booleans())
def test_seats_do_not_matter(number: int, seed: int, luck: random.Random, checked_: bool) -> None:
    """Who sits where changes neither the winning text nor the rule that found it."""
    mixed = list(range(1, number + 1))
    luck.shuffle(mixed)
    there = _seated(seed, list(range(1, number + 1)), checked_=checked_)
    here = _seated(seed, mixed, checked_=checked_)
    assert there.decision is not None
    assert here.decision is not None
    assert here.decision.text == there.decision.text
    assert here.decision.rule == there.decision.rule
    assert here.decision.standing == there.decision.standing
    assert [a.text_hash for a in here.decision.alternatives] == [
        a.text_hash for a in there.decision.alternatives
    ]


def _seated(seed: int, minds: list[int], *, checked_: bool) -> Deliberation:
    """A council in which seat n thinks as mind `minds[n - 1]`: its texts, its ballots."""

    def answer(asked: Asked) -> AgentResult:
        job = asked.job
        if job.key.step == "check":
            luck = random.Random(f"{seed}:{job.work.proposal}")  # type: ignore[union-attr]  # a check's work
            return checked(job, luck.choice(list(Standing)))
        mind = minds[job.key.agent - 1] if job.key.agent else 0
        if job.key.step in ("propose", "revise"):
            return proposed(asked, f"{seed} {job.key.step} {mind}")
        shown = sorted(asked.shown)
        random.Random(f"{seed}:{mind}:{job.key.step}").shuffle(shown)
        return ranked(asked, shown)

    checks = (TESTS,) if checked_ else ()
    start = start_with(seats("DEV", len(minds)), REVIEW, checks=checks)
    return Play(STRATEGIES["peer-review"]).begin(start).run(answer).now


@given(SEEDS)
def test_a_text_that_fails_its_checks_never_beats_one_that_passes(seed: int) -> None:
    play = played(seed)
    decision = play.now.decision
    if decision is None:
        return
    passed: dict[str, int] = {}
    for job in play.now.jobs("check"):
        if job.ended and job.ended.evidence and job.ended.evidence.standing is Standing.PASSED:
            passed[job.target] = passed.get(job.target, 0) + 1
    wanted = len(play.now.task.checks)
    if wanted and any(count == wanted for count in passed.values()):
        assert [e.standing for e in decision.evidence] == [Standing.PASSED] * wanted


@given(SEEDS, st.integers(0, 40))
def test_a_cancelled_deliberation_stops_what_is_under_way(seed: int, after: int) -> None:
    whole = played(seed)
    start = start_with(seats("DEV", 3), REVIEW)
    play = Play(STRATEGIES["peer-review"]).begin(start)
    answer = answers(seed)
    for _ in range(after):
        asked = play.asked()
        if not asked or play.now.phase in FINAL:
            break
        play.answer(asked[0], answer)
    if play.now.phase in FINAL:
        return
    waiting = [a.job.job_id for a in play.asked()]
    play.feed(Cancel(play.now_ms, "changed my mind"))
    assert play.now.phase is Phase.CANCELLED
    assert play.cancelled == waiting
    assert play.now.failure is not None
    assert "changed my mind" in play.now.failure.reason
    assert play.log[-1].subject == COMPLETED
    assert folded(play.log, play.strategy) == play.now
    assert whole.now.phase in FINAL


def test_equal_inputs_give_equal_jobs_on_every_machine() -> None:
    first, second = played(7), played(7)
    assert list(first.jobs) == list(second.jobs)
    assert [e.event_id for e in first.log] == [e.event_id for e in second.log]


def test_an_empty_step_of_a_protocol_does_not_wait_for_nobody() -> None:
    start = start_with(seats("DEV", 2), ProtocolSpec("vote", samples=0))
    play = Play(STRATEGIES["vote"]).begin(start)
    assert play.now.phase is Phase.FAILED
    assert play.now.failure is not None
    assert play.now.failure.code == "no_proposal"


@pytest.mark.parametrize("given_", [Due(1), Cancel(1, "x"), Extend(1, tokens=1)])
def test_nothing_but_a_start_begins(given_: Input) -> None:
    with pytest.raises(ValueError, match="before Start"):
        Play(STRATEGIES["vote"]).feed(given_)


def test_a_second_start_and_a_second_pack_change_nothing() -> None:
    start = start_with(seats("DEV", 2), REVIEW)
    play = Play(STRATEGIES["peer-review"]).begin(start)
    state = play.now
    assert not play.feed(replace(start, now_ms=start.now_ms + 5)).changed
    assert not play.feed(PackReady(play.now_ms, pack_of(start))).changed
    assert play.now is state


def test_commands_name_each_job_once() -> None:
    submitted: list[str] = []
    start = start_with(seats("DEV", 3), REVIEW, checks=(TESTS,))
    play = Play(STRATEGIES["peer-review"]).begin(start)
    answer = answers(3)
    submitted += list(play.jobs)
    while play.now.phase not in FINAL:
        for asked in play.asked():
            reduction = play.answer(asked, answer)
            assert reduction is not None
            for command in reduction.commands:
                if isinstance(command, SubmitJobs):
                    submitted += [job.job_id for job in command.jobs]
            assert any(isinstance(c, Publish) for c in reduction.commands)
    assert len(submitted) == len(set(submitted)) == len(list(play.now.jobs()))
    assert all(len(job_id) == 32 for job_id in submitted)
    assert text_hash("") != text_hash(" ")
