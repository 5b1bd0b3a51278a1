"""How a question is put: the fleet's own prompt, through the fleet's own adapter, greedily.

All questions are asked of one seat, in every arm alike, so that prompts begin with the same words.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from fleet_bootstraps.fleet import opened_ports, system_clock
from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import bound
from fleet_bootstraps.secrets import secrets_from
from fleet_core.domain.context import ContextPack
from fleet_core.domain.council import Agent, Council
from fleet_core.domain.deliberation import Deliberation, ProtocolSpec
from fleet_core.domain.lease import Lease
from fleet_core.domain.model_call import Binding, Message, ModelRequest, Sampling
from fleet_core.domain.prompts import propose
from fleet_core.ports.model import CallBudget, Model
from fleet_features.bench.value.story import Question
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.registry import Registry

LONGEST_ANSWER = 48
_SEAT = Agent(
    "dev-1",
    1,
    "DEV",
    "You write the simplest code that meets every criterion.",
    Binding(structured=False),
    # A fence that closes a block; one that opens a block names the language.
    Sampling(temperature=0.0, max_tokens=LONGEST_ANSWER, stop=("\n```\n",)),
)
_CALL_MS = 3_600_000
_TEMPLATE = 64  # tokens that a chat template may add


@dataclass(frozen=True, slots=True)
class Machine:
    """How llama.cpp runs.

    Attributes:
        gguf: the model file; empty for the embedded profile's default model.
        models_dir: where the default model is kept.
        home: for what the profile keeps.
    """

    gguf: str
    models_dir: Path
    home: Path
    threads: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `prompt_tokens` are the server's own count of the whole prompt."""

    text: str
    prompt_tokens: int


@asynccontextmanager
async def opened(
    machine: Machine, window: int, slots: int, *, only: tuple[PortName, ...] = ()
) -> AsyncIterator[Mapping[PortName, Any]]:
    """The ports of the profile `embedded` with that model; one server, ended with the context.

    Args:
        machine: what it runs on.
        window: tokens of prompt and answer that a call may have.
        slots: calls answered at once.
        only: which ports; empty for all that packs and answers need.
    """
    sets = [
        f"model.gguf={machine.gguf}",
        f"model.models_dir={machine.models_dir}",
        f"model.threads={machine.threads}",
        f"model.slots={slots}",
        f"model.n_ctx={window}",
        f"model.timeout_ms={_CALL_MS}",
    ]
    profile = bound("embedded", layered("embedded", {}, sets), Registry.discovered())
    context = FactoryContext(system_clock, secrets_from({}), machine.home)
    async with opened_ports(profile, context, only=only or _PORTS) as ports:
        yield ports


async def trained_window(model: Any) -> int:
    """The tokens that the model was trained to read at once, as its server says."""
    headers = {"Authorization": f"Bearer {model.process.key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.get(f"{model.process.base_url}/models", raise_for_status=True) as response,
    ):
        return int((await response.json())["data"][0]["meta"]["n_ctx_train"])


async def answers(
    model: Model,
    asked: Sequence[tuple[Question, ContextPack]],
    at_once: int,
    tell: Callable[[Question, Answer], None],
) -> list[Answer]:
    """The answers, in the order of the questions; each is told of as it comes."""
    gate = asyncio.Semaphore(at_once)

    async def one(question: Question, pack: ContextPack) -> Answer:
        async with gate:
            messages = prompt(question, pack)
            request = ModelRequest("default", "", messages, _SEAT.sampling)
            budget = CallBudget(_CALL_MS, 2 * (pack.tokens + LONGEST_ANSWER) + 4096)
            said = await model.complete(request, budget)
            answer = Answer(said.text, said.prompt_tokens // said.attempts)
            tell(question, answer)
            return answer

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one(*pair)) for pair in asked]
    return [task.result() for task in running]


def prompt(question: Question, pack: ContextPack) -> tuple[Message, ...]:
    """What an agent of the embedded profile is asked with for a proposal to a task with code."""
    record = question.record
    state = Deliberation(
        deliberation_id="0" * 32,
        plan_id=record.plan_id,
        story=record.plan.story,
        attempt=1,
        task=question.task,
        council=Council(_SEAT.role, (_SEAT,)),
        protocol=ProtocolSpec("vote"),
        lease=Lease(1, 0, 1),
        started_ms=record.approved_ms,
        version=1,
        pack=pack,
    )
    return propose(state, _SEAT)


async def longest(model: Model, prompts: Sequence[tuple[Message, ...]]) -> int:
    """Tokens of the longest prompt with its answer, and what a template may add."""
    counted = await model.count(["\n".join(m.text for m in p) for p in prompts])
    return max(counted) + _TEMPLATE + LONGEST_ANSWER


_PORTS = (
    PortName.BUS,
    PortName.STATE,
    PortName.BLOBS,
    PortName.GRAPH,
    PortName.MODEL,
    PortName.HYDRATOR,
)
