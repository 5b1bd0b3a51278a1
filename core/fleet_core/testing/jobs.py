"""Agent jobs, and a runner that a test holds in its hands."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from fleet_core.domain.ids import task_token
from fleet_core.domain.job import AgentJob, AgentResult, CheckRequest, JobKey, ModelCall, job_id
from fleet_core.domain.lease import Slice
from fleet_core.domain.model_call import estimate_prompt
from fleet_core.ports.executor import ClusterStats
from fleet_core.ports.model import OnText
from fleet_core.ports.runner import Runner
from fleet_core.testing.playing import REFERENCE_CALL, replied

FAR_MS = 4_102_444_800_000  # the year 2100
_PLAN = "0123456789abcdef0123456789abcdef"


def a_job(
    number: int = 1,
    *,
    deliberation: str = "d" * 32,
    work: ModelCall | CheckRequest = REFERENCE_CALL,
    deadline_ms: int = FAR_MS,
) -> AgentJob:
    """A job of seat `number`; its slice is what the reducer would give it."""
    key = JobKey(1, "propose" if isinstance(work, ModelCall) else "check", number)
    prompt = answer = 0
    if isinstance(work, ModelCall):
        prompt = estimate_prompt(work.request.messages)
        answer = work.request.sampling.max_tokens
    return AgentJob(
        job_id(deliberation, key, work),
        deliberation,
        _PLAN,
        "story",
        "t1",
        task_token(_PLAN, "t1"),
        f"dev-{number}",
        "DEV",
        key,
        work,
        Slice(prompt, answer, 0, deadline_ms),
    )


@dataclass(slots=True)
class HeldRunner(Runner):
    """Runs nothing until it is let: then every job answers with its agent's id.

    Attributes:
        go: jobs go on once it is set; it is, unless a test clears it.
        begun: how often each job was begun, by id.
        stopped: jobs that were cancelled while they ran.
        errors: raised in turn by the next runs.
    """

    go: asyncio.Event = field(default_factory=asyncio.Event)
    begun: Counter[str] = field(default_factory=Counter)
    stopped: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    running: int = 0

    def __post_init__(self) -> None:
        """Let go."""
        self.go.set()

    async def run(self, job: AgentJob, on_text: OnText | None = None) -> AgentResult:
        """See the port."""
        self.begun[job.job_id] += 1
        self.running += 1
        try:
            if self.errors:
                raise self.errors.pop(0)
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped.append(job.job_id)
            raise
        finally:
            self.running -= 1
        if on_text is not None:
            on_text(job.agent_id)
        return replied(job, job.agent_id)

    async def stats(self) -> ClusterStats:
        """See the port."""
        return ClusterStats("held", 1_000, self.running, 0)
