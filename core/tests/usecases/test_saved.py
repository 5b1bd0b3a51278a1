"""A deliberation is saved whole, whatever parts of it were encoded before."""

from __future__ import annotations

from collections.abc import Iterator

from fleet_core.domain.deliberation import Deliberation, Phase, ProtocolSpec
from fleet_core.domain.job import AgentResult
from fleet_core.domain.protocols.peer_review import PeerReview
from fleet_core.domain.ranking import rank
from fleet_core.domain.reducer import Strategy
from fleet_core.ports.state_store import Document
from fleet_core.testing.playing import (
    Asked,
    Play,
    judge,
    proposed,
    ranked,
    seats,
    start_with,
)
from fleet_core.usecases.saved import Fragments, read

REVIEW = Strategy(PeerReview().next_step, rank)


def test_every_state_of_a_deliberation_is_read_back_as_it_was() -> None:
    fragments = Fragments()
    seen: list[Deliberation] = []

    def answer(asked: Asked) -> AgentResult:
        if asked.job.key.step in ("propose", "revise"):
            return proposed(asked, f"solution {asked.job.agent_id} {asked.job.key.step}")
        return ranked(asked, sorted(asked.shown))

    def one_by_one(results: list[AgentResult]) -> Iterator[AgentResult]:
        for result in results:
            seen.append(play.now)
            yield result

    play = Play(REVIEW).begin(start_with(seats("DEV", 3), ProtocolSpec(judge=judge())))
    play.run(answer, one_by_one)
    seen.append(play.now)
    assert play.now.phase is Phase.DECIDED
    assert len(seen) == 11
    for state in seen:
        document = Document("deliberation/x", 1, b'{"state":%s}' % fragments.dump(state))
        assert read(document).state == state
