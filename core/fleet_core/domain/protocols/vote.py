"""`vote`: independent samples, checked and counted.

Where no check tells texts apart, the one that most samples agree on wins (self-consistency, Wang
et al. 2022, arXiv:2203.11171, on whole texts).
"""

from __future__ import annotations

from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.drafts import StepDraft
from fleet_core.domain.protocols.steps import check_unchecked, propose, taken


class Vote:
    """One step of proposals, `ProtocolSpec.samples` from each agent, then their checks."""

    def next_step(self, state: Deliberation) -> StepDraft | None:
        """Propose, check, rank."""
        if not taken(state, "propose"):
            return propose(state, state.protocol.samples)
        return check_unchecked(state)
