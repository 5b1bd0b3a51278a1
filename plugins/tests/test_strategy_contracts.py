"""The built-in protocols and the built-in ranking, by the suites that strangers run."""

from __future__ import annotations

import pytest

from fleet_core.domain.deliberation import Deliberation, ProtocolSpec
from fleet_core.domain.protocols.peer_review import PeerReview
from fleet_core.domain.protocols.vote import Vote
from fleet_core.domain.ranking import Ranking, rank
from fleet_core.ports.protocol import DeliberationProtocol
from fleet_core.ports.ranker import Ranker
from fleet_core.testing.playing import judge
from fleet_plugins.contracts.protocol import ProtocolContract
from fleet_plugins.contracts.ranker import RankerContract


class TestVote(ProtocolContract):
    @pytest.fixture
    def protocol(self) -> DeliberationProtocol:
        return Vote()

    @pytest.fixture
    def spec(self) -> ProtocolSpec:
        return ProtocolSpec("vote", samples=2)


class TestPeerReview(ProtocolContract):
    @pytest.fixture(params=[0, 1, 2])
    def spec(self, request: pytest.FixtureRequest) -> ProtocolSpec:
        return ProtocolSpec(rounds=request.param, judge=judge())

    @pytest.fixture
    def protocol(self) -> DeliberationProtocol:
        return PeerReview()


class TestRanking(RankerContract):
    @pytest.fixture
    def ranker(self) -> Ranker:
        class BuiltIn(Ranker):
            def rank(self, state: Deliberation) -> Ranking:
                return rank(state)

        return BuiltIn()
