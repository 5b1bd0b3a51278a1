"""Hydrate: context packs from the graph, decisions into it."""

from __future__ import annotations

from fleet_core.domain.codec import from_data
from fleet_core.domain.context import (
    ANCHORS,
    ContextPack,
    Neighbourhood,
    PackRequest,
    PlanRecord,
)
from fleet_core.domain.decision import Decision
from fleet_core.domain.events import COMPLETED, CONTEXT_UPDATED, PLAN_APPROVED, Event
from fleet_core.domain.evolve import evolve
from fleet_core.domain.pack import asked_of, fill, too_small
from fleet_core.domain.pack_items import (
    DecisionItems,
    Item,
    by_priority,
    earlier_items,
    own_items,
    query_of,
    words_of,
)
from fleet_core.domain.told import NO_REDACTOR, Redactor, as_recorded, told_by
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.event_bus import Subscription
from fleet_core.ports.hydrator import Hydrator
from fleet_core.ports.model import Model
from fleet_core.usecases.approvals import approved_plan
from fleet_core.usecases.consume import PATIENT, PROMPT_MS, consume
from fleet_core.usecases.payload import opened
from fleet_core.usecases.stores import Stores
from fleet_core.usecases.token_counts import TokenCounts

SUBSCRIPTION = Subscription(
    "hydrate", (PLAN_APPROVED, COMPLETED), ack_wait_ms=PROMPT_MS, max_deliver=PATIENT
)


class Hydrate(Hydrator):
    """The use case behind the port `Hydrator`, and its consumer of planning and outcomes.

    Args:
        graph: where plans and decisions are.
        model: the default binding, for its tokenizer.
        stores: the bus takes `context.updated`.
        redactor: takes secrets out of what agents are told.
    """

    def __init__(
        self,
        graph: ContextGraph,
        model: Model,
        stores: Stores,
        redactor: Redactor = NO_REDACTOR,
    ) -> None:
        self._graph = graph
        self._redactor = redactor
        self._model = model
        self._bus = stores.bus
        self._blobs = stores.blobs
        self._clock = stores.clock
        self._counts = TokenCounts(model)
        self._decisions = DecisionItems()

    async def pack(self, request: PackRequest) -> ContextPack:
        """See the port. Tokens are counted in one batch, and once more over the whole.

        A tokenizer may find the whole larger than its parts; then what is least is left out.
        """
        around = await self._around(request)
        plans = [*own_items(request), *earlier_items(around.plans)]
        decisions = self._decisions.of(around, words_of(request))
        items = by_priority(await self._clean(plans), decisions)
        sizes = await self._counts.of(asked_of(items))
        without: dict[str, str] = {}
        name = self._model.tokenizer()
        while True:
            pack = fill(request, items, around.revision, sizes, name, without=without)
            used = await self._counts.whole(pack.text)
            if used <= request.budget:
                return evolve(pack, tokens=used)
            last = next(entry for entry in reversed(pack.ledger) if entry.included)
            if last.kind in ANCHORS:
                raise too_small(request, used)
            without[last.item] = f"does not fit: with it the pack takes {used} tokens"

    async def record(self, decision: Decision) -> int:
        """See the port."""
        now = self._clock()
        (told,) = await told_by(self._redactor, [as_recorded(decision)])
        revision = await self._graph.record_decision(decision, now, told)
        data = {
            "story": decision.story,
            "plan_id": decision.plan_id,
            "task_id": decision.task_id,
            "deliberation_id": decision.deliberation_id,
            "decision_id": decision.decision_id,
            "revision": revision,
        }
        event = Event(f"context:{decision.decision_id}", CONTEXT_UPDATED, data, now)
        await self._bus.publish([event])
        return revision

    async def follow(self) -> None:
        """Record approved plans and decided deliberations as they come, until cancelled."""
        await consume(self._bus, SUBSCRIPTION, self._handle, self._clock)

    async def _around(self, request: PackRequest) -> Neighbourhood:
        """What bears on the task, as our redactor tells it."""
        around = await self._graph.neighbourhood(query_of(request, self._redactor.name))
        parts = (around.ancestors, around.affecting, around.siblings, around.timeline)
        if {told.by for part in parts for told in part} <= {self._redactor.name}:
            return around
        told = iter(await told_by(self._redactor, [one for part in parts for one in part]))
        ancestors, affecting, siblings, timeline = (tuple(next(told) for _ in p) for p in parts)
        return Neighbourhood(
            around.revision, ancestors, affecting, siblings, around.plans, timeline
        )

    async def _clean(self, items: list[Item]) -> list[Item]:
        """The items without secrets."""
        parts = [part for item in items for part in item.parts]
        found = await self._redactor.clean(parts)
        if found == parts:
            return items
        clean = iter(found)
        return [evolve(item, parts=tuple(next(clean) for _ in item.parts)) for item in items]

    async def _handle(self, event: Event) -> None:
        data = await opened(event.data, self._blobs)
        source = f"event {event.event_id}"
        if event.subject == PLAN_APPROVED:
            identity, plan = approved_plan(data, source)
            await self._graph.record_plan(PlanRecord(identity, plan, event.time_ms))
        elif data.get("decision") is not None:
            await self.record(from_data(Decision, data["decision"], source=source, at="decision"))
