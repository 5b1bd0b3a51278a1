"""Protocol: how a council deliberates."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.drafts import StepDraft


class DeliberationProtocol(Protocol):
    """A pure strategy: no clock, no randomness, no state of its own."""

    @abstractmethod
    def next_step(self, state: Deliberation) -> StepDraft | None:
        """The step after those of `state`, all of which are closed; None when it is time to rank.

        It may depend on nothing but `state`, and neither on seats nor on the order in which
        results arrived. Where `state.exhausted`, only steps without model calls are issued.
        """
