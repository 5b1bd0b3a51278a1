"""What every DeliberationProtocol must do.

Subclass `ProtocolContract` in your adapter's tests and give it a fixture `protocol`; give it a
fixture `spec` too where your protocol needs settings. The council is played by
`fleet_core.testing.playing`: no model is called.
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import permutations

import pytest

from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.deliberation import FINAL, Deliberation, ProtocolSpec
from fleet_core.domain.drafts import StepDraft
from fleet_core.domain.job import AgentResult, CheckRequest, ModelCall, Standing
from fleet_core.domain.plan import CheckSpec
from fleet_core.domain.ranking import rank
from fleet_core.domain.reducer import Strategy
from fleet_core.ports.protocol import DeliberationProtocol
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
    timeless,
)

MINDS = 3
_MOST_STEPS = 100


def thinking(minds: tuple[int, ...], failing: int = 0) -> Answer:
    """Answers of a council in which seat n thinks as mind `minds[n - 1]`; one mind may fail."""

    def answer(asked: Asked) -> AgentResult:
        job = asked.job
        if isinstance(job.work, CheckRequest):
            luck = random.Random(job.work.proposal)
            return checked(job, luck.choice([Standing.PASSED, Standing.FAILED]))
        mind = minds[job.key.agent - 1] if job.key.agent else 0
        if failing and mind == failing:
            return gave_up(job)
        if asked.shown:
            order = sorted(asked.shown)
            random.Random(mind).shuffle(order)
            return ranked(asked, order)
        return proposed(asked, f"{len(asked.own)} of mind {mind}, sample {job.key.sample}")

    return answer


class ProtocolContract:
    """Pure, sure to end, and blind to seats, to arrival and to who failed where."""

    @pytest.fixture
    def protocol(self) -> DeliberationProtocol:
        """The protocol under test."""
        raise NotImplementedError("give your subclass a fixture `protocol`")

    @pytest.fixture
    def spec(self) -> ProtocolSpec:
        """The spec it is played with."""
        return ProtocolSpec(judge=judge())

    @pytest.mark.parametrize("failing", range(MINDS + 1))
    def test_it_comes_to_an_end(
        self, protocol: DeliberationProtocol, spec: ProtocolSpec, failing: int
    ) -> None:
        """Whoever fails."""
        state = _played(protocol, spec, failing=failing)
        assert state.phase in FINAL
        assert len(state.steps) < _MOST_STEPS
        assert state.decision is not None

    def test_the_same_state_gives_the_same_step(
        self, protocol: DeliberationProtocol, spec: ProtocolSpec
    ) -> None:
        """Asked again, and of a copy that was stored and read."""
        for state in _closed(protocol, spec):
            step = protocol.next_step(state)
            copy = from_data(Deliberation, to_data(state))
            assert protocol.next_step(state) == step
            assert protocol.next_step(copy) == step

    def test_seats_do_not_matter(self, protocol: DeliberationProtocol, spec: ProtocolSpec) -> None:
        """The same minds in other seats decide on the same text by the same rule."""
        found = set()
        for minds in permutations(range(1, MINDS + 1)):
            decision = _played(protocol, spec, minds=minds).decision
            assert decision is not None
            found.add((decision.text, decision.rule))
        assert len(found) == 1

    def test_arrival_does_not_matter(
        self, protocol: DeliberationProtocol, spec: ProtocolSpec
    ) -> None:
        """Results of a step in any order, some of them twice."""

        def mixed(results: list[AgentResult]) -> list[AgentResult]:
            return [*reversed(results), *results[:1]]

        straight = _play(protocol, spec).run(_answer(), list).now
        assert timeless(_play(protocol, spec).run(_answer(), mixed).now) == timeless(straight)

    def test_jobs_of_a_step_have_places_of_their_own(
        self, protocol: DeliberationProtocol, spec: ProtocolSpec
    ) -> None:
        """Two jobs in one place would be one job."""
        keys = [job.key for job in _played(protocol, spec).jobs()]
        assert len(keys) == len(set(keys))

    def test_authors_are_hidden(self, protocol: DeliberationProtocol, spec: ProtocolSpec) -> None:
        """No prompt names an agent."""
        play = _play(protocol, spec).run(_answer())
        names = [agent.agent_id for agent in play.now.council.agents]
        for job in play.jobs.values():
            if isinstance(job.work, ModelCall):
                said = "\n".join(message.text for message in job.work.request.messages)
                assert not [name for name in names if name in said]

    def test_an_exhausted_lease_takes_checks_only(
        self, protocol: DeliberationProtocol, spec: ProtocolSpec
    ) -> None:
        """They cost no tokens; anything else would be refused."""
        for state in _closed(protocol, spec):
            step = protocol.next_step(replace(state, exhausted=True))
            if state.steps and step is not None:
                assert not [job for job in step.jobs if isinstance(job.work, ModelCall)]


def _answer() -> Answer:
    return thinking(tuple(range(1, MINDS + 1)))


def _strategy(protocol: DeliberationProtocol) -> Strategy:
    return Strategy(protocol.next_step, rank)


def _play(protocol: DeliberationProtocol, spec: ProtocolSpec) -> Play:
    start = start_with(seats("DEV", MINDS), spec, checks=(CheckSpec("python"),))
    return Play(_strategy(protocol)).begin(start)


def _played(
    protocol: DeliberationProtocol,
    spec: ProtocolSpec,
    minds: tuple[int, ...] = (1, 2, 3),
    failing: int = 0,
) -> Deliberation:
    return _play(protocol, spec).run(thinking(minds, failing)).now


def _closed(protocol: DeliberationProtocol, spec: ProtocolSpec) -> list[Deliberation]:
    """The states in which the protocol is asked for a step."""
    asked: list[Deliberation] = []

    def next_step(state: Deliberation) -> StepDraft | None:
        asked.append(state)
        return protocol.next_step(state)

    start = start_with(seats("DEV", MINDS), spec, checks=(CheckSpec("python"),))
    play = Play(Strategy(next_step, rank)).begin(start)
    answer = _answer()
    while play.now.phase not in FINAL:
        for one in play.asked():
            play.answer(one, answer)
    return asked
