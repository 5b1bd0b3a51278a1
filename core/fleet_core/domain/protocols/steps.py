"""Steps that several protocols take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fleet_core.domain import prompts
from fleet_core.domain.answers import proposal_schema
from fleet_core.domain.candidates import versions
from fleet_core.domain.council import Agent
from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.drafts import JobDraft, StepDraft
from fleet_core.domain.job import CheckRequest, ModelCall
from fleet_core.domain.model_call import Message, ModelRequest


def model_call(
    agent: Agent, messages: tuple[Message, ...], schema: dict[str, Any], sample: int = 0
) -> ModelCall:
    """A call through the agent's binding; the schema counts only where it is structured.

    A seed that the agent's sampling fixes is moved on with each sample.
    """
    sampling = agent.sampling
    if sampling.seed is not None and sample:
        sampling = replace(sampling, seed=sampling.seed + sample)
    request = ModelRequest(
        agent.binding.name,
        agent.binding.model,
        messages,
        sampling,
        schema if agent.binding.structured else None,
    )
    return ModelCall(request, agent.binding.price)


def propose(state: Deliberation, samples: int = 1) -> StepDraft:
    """Every agent proposes, `samples` times, without seeing the others."""
    schema = proposal_schema(state.known_tasks)
    drafts = []
    for agent in state.council.agents:
        messages = prompts.propose(state, agent)
        drafts += [
            JobDraft(agent, model_call(agent, messages, schema, sample), sample)
            for sample in range(samples)
        ]
    return StepDraft("propose", 1, tuple(drafts))


def check_unchecked(state: Deliberation) -> StepDraft | None:
    """Run the task's checks on every text that has not had them; None where nothing is due.

    A text that several wrote is checked once, in the name of the first of them.
    """
    if not state.task.checks:
        return None
    checked = {job.target for job in state.jobs("check")}
    drafts: list[JobDraft] = []
    jobs_of: dict[str, int] = {}
    for version in sorted(versions(state), key=lambda v: v.line):
        digest = version.proposal.digest
        if digest in checked:
            continue
        checked.add(digest)
        for check in state.task.checks:
            sample = jobs_of.get(version.agent_id, 0)
            jobs_of[version.agent_id] = sample + 1
            work = CheckRequest(check.kind, version.proposal.text, check.spec)
            agent = state.council.agent(version.agent_id)
            drafts.append(JobDraft(agent, work, sample, digest))
    if not drafts:
        return None
    taken_before = sum(step.name == "check" for step in state.steps)
    return StepDraft("check", taken_before + 1, tuple(drafts))


def taken(state: Deliberation, name: str, round_: int = 1) -> bool:
    """Whether that step has been opened."""
    return any(step.name == name and step.round == round_ for step in state.steps)
