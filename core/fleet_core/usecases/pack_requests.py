"""From a deliberation to the request for its context pack."""

from __future__ import annotations

from collections import OrderedDict

from fleet_core.domain.context import PackRequest
from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.plan import DEFAULT_PHASE
from fleet_core.domain.plan_run import PlanRun
from fleet_core.errors import NotFound
from fleet_core.ports.state_store import StateStore
from fleet_core.usecases import keys
from fleet_core.usecases.documents import load_object

_KEPT = 256


class PackRequests:
    """Builds requests from the saved plan; the last 256 plans stay parsed."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._runs: OrderedDict[tuple[str, int], PlanRun] = OrderedDict()

    async def of(self, state: Deliberation) -> PackRequest:
        """The request for a deliberation's pack; NotFound where its plan is not kept."""
        run = await self._run(state)
        return PackRequest(
            state.plan_id,
            run.plan,
            state.task.task_id,
            state.task.role,
            run.approved_ms,
            run.terms.pack_tokens,
            state.task.phase or DEFAULT_PHASE,
        )

    def know(self, run: PlanRun) -> None:
        """Keep a run that was saved; what a request takes of it stays within an attempt."""
        self._runs[run.plan_id, run.attempt] = run
        if len(self._runs) > _KEPT:
            self._runs.popitem(last=False)

    async def _run(self, state: Deliberation) -> PlanRun:
        run = self._runs.get((state.plan_id, state.attempt))
        if run is None:
            (document,) = await self._state.get([keys.plan(state.plan_id)])
            if document is None:
                raise NotFound(f"there is no plan {state.plan_id}")
            run = load_object(PlanRun, document)
            self.know(run)
        return run
