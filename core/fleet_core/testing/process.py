"""A process of the fleet over given stores: every use case, with a model that answers by hash."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from fleet_core.domain.candidates import label
from fleet_core.domain.codec import to_data
from fleet_core.domain.council import Council
from fleet_core.domain.deliberation import ProtocolSpec
from fleet_core.domain.ids import content_id
from fleet_core.domain.job import AgentJob, AgentResult, CheckRequest, Evidence, Standing
from fleet_core.domain.model_call import Completion, ModelRequest, estimate_tokens
from fleet_core.domain.plan_run import Terms
from fleet_core.domain.protocols.peer_review import PeerReview
from fleet_core.domain.protocols.vote import Vote
from fleet_core.domain.ranking import rank
from fleet_core.domain.reducer import Strategy
from fleet_core.ports.check import Check
from fleet_core.ports.clock import Clock
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.executor import ClusterStats
from fleet_core.ports.model import CallBudget, Model, ModelHealth, OnText
from fleet_core.ports.runner import Runner
from fleet_core.ports.token_stream import TokenStream, Words
from fleet_core.testing.faults import Fault, FaultyBus, FaultyState
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.deliberate import Deliberate, DeliberateSettings
from fleet_core.usecases.execute import Execute, ExecuteSettings
from fleet_core.usecases.hydrate import Hydrate
from fleet_core.usecases.perform import perform
from fleet_core.usecases.plans import Plans
from fleet_core.usecases.stores import Stores

STRATEGIES: Mapping[str, Strategy] = {
    "peer-review": Strategy(PeerReview().next_step, rank),
    "vote": Strategy(Vote().next_step, rank),
}


class HashModel(Model):
    """Answers from a hash of the request: the same request, the same answer, wherever it is put."""

    def __init__(self, delay_ms: int = 50) -> None:
        self._delay_ms = delay_ms

    async def complete(
        self,
        request: ModelRequest,
        budget: CallBudget,  # noqa: ARG002 -- the port's
        on_text: OnText | None = None,
    ) -> Completion:
        """See the port."""
        await asyncio.sleep(self._delay_ms / 1000)
        digest = content_id(to_data(request))
        properties = (request.schema or {}).get("properties", {})
        if "solution" in properties:
            said: dict[str, object] = {
                "title": f"Title {digest[:6]}",
                "rationale": "",
                "solution": f"solution {digest}",
                "affects": [],
            }
        else:
            size = len(properties["ranking"]["items"]["enum"])
            names = sorted(map(label, range(size)), key=lambda name: content_id(digest, name))
            critiques = [
                {"label": name, "strengths": f"s {digest[:6]}", "weaknesses": "w"} for name in names
            ]
            said = {"critiques": critiques, "reason": "by hash", "ranking": names}
        text = json.dumps(said)
        if on_text is not None:
            on_text(text)
        return Completion(text, "stop", 10, 10)

    async def count(self, texts: Sequence[str]) -> Sequence[int]:
        """See the port."""
        return [estimate_tokens(text) for text in texts]

    def tokenizer(self) -> str:
        """See the port."""
        return "estimate"

    async def health(self) -> ModelHealth:
        """See the port."""
        return ModelHealth(ready=True, detail="by hash")


class HashCheck(Check):
    """Passes every other text."""

    def kinds(self) -> tuple[str, ...]:
        """See the port."""
        return ("python",)

    async def run(self, request: CheckRequest, *, timeout_ms: int) -> Evidence:  # noqa: ARG002 -- port
        """See the port."""
        good = int(content_id(request.proposal)[0], 16) % 2 == 0
        return Evidence(
            request.check,
            Standing.PASSED if good else Standing.FAILED,
            "by hash",
            score=float(good),
        )

    async def available(self) -> str:
        """See the port."""
        return ""


class CountingRunner(Runner):
    """Runs jobs in this process without limit.

    Attributes:
        runs: how often each job was begun, over every process that shares the counter.
    """

    def __init__(self, model: Model, fault: Fault, clock: Clock, runs: Counter[str]) -> None:
        self._model = model
        self._fault = fault
        self._clock = clock
        self.runs = runs

    async def run(self, job: AgentJob, on_text: OnText | None = None) -> AgentResult:
        """See the port."""
        await self._fault.alive()
        self.runs[job.job_id] += 1
        models, checks = {"default": self._model}, {"python": HashCheck()}
        return await self._fault.through(
            "runner.run", lambda: perform(job, models, checks, self._clock, on_text)
        )

    async def stats(self) -> ClusterStats:
        """See the port."""
        return ClusterStats("counting", 1_000, 0, 0)


class Silence(TokenStream):
    """Nobody listens."""

    def say(self, words: Words) -> None:
        """See the port."""

    def listen(self, task: str = "*") -> AbstractAsyncContextManager[AsyncIterator[Words]]:
        """See the port; there is nothing to hear."""
        raise NotImplementedError

    def heard(self, task: str) -> bool:  # noqa: ARG002 -- the port's
        """See the port."""
        return False


@dataclass(slots=True)
class World:
    """What outlives every process.

    Attributes:
        runs: how often each job was begun.
        joins: whether processes keep documents and events in one transaction.
    """

    stores: Stores
    graph: ContextGraph
    councils: Mapping[str, Council]
    protocol: ProtocolSpec = field(default_factory=ProtocolSpec)
    terms: Terms = field(default_factory=Terms)
    model: Model = field(default_factory=HashModel)
    runs: Counter[str] = field(default_factory=Counter)
    deliberate: DeliberateSettings = field(default_factory=DeliberateSettings)
    claim_ttl_ms: int = 3_000
    joins: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """The use cases of one process."""

    plans: Plans
    deliberate: Deliberate
    execute: Execute
    hydrate: Hydrate
    runner: CountingRunner


@asynccontextmanager
async def process(world: World, name: str, fault: Fault | None = None) -> AsyncIterator[Process]:
    """A process over the world's stores, which fails as `fault` says, until it is left."""
    fault = fault or Fault()
    ours = world.stores
    bus = FaultyBus(ours.bus, fault, joins=world.joins)
    stores = Stores(bus, FaultyState(ours.state, fault), ours.blobs, ours.clock)
    runner = CountingRunner(world.model, fault, ours.clock, world.runs)
    execute = Execute(runner, stores, Silence(), ExecuteSettings(name, world.claim_ttl_ms))
    hydrate = Hydrate(world.graph, world.model, stores)
    deliberate = Deliberate(stores, execute, hydrate, STRATEGIES, world.deliberate)
    councils = Councils(stores.state, world.councils)
    plans = Plans(stores, deliberate, councils, world.protocol, world.terms)
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
        following = tasks.create_task(hydrate.follow())
        stack.callback(following.cancel)
        for use_case in (execute, deliberate, plans):
            await stack.enter_async_context(use_case.running())
        yield Process(plans, deliberate, execute, hydrate, runner)
