"""The texts agents are given. Pure: the same state gives the same bytes on every machine.

Candidates stand under `### Candidate A`, `### Candidate B` ... in the order of their content
hashes; each block ends at the next line that begins with `### ` or at `<<<end>>>`.

The context pack comes first in every prompt, so that the agents of a council share a prefix. A
model that is asked for free text is taken for a small one: its persona comes first, the pack ends
right before its answer, and where code is wanted it is shown one example of the form.
"""

from __future__ import annotations

from collections.abc import Sequence

from fleet_core.domain.answers import Critique, Proposal
from fleet_core.domain.candidates import Candidate, label
from fleet_core.domain.council import Agent
from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.job import Evidence
from fleet_core.domain.model_call import Message, Speaker

END = "<<<end>>>"


def propose(state: Deliberation, agent: Agent) -> tuple[Message, ...]:
    """Ask for a proposal."""
    if agent.binding.structured:
        return _chat(state, agent, f"Propose your solution.\n{_PROPOSAL_FORM}")
    code = any(check.kind == "python" for check in state.task.checks)
    return _plain_chat(state, agent, "" if code else _PLAIN_FORM, _EXAMPLE if code else ())


def critique(state: Deliberation, agent: Agent, others: Sequence[Candidate]) -> tuple[Message, ...]:
    """Ask one agent to weigh every candidate it did not write, and to rank them."""
    ask = (
        "These proposals come from your colleagues; their names are withheld.\n"
        f"{_blocks(others)}\n"
        "Name the strengths and the weaknesses of each, then rank all of them, best first.\n"
        f"{_ranking_form(agent, critiques=True)}"
    )
    return _ask(state, agent, ask)


def revise(
    state: Deliberation,
    agent: Agent,
    own: Proposal,
    evidence: Sequence[Evidence],
    critiques: Sequence[Critique],
) -> tuple[Message, ...]:
    """Ask an author to revise its own proposal in the light of evidence and critiques."""
    said = "\n".join(_said(c) for c in critiques)
    ask = (
        f"This is your proposal.\n### Your proposal\n{_proposal(own, evidence)}\n{END}\n"
        f"Your colleagues say:\n{said}\n"
        "Revise your proposal: keep what is right, mend what is wrong, and give it whole.\n"
        f"{_PROPOSAL_FORM if agent.binding.structured else _PLAIN_FORM}"
    )
    return _ask(state, agent, ask)


def judge(state: Deliberation, agent: Agent, field: Sequence[Candidate]) -> tuple[Message, ...]:
    """Ask the judge to rank all candidates."""
    ask = (
        f"These are the proposals; their authors are withheld.\n{_blocks(field)}\n"
        "Weigh them against the acceptance criteria, then rank all of them, best first.\n"
        f"{_ranking_form(agent, critiques=False)}"
    )
    return _ask(state, agent, ask)


def _ask(state: Deliberation, agent: Agent, ask: str) -> tuple[Message, ...]:
    chat = _chat if agent.binding.structured else _plain_chat
    return chat(state, agent, ask)


def _chat(state: Deliberation, agent: Agent, ask: str) -> tuple[Message, ...]:
    return (
        Message(Speaker.SYSTEM, _context(state)),
        Message(Speaker.USER, f"{_seat(agent)}\n\n{ask}"),
    )


def _plain_chat(
    state: Deliberation, agent: Agent, ask: str, example: tuple[Message, ...] = ()
) -> tuple[Message, ...]:
    return (
        Message(Speaker.SYSTEM, _seat(agent)),
        *example,
        Message(Speaker.USER, f"{_context(state)}\n{ask}".rstrip() + "\n"),
    )


def _context(state: Deliberation) -> str:
    return state.pack.text if state.pack is not None else ""


def _seat(agent: Agent) -> str:
    return f"You are a {agent.role} engineer. {agent.persona.strip()}".rstrip()


def _blocks(field: Sequence[Candidate]) -> str:
    blocks = (
        f"### Candidate {label(i)}\n{_proposal(c.proposal, c.evidence)}"
        for i, c in enumerate(field)
    )
    return "\n".join(blocks) + f"\n{END}"


def _proposal(proposal: Proposal, evidence: Sequence[Evidence]) -> str:
    """A proposal as shown; what agents wrote cannot open a block of its own."""
    parts = [proposal.text.strip()]
    if proposal.rationale and proposal.rationale not in proposal.text:
        parts.append(f"Rationale: {proposal.rationale}")
    parts += [f"Check `{e.kind}`: {e.standing.value}. {e.summary}" for e in evidence]
    return "\n".join(_inert(part) for part in parts)


def _inert(text: str) -> str:
    # Not `<end>`: between brackets that an agent set around it, that is the mark again.
    lines = text.replace(END, "(end)").splitlines()
    return "\n".join(f" {line}" if line.startswith("### ") else line for line in lines)


def _said(entry: Critique) -> str:
    parts = [f"strengths: {entry.strengths}"] if entry.strengths else []
    parts += [f"weaknesses: {entry.weaknesses}"] if entry.weaknesses else []
    return _inert(f"- {'; '.join(parts)}")


_PROPOSAL_FORM = (
    "Answer in JSON: `title` in a few words, `rationale` in a sentence or two, `solution` whole."
)
_PLAIN_FORM = "Give a short title on the first line, then the solution. Put code in one ``` block."
_EXAMPLE = (
    Message(
        Speaker.USER,
        "# Story: Multiples\n\n"
        "## Decisions this task builds on\n\n"
        "### double: Twice a number (verified)\n\n"
        "```python\ndef double(x):\n    return 2 * x\n```\n\n"
        "# Task triple: Write triple(x)\n\n"
        "Write a Python function triple(x) that returns three times x.\n\n"
        "## Acceptance criteria\n- triple(2) returns 6\n",
    ),
    Message(
        Speaker.ASSISTANT,
        "```python\ndef triple(x):\n    return 3 * x\n```\n\n"
        "The function multiplies its argument by three.",
    ),
)


def _ranking_form(agent: Agent, *, critiques: bool) -> str:
    if agent.binding.structured:
        first = "`critiques` with an entry for each label" if critiques else "`reason`"
        return f"Answer in JSON: {first}, then `ranking`, the labels, best first."
    return "End with one line: RANKING: and the labels, best first, with commas between."
