"""`peer-review`: propose, critique, the author revises, R rounds, then a judge ranks all.

One critique job covers all candidates its agent did not write, and holds its ballot. A council
that is of one mind (a single distinct text) has nothing to weigh, and goes on to its checks.
"""

from __future__ import annotations

from fleet_core.domain import prompts
from fleet_core.domain.answers import Critique, critique_schema, judgement_schema, proposal_schema
from fleet_core.domain.candidates import (
    field_of,
    label,
    standing_versions,
    versions,
    vote_of,
)
from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.drafts import JobDraft, StepDraft
from fleet_core.domain.protocols.steps import check_unchecked, model_call, propose, taken


class PeerReview:
    """`ProtocolSpec.rounds` rounds of critique and revision, and one judgement."""

    def next_step(self, state: Deliberation) -> StepDraft | None:
        """Propose; critique and revise each round; judge; check a text as soon as it stands."""
        if not taken(state, "propose"):
            return propose(state)
        checks = check_unchecked(state)
        if checks is not None or state.exhausted:
            return checks
        for round_ in range(1, state.protocol.rounds + 1):
            if not taken(state, "critique", round_):
                step = _critique(state, round_)
            elif not taken(state, "revise", round_):
                step = _revise(state, round_)
            else:
                continue
            if step is not None:
                return step
        return _judge(state)


def _critique(state: Deliberation, round_: int) -> StepDraft | None:
    field = field_of(state)
    if len(field) < 2:
        return None
    drafts = []
    for agent in state.council.agents:
        others = [c for c in field if agent.agent_id not in c.agents]
        if others:
            call = model_call(
                agent,
                prompts.critique(state, agent, others),
                critique_schema(tuple(label(i) for i in range(len(others)))),
            )
            drafts.append(JobDraft(agent, call, shown=tuple(c.digest for c in others)))
    return StepDraft("critique", round_, tuple(drafts)) if drafts else None


def _revise(state: Deliberation, round_: int) -> StepDraft | None:
    schema = proposal_schema(state.known_tasks)
    drafts = []
    for version in standing_versions(versions(state), state.task.checks):
        said = critiques_on(state, version.proposal.digest, round_)
        if said:
            agent = state.council.agent(version.agent_id)
            messages = prompts.revise(state, agent, version.proposal, version.evidence, said)
            sample = version.line[1]
            drafts.append(JobDraft(agent, model_call(agent, messages, schema, sample), sample))
    return StepDraft("revise", round_, tuple(drafts)) if drafts else None


def critiques_on(state: Deliberation, digest: str, round_: int) -> list[Critique]:
    """What was said of a text in a round, in an order that does not depend on who said it."""
    said = []
    for job in state.jobs("critique"):
        vote = vote_of(job) if job.key.round == round_ and digest in job.shown else None
        if vote is None:
            continue
        own = label(vote.shown.index(digest))
        entries = [c for c in vote.ballot.critiques if c.label == own]
        if not entries and vote.ballot.reason:
            entries = [Critique(own, weaknesses=f"(said of candidate {own}) {vote.ballot.reason}")]
        said += entries
    return sorted(said, key=lambda c: (c.strengths, c.weaknesses))


def _judge(state: Deliberation) -> StepDraft | None:
    agent, field = state.protocol.judge, field_of(state)
    if agent is None or len(field) < 2 or taken(state, "judge"):
        return None
    call = model_call(
        agent,
        prompts.judge(state, agent, field),
        judgement_schema(tuple(label(i) for i in range(len(field)))),
    )
    draft = JobDraft(agent, call, shown=tuple(c.digest for c in field))
    return StepDraft("judge", 1, (draft,))
