"""The protocols of a simulated council: the core's, and one that a plugin might bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.drafts import StepDraft
from fleet_core.domain.protocols.peer_review import PeerReview
from fleet_core.domain.protocols.steps import check_unchecked, propose, taken
from fleet_core.domain.protocols.vote import Vote
from fleet_core.domain.ranking import rank
from fleet_core.domain.reducer import Strategy


class SecondThoughts:
    """Asks everybody the very same question twice: only the step tells the two requests apart."""

    def next_step(self, state: Deliberation) -> StepDraft | None:
        """Propose, propose anew, check."""
        if not taken(state, "propose"):
            return propose(state)
        if not taken(state, "revise") and not state.exhausted:
            return replace(propose(state), name="revise")
        return check_unchecked(state)


STRATEGIES: Mapping[str, Strategy] = {
    "peer-review": Strategy(PeerReview().next_step, rank),
    "vote": Strategy(Vote().next_step, rank),
    "second-thoughts": Strategy(SecondThoughts().next_step, rank),
}
