"""Ranker: the order of candidates."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.ranking import Ranking


class Ranker(Protocol):
    """A pure strategy over the deliberation so far."""

    @abstractmethod
    def rank(self, state: Deliberation) -> Ranking:
        """All candidates, best first; empty where there is none.

        Neither seats nor arrival nor positions may matter, and evidence comes before opinion: a
        candidate whose check failed never stands above one whose checks passed.
        """
