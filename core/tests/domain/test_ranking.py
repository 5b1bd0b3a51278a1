"""The ladder: evidence, judge, ballots, support, content; and the standing it ends in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import pytest

from fleet_core.domain.answers import Ballot
from fleet_core.domain.candidates import Vote, label, weight
from fleet_core.domain.conclude import standing_of
from fleet_core.domain.decision import DecisionStanding
from fleet_core.domain.deliberation import Deliberation, Phase, ProtocolSpec
from fleet_core.domain.job import AgentResult, CheckRequest, Evidence, Standing
from fleet_core.domain.plan import CheckSpec
from fleet_core.domain.protocols.peer_review import PeerReview
from fleet_core.domain.protocols.vote import Vote as VoteProtocol
from fleet_core.domain.ranking import borda, rank
from fleet_core.domain.reducer import Strategy
from fleet_core.testing.playing import (
    Asked,
    Play,
    checked,
    gave_up,
    judge,
    proposed,
    ranked,
    seats,
    start_with,
)

REVIEW = Strategy(PeerReview().next_step, rank)
VOTE = Strategy(VoteProtocol().next_step, rank)
TESTS, LINT, REQUIRED = CheckSpec("tests"), CheckSpec("lint"), CheckSpec("tests", required=True)
PASSED, FAILED, NOT_RUN = Standing.PASSED, Standing.FAILED, Standing.NOT_RUN


def reviewed(
    texts: Sequence[str],
    *,
    ballots: Mapping[int, Sequence[str]] | None = None,
    verdict: Sequence[str] | None = None,
    evidence: Mapping[tuple[str, str], Standing] | None = None,
    checks: Sequence[CheckSpec] = (),
    rounds: int = 1,
) -> Deliberation:
    """A council of one text a seat, whose revisions change nothing."""

    def answer(asked: Asked) -> AgentResult:
        job = asked.job
        if isinstance(job.work, CheckRequest):
            given = (evidence or {}).get((job.work.proposal, job.work.check))
            return checked(job, given) if given is not None else gave_up(job)
        if job.key.step == "critique":
            return ranked(asked, (ballots or {}).get(job.key.agent, ()))
        if job.key.step == "judge":
            return ranked(asked, verdict or ())
        return proposed(asked, texts[job.key.agent - 1])

    spec = ProtocolSpec(rounds=rounds, judge=judge() if verdict is not None else None)
    start = start_with(seats("DEV", len(texts)), spec, checks=checks)
    return Play(REVIEW).begin(start).run(answer).now


def rule(state: Deliberation) -> tuple[str, str]:
    assert state.decision is not None, state.failure
    return state.decision.text, state.decision.rule


ALL = {1: ["b", "c"], 2: ["a", "c"], 3: ["b", "a"]}


def test_evidence_beats_judge_and_ballots() -> None:
    found = {("a", "tests"): FAILED, ("b", "tests"): FAILED, ("c", "tests"): PASSED}
    state = reviewed("abc", ballots=ALL, verdict="bac", evidence=found, checks=[TESTS])
    assert rule(state) == ("c", "evidence")
    assert state.decision is not None
    assert {d.by for d in state.decision.dissent} >= {"the judge", "the ballots", "judge"}


def test_the_judge_beats_ballots() -> None:
    assert rule(reviewed("abc", ballots=ALL, verdict="cab")) == ("c", "judge")


def test_ballots_decide_where_no_judge_sits() -> None:
    assert rule(reviewed("abc", ballots=ALL)) == ("b", "ballots")


def test_content_decides_what_nothing_else_does() -> None:
    state = reviewed("abc")
    assert rule(state)[1] == "content"


@pytest.mark.parametrize(
    ("evidence", "winner"),
    [
        # What passed the required check wins over what passed the other one.
        ({"a": (PASSED, FAILED), "b": (FAILED, PASSED)}, "a"),
        ({"a": (NOT_RUN, PASSED), "b": (PASSED, FAILED)}, "b"),
        ({"a": (NOT_RUN, PASSED), "b": (PASSED, NOT_RUN)}, "b"),
    ],
)
def test_required_checks_weigh_first(
    evidence: dict[str, tuple[Standing, Standing]], winner: str
) -> None:
    """Otherwise a task would fail though a proposal passed all that was required."""
    found = {(t, k): s for t, pair in evidence.items() for k, s in zip(("tests", "lint"), pair)}  # noqa: B905 -- pairs
    other = "b" if winner == "a" else "a"
    state = reviewed("ab", verdict=[other, winner], evidence=found, checks=[REQUIRED, LINT])
    assert rule(state) == (winner, "evidence")
    assert state.decision is not None
    assert state.decision.standing is DecisionStanding.VERIFIED


def test_all_checks_passed_beats_half_of_them() -> None:
    found = {("a", "tests"): PASSED, ("b", "tests"): PASSED, ("b", "lint"): PASSED}
    state = reviewed("ab", verdict="ab", evidence=found, checks=[TESTS, LINT])
    assert rule(state) == ("b", "evidence")


@pytest.mark.parametrize("standing", [FAILED, NOT_RUN, None])
def test_a_required_check_that_did_not_pass_fails_the_task(standing: Standing | None) -> None:
    found = {("a", "tests"): standing} if standing is not None else {}
    state = reviewed("a", evidence=found, checks=[REQUIRED])
    assert state.phase is Phase.FAILED
    assert state.failure is not None
    assert state.failure.code == "required_check"
    assert "tests" in state.failure.reason


def test_a_text_that_several_wrote_is_checked_once_and_stands_for_all() -> None:
    found = {("a", "tests"): PASSED, ("b", "tests"): PASSED}
    state = reviewed("aab", evidence=found, checks=[TESTS])
    assert sum(job.target != "" for job in state.jobs("check")) == 2
    assert rule(state) == ("a", "support")
    assert state.decision is not None
    assert state.decision.winner == "dev-1"
    (other,) = state.decision.alternatives
    assert other.agents == ("dev-3",)


def test_a_council_of_one_mind_has_nothing_to_weigh() -> None:
    state = reviewed("aaa", verdict="a")
    assert [step.name for step in state.steps] == ["propose"]
    assert rule(state) == ("a", "alone")


def test_nobody_ranks_their_own() -> None:
    def answer(asked: Asked) -> AgentResult:
        if asked.job.key.step == "critique":
            assert f"text {asked.job.key.agent}" not in asked.shown
            assert len(asked.shown) == 2
            return ranked(asked, asked.shown)
        return proposed(asked, f"text {asked.job.key.agent}")

    Play(REVIEW).begin(start_with(seats("DEV", 3), ProtocolSpec())).run(answer)


def test_the_most_agreed_on_wins_a_vote() -> None:
    texts = iter(["x", "y", "x", "z", "y", "x"])
    spec = ProtocolSpec("vote", samples=2)
    play = Play(VOTE).begin(start_with(seats("DEV", 3), spec))
    state = play.run(lambda asked: proposed(asked, next(texts))).now
    assert rule(state) == ("x", "support")


def test_a_refutation_stands_when_everything_failed() -> None:
    found = dict.fromkeys([("a", "tests"), ("b", "tests")], FAILED)
    state = reviewed("ab", evidence=found, checks=[TESTS])
    assert state.decision is not None
    assert state.decision.standing is DecisionStanding.REFUTED


def vote(ranking: str, shown: str) -> Vote:
    names = tuple(label(i) for i in range(len(shown)))
    return Vote("x", "critique", tuple(ranking), tuple(shown), Ballot(names))


AUTHORS = {text: frozenset({(n, 0)}) for n, text in enumerate("abcd", 1)}


@pytest.mark.parametrize(
    ("cast", "points"),
    [
        ([vote("abc", "abc")], {"a": 1, "b": Fraction(1, 2), "c": 0}),
        ([vote("abc", "cba")], {"a": 1, "b": Fraction(1, 2), "c": 0}),
        # Those left out share the mean of the places left.
        ([vote("a", "abc")], {"a": 1, "b": Fraction(1, 4), "c": Fraction(1, 4)}),
        ([vote("b", "abcd")], {"b": 1, **dict.fromkeys("acd", Fraction(1, 3))}),
        # A ballot of one says neither yes nor no.
        ([vote("a", "a")], {"a": Fraction(1, 2)}),
        # The mean over the ballots a text was on: own ballots, where it was not, cost nothing.
        ([vote("ab", "ab"), vote("bc", "bc")], {"a": 1, "b": Fraction(1, 2), "c": 0}),
        ([], {}),
    ],
)
def test_borda(cast: list[Vote], points: dict[str, Fraction]) -> None:
    lines = {next(iter(AUTHORS[text])): Fraction(p) for text, p in points.items()}
    assert borda(cast, AUTHORS) == lines


def evidence(*standings: Standing, kind: str = "tests", score: float = 1.0) -> list[Evidence]:
    return [Evidence(kind, standing, "", score=score) for standing in standings]


def test_weights_are_ordered() -> None:
    two = [TESTS, TESTS]
    ladder = [
        weight(evidence(PASSED, PASSED), two),
        weight(evidence(PASSED, PASSED, score=0.5), two),
        weight(evidence(PASSED), two),
        weight([], two),
        weight(evidence(FAILED, score=0.75), two),
        weight(evidence(FAILED, score=0.0), two),
    ]
    assert ladder == sorted(ladder, reverse=True)
    assert len(set(ladder)) == len(ladder)
    assert weight(evidence(NOT_RUN), two) == weight([], two)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -1.0, 7.0])
def test_a_score_that_is_none_does_not_upset_the_order(score: float) -> None:
    assert weight(evidence(PASSED, score=score), [TESTS])[2] in (0.0, 1.0)


@pytest.mark.parametrize(
    ("checks", "found", "standing"),
    [
        ([], [], DecisionStanding.UNVERIFIED),
        ([TESTS], [], DecisionStanding.UNVERIFIED),
        ([TESTS], evidence(PASSED), DecisionStanding.VERIFIED),
        ([TESTS], evidence(FAILED), DecisionStanding.REFUTED),
        ([TESTS], evidence(NOT_RUN), DecisionStanding.UNVERIFIED),
        ([TESTS, TESTS], evidence(PASSED), DecisionStanding.UNVERIFIED),
        ([TESTS, TESTS], evidence(PASSED, NOT_RUN), DecisionStanding.UNVERIFIED),
        ([TESTS, TESTS], evidence(PASSED, FAILED), DecisionStanding.REFUTED),
        ([TESTS, LINT], evidence(PASSED), DecisionStanding.UNVERIFIED),
        ([REQUIRED, LINT], evidence(PASSED), DecisionStanding.VERIFIED),
        (
            [REQUIRED, LINT],
            evidence(PASSED) + evidence(FAILED, kind="lint"),
            DecisionStanding.VERIFIED,
        ),
    ],
)
def test_what_a_decision_rests_on(
    checks: list[CheckSpec], found: list[Evidence], standing: DecisionStanding
) -> None:
    state = Play(VOTE).begin(start_with(seats("DEV", 1), ProtocolSpec("vote"), checks=checks)).now
    assert standing_of(state, found) is standing


def test_labels_go_on_after_z() -> None:
    assert [label(i) for i in (0, 25, 26, 27, 701, 702)] == ["A", "Z", "AA", "AB", "ZZ", "AAA"]
