"""Runner, model and check of an executor: what they answer, and how they fail, is drawn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from fleet_core.domain.candidates import label
from fleet_core.domain.job import AgentJob, AgentResult, CheckRequest, Evidence, Standing
from fleet_core.domain.model_call import Completion, ModelRequest, estimate_tokens
from fleet_core.errors import (
    CheckRefused,
    EmptyAnswer,
    MalformedAnswer,
    ModelError,
    ModelUnavailable,
    Unavailable,
)
from fleet_core.ports.check import Check
from fleet_core.ports.clock import Clock
from fleet_core.ports.executor import ClusterStats
from fleet_core.ports.model import CallBudget, Model, ModelHealth, OnText
from fleet_core.ports.runner import Runner
from fleet_core.usecases.perform import perform
from fleet_features.sim.adversary import Adversary
from fleet_features.sim.auditor import Auditor
from fleet_features.sim.loop import Lane
from fleet_features.sim.trace import short
from fleet_features.sim.wire import Wire

_QUICK_S = 0.05
_FOR_EVER_S = 100_000.0
_BIG_CHARACTERS = 270_000
_FAILURES = (ModelUnavailable, EmptyAnswer, MalformedAnswer)


class DrawnModel(Model):
    """Answers something new at every call, as a model that samples does.

    Args:
        adversary: fails and delays calls.
        big: some answers are too large to travel in a message.
    """

    def __init__(self, adversary: Adversary, *, big: bool) -> None:
        self._adversary = adversary
        self._big = big

    async def complete(
        self, request: ModelRequest, budget: CallBudget, on_text: OnText | None = None
    ) -> Completion:
        """See the port."""
        adversary, luck = self._adversary, self._adversary.luck
        if adversary.hits(adversary.temper.hang):
            await asyncio.sleep(_FOR_EVER_S)
        slow = luck.random() < 0.2
        await asyncio.sleep(luck.random() * (adversary.temper.drawl_s if slow else _QUICK_S))
        prompt = min(budget.tokens // 2, sum(estimate_tokens(m.text) for m in request.messages))
        if adversary.hits(adversary.temper.fail):
            error: ModelError = luck.choice(_FAILURES)("drawn")
            error.prompt_tokens, error.attempts = prompt, 1
            raise error
        text = self._text(request)
        if on_text is not None:
            on_text(text)
        answer = min(8, request.sampling.max_tokens)
        if adversary.hits(adversary.temper.overrun):
            answer += budget.tokens
        return Completion(text, "stop", prompt, answer)

    def _text(self, request: ModelRequest) -> str:
        luck = self._adversary.luck
        if self._adversary.hits(self._adversary.temper.fail / 2):
            return "nothing of the form that was asked for {"
        properties = (request.schema or {}).get("properties", {})
        solution = f"solution {luck.randrange(6)}"
        if self._big and luck.random() < 0.2:
            solution = solution.ljust(_BIG_CHARACTERS, ".")
        if not properties:
            return f"TITLE: {solution}\n{solution}\nRANKING: B, A, C"
        if "ranking" not in properties:
            return json.dumps({"title": solution, "rationale": "", "solution": solution})
        names = [label(i) for i in range(len(properties["ranking"]["items"]["enum"]))]
        luck.shuffle(names)
        critiques = [{"label": n, "strengths": "s", "weaknesses": "w"} for n in sorted(names)]
        return json.dumps({"critiques": critiques, "reason": "drawn", "ranking": names})

    async def count(self, texts: Sequence[str]) -> Sequence[int]:
        """See the port."""
        return [estimate_tokens(text) for text in texts]

    def tokenizer(self) -> str:
        """See the port."""
        return "estimate"

    async def health(self) -> ModelHealth:
        """See the port."""
        return ModelHealth(ready=True, detail="drawn")


class DrawnCheck(Check):
    """Passes every other text; sometimes it cannot be run."""

    def __init__(self, adversary: Adversary) -> None:
        self._adversary = adversary

    def kinds(self) -> tuple[str, ...]:
        """See the port."""
        return ("python",)

    async def run(self, request: CheckRequest, *, timeout_ms: int) -> Evidence:  # noqa: ARG002 -- port
        """See the port."""
        await asyncio.sleep(self._adversary.luck.random() * _QUICK_S)
        if self._adversary.hits(self._adversary.temper.fail / 2):
            raise CheckRefused("drawn")
        good = any(digit in request.proposal[:12] for digit in "024")
        standing = Standing.PASSED if good else Standing.FAILED
        return Evidence(request.check, standing, "by the text", score=float(good))

    async def available(self) -> str:
        """See the port."""
        return ""


class DrawnRunner(Runner):
    """Runs jobs in the executor's own process; it may lose its worker."""

    def __init__(
        self,
        lane: Lane,
        model: Model,
        wire: Wire,
        auditor: Auditor,
        clock: Clock,
    ) -> None:
        self._lane, self._adversary, self._auditor = lane, wire.adversary, auditor
        self._trace, self._clock = wire.trace, clock
        adversary = self._adversary
        self._models = {"default": model}
        self._checks = {"python": DrawnCheck(adversary)}
        self._running = 0

    async def run(self, job: AgentJob, on_text: OnText | None = None) -> AgentResult:
        """See the port."""
        adversary = self._adversary
        name = f"{short(job.job_id)} ({job.task_id}: {job.key.round} {job.key.step} {job.agent_id})"
        if adversary.hits(adversary.temper.away):
            raise Unavailable("the worker is away")
        if self._clock() < job.slice.deadline_ms:  # later, it fails without a call
            self._auditor.calls.begins(self._lane, job.job_id)
        self._trace.note(self._lane.name, f"calls for {name}")
        self._running += 1
        kept = False
        try:
            result = await perform(job, self._models, self._checks, self._clock, on_text)
            why = f", {result.failure.code}" if result.failure is not None else ""
            self._trace.note(self._lane.name, f"has {name}: {result.outcome.value}{why}")
            if adversary.hits(adversary.temper.away):
                raise Unavailable("the worker was lost with its answer")
            kept = True
        finally:
            self._running -= 1
            self._auditor.calls.ends(self._lane, job.job_id, in_hand=kept)
        return result

    async def stats(self) -> ClusterStats:
        """See the port."""
        return ClusterStats("drawn", 1_000, self._running, 0)
