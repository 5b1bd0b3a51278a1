"""Hydrate: context packs from the graph, decisions into it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from fleet_core.domain.codec import from_data
from fleet_core.domain.context import ANCHORS, ContextPack, PackRequest, PlanRecord
from fleet_core.domain.decision import Decision
from fleet_core.domain.events import COMPLETED, CONTEXT_UPDATED, PLAN_APPROVED, Event
from fleet_core.domain.evolve import evolve
from fleet_core.domain.ids import text_hash
from fleet_core.domain.pack import Item, considered, fill, query_of, texts_of, too_small
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.event_bus import Subscription
from fleet_core.ports.hydrator import Hydrator
from fleet_core.ports.model import Model
from fleet_core.usecases.approvals import approved_plan
from fleet_core.usecases.consume import PATIENT, PROMPT_MS, consume
from fleet_core.usecases.payload import opened
from fleet_core.usecases.stores import Stores

_CACHED_COUNTS = 20_000
SUBSCRIPTION = Subscription(
    "hydrate", (PLAN_APPROVED, COMPLETED), ack_wait_ms=PROMPT_MS, max_deliver=PATIENT
)


class Hydrate(Hydrator):
    """The use case behind the port `Hydrator`, and its consumer of planning and outcomes.

    Args:
        graph: where plans and decisions are.
        model: the default binding, for its tokenizer.
        stores: the bus takes `context.updated`.
        redact: takes secrets out of what agents are told; the same text gives the same.
    """

    def __init__(
        self,
        graph: ContextGraph,
        model: Model,
        stores: Stores,
        redact: Callable[[Sequence[str]], Awaitable[Sequence[str]]] | None = None,
    ) -> None:
        self._graph = graph
        self._redact = redact
        self._model = model
        self._bus = stores.bus
        self._blobs = stores.blobs
        self._clock = stores.clock
        self._counts: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def pack(self, request: PackRequest) -> ContextPack:
        """See the port. Tokens are counted in one batch, and once more over the whole.

        A tokenizer may find the whole larger than its parts; then what is least is left out.
        """
        around = await self._graph.neighbourhood(query_of(request))
        items = await self._clean(considered(request, around))
        sizes = await self._sizes(texts_of(items))
        without: dict[str, str] = {}
        name = self._model.tokenizer()
        while True:
            pack = fill(request, items, around.revision, sizes, name, without=without)
            sizes |= await self._sizes([pack.text])
            used = sizes[pack.text]
            if used <= request.budget:
                return replace(pack, tokens=used)
            last = next(entry for entry in reversed(pack.ledger) if entry.included)
            if last.kind in ANCHORS:
                raise too_small(request, used)
            without[last.item] = f"does not fit: with it the pack takes {used} tokens"

    async def record(self, decision: Decision) -> int:
        """See the port."""
        now = self._clock()
        revision = await self._graph.record_decision(decision, now)
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

    async def _clean(self, items: list[Item]) -> list[Item]:
        """The items without secrets."""
        if self._redact is None:
            return items
        clean = iter(await self._redact([text for item in items for text in item.texts]))
        return [evolve(item, texts=tuple(next(clean) for _ in item.texts)) for item in items]

    async def _handle(self, event: Event) -> None:
        data = await opened(event.data, self._blobs)
        source = f"event {event.event_id}"
        if event.subject == PLAN_APPROVED:
            identity, plan = approved_plan(data, source)
            await self._graph.record_plan(PlanRecord(identity, plan, event.time_ms))
        elif data.get("decision") is not None:
            await self.record(from_data(Decision, data["decision"], source=source, at="decision"))

    async def _sizes(self, texts: Sequence[str]) -> dict[str, int]:
        """Tokens by text; asks the model only for those it has not counted lately."""
        name = self._model.tokenizer()
        known = {t: self._counts.get((name, text_hash(t))) for t in texts if t}
        missing = [text for text, size in known.items() if size is None]
        if missing:
            counted = await self._model.count(missing)
            for text, size in zip(missing, counted, strict=True):
                known[text] = self._counts[name, text_hash(text)] = size
            while len(self._counts) > _CACHED_COUNTS:
                self._counts.popitem(last=False)
        return {"": 0} | {text: size for text, size in known.items() if size is not None}
