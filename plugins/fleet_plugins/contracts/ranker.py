"""What every Ranker must do.

Subclass `RankerContract` in your adapter's tests and give it a fixture `ranker`. The deliberations
it is shown are played by `fleet_core.testing.playing` with the built-in protocols.
"""

from __future__ import annotations

import random
from itertools import permutations

import pytest

from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.deliberation import Deliberation, ProtocolSpec
from fleet_core.domain.job import AgentResult, CheckRequest, Standing
from fleet_core.domain.plan import CheckSpec
from fleet_core.domain.protocols.peer_review import PeerReview
from fleet_core.domain.ranking import rank
from fleet_core.domain.reducer import Strategy
from fleet_core.ports.ranker import Ranker
from fleet_core.testing.playing import (
    Answer,
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

_MINDS = 4


class RankerContract:
    """Pure, total, blind to seats, to arrival and to position; evidence before opinion."""

    @pytest.fixture
    def ranker(self) -> Ranker:
        """The ranker under test."""
        raise NotImplementedError("give your subclass a fixture `ranker`")

    @pytest.mark.parametrize("seed", range(5))
    def test_every_candidate_is_ranked_once(self, ranker: Ranker, seed: int) -> None:
        """None is left out, none appears twice."""
        state = _played(seed)
        built_in = [r.candidate.digest for r in rank(state).order]
        assert sorted(r.candidate.digest for r in ranker.rank(state).order) == sorted(built_in)

    @pytest.mark.parametrize("seed", range(5))
    def test_the_same_state_gives_the_same_ranking(self, ranker: Ranker, seed: int) -> None:
        """Asked again, and of a copy that was stored and read."""
        state = _played(seed)
        once = ranker.rank(state)
        assert ranker.rank(state) == once
        assert ranker.rank(from_data(Deliberation, to_data(state))) == once

    @pytest.mark.parametrize("seed", range(5))
    def test_seats_do_not_matter(self, ranker: Ranker, seed: int) -> None:
        """The same minds in other seats: the same texts in the same order, by the same rule."""
        found = set()
        for minds in permutations(range(1, _MINDS + 1)):
            ranking = ranker.rank(_played(seed, minds))
            found.add((tuple(r.candidate.digest for r in ranking.order), ranking.rule))
        assert len(found) == 1

    @pytest.mark.parametrize("seed", range(5))
    def test_arrival_does_not_matter(self, ranker: Ranker, seed: int) -> None:
        """Results in the reverse order."""
        straight = ranker.rank(_played(seed))
        assert ranker.rank(_played(seed, reverse=True)) == straight

    @pytest.mark.parametrize("seed", range(20))
    def test_evidence_comes_before_opinion(self, ranker: Ranker, seed: int) -> None:
        """No candidate whose check failed stands above one whose checks passed."""
        state = _played(seed)
        standings = [[e.standing for e in r.candidate.evidence] for r in ranker.rank(state).order]
        passed = [i for i, s in enumerate(standings) if s and set(s) == {Standing.PASSED}]
        failed = [i for i, s in enumerate(standings) if Standing.FAILED in s]
        assert not passed or not failed or max(passed) < min(failed)

    def test_where_nothing_stands_nothing_is_ranked(self, ranker: Ranker) -> None:
        """No proposal, no candidate, no winner."""
        start = start_with(seats("DEV", 2), ProtocolSpec())
        play = Play(_STRATEGY).begin(start).run(lambda asked: gave_up(asked.job))
        assert ranker.rank(play.now).order == ()


_STRATEGY = Strategy(PeerReview().next_step, rank)


def _played(
    seed: int, minds: tuple[int, ...] = (1, 2, 3, 4), *, reverse: bool = False
) -> Deliberation:
    start = start_with(seats("DEV", _MINDS), ProtocolSpec(judge=judge()), checks=_CHECKS)
    arrange = reversed if reverse else list
    return Play(_STRATEGY).begin(start).run(_thinking(seed, minds), arrange).now


_CHECKS = (CheckSpec("python"),)


def _thinking(seed: int, minds: tuple[int, ...]) -> Answer:
    def answer(asked: Asked) -> AgentResult:
        job = asked.job
        if isinstance(job.work, CheckRequest):
            luck = random.Random(f"{seed} {job.work.proposal}")
            return checked(job, luck.choice(list(Standing)))
        mind = minds[job.key.agent - 1] if job.key.agent else 0
        if asked.shown:
            order = sorted(asked.shown)
            random.Random(f"{seed} {mind}").shuffle(order)
            return ranked(asked, order)
        return proposed(asked, f"{seed}: {len(asked.own)} of mind {mind}")

    return answer
