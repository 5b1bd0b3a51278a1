"""What stands for election: the proposals of a deliberation with their authors and evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from fleet_core.domain.answers import Ballot, Proposal, read_ballot, read_proposal
from fleet_core.domain.deliberation import Deliberation, JobRecord
from fleet_core.domain.job import Evidence, Standing
from fleet_core.domain.plan import CheckSpec

PROPOSING = ("propose", "revise")
Line = tuple[int, int]
"""A line of proposals: seat and sample of the first; revisions continue it."""
Weight = tuple[int, int, float]
"""What evidence is worth: the required checks, all checks, the mean score."""


@dataclass(frozen=True, slots=True)
class Version:
    """One proposal of a line, as first written or as revised."""

    job_id: str
    agent_id: str
    line: Line
    proposal: Proposal
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A distinct text, with everybody who wrote it.

    Attributes:
        lines: sorted; several where several wrote the same text.
        agents: their agent ids, in the order of `lines`.
        job_id: of the first line's proposal.
    """

    digest: str
    proposal: Proposal
    lines: tuple[Line, ...]
    agents: tuple[str, ...]
    job_id: str
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Vote:
    """A ballot with its labels resolved: digests best first, and all that were on it."""

    by: str
    step: str
    ranking: tuple[str, ...]
    shown: tuple[str, ...]
    ballot: Ballot


def versions(state: Deliberation) -> list[Version]:
    """Every readable proposal, in the order of issue, with the evidence on exactly that text."""
    evidence: dict[str, list[Evidence]] = {}
    for check in state.jobs("check"):
        if check.ended is not None and check.ended.evidence is not None:
            evidence.setdefault(check.target, []).append(check.ended.evidence)
    out = []
    for job in state.jobs(*PROPOSING):
        if job.ended is None or not job.ok:
            continue
        agent = state.council.agent(job.agent_id)
        proposal = read_proposal(
            job.ended.text, structured=agent.binding.structured, known_tasks=state.known_tasks
        )
        if proposal is not None:
            out.append(
                Version(
                    job.job_id,
                    job.agent_id,
                    (job.key.agent, job.key.sample),
                    proposal,
                    tuple(evidence.get(proposal.digest, ())),
                )
            )
    return out


def standing_versions(every: Iterable[Version], checks: Sequence[CheckSpec]) -> list[Version]:
    """The version each line stands with: the one with the best evidence, of equals the latest."""
    best: dict[Line, Version] = {}
    for version in every:
        held = best.get(version.line)
        if held is None or weight(version.evidence, checks) >= weight(held.evidence, checks):
            best[version.line] = version
    return [best[line] for line in sorted(best)]


def candidates(held: Sequence[Version]) -> list[Candidate]:
    """Distinct texts in the order of their digests, which is the order of their labels too.

    Where several wrote the same text, their titles and rationales decide whose are shown, never
    their seats.
    """
    by_digest: dict[str, list[Version]] = {}
    for version in sorted(held, key=lambda v: v.line):
        by_digest.setdefault(version.proposal.digest, []).append(version)
    return [
        Candidate(
            digest,
            min((v.proposal for v in same), key=lambda p: (p.title, p.rationale, p.affects)),
            tuple(v.line for v in same),
            tuple(v.agent_id for v in same),
            same[0].job_id,
            same[0].evidence,
        )
        for digest, same in sorted(by_digest.items())
    ]


def field_of(state: Deliberation) -> list[Candidate]:
    """The candidates as they stand now."""
    return candidates(standing_versions(versions(state), state.task.checks))


def weight(evidence: Sequence[Evidence], checks: Sequence[CheckSpec]) -> Weight:
    """What the evidence is worth: the required checks first, then all of them.

    3 where every check passed, 2 where some passed and none failed, 1 where none ran, 0 where any
    failed. The score is the mean over all the task's checks; one that did not run counts nothing.
    """
    required = {check.kind for check in checks if check.required}
    wanted = sum(check.kind in required for check in checks)
    score = sum(_score(e) for e in evidence if e.standing is not Standing.NOT_RUN)
    return (
        _passed([e for e in evidence if e.kind in required], wanted),
        _passed(evidence, len(checks)),
        round(score / max(len(checks), len(evidence), 1), 9),
    )


def _passed(evidence: Sequence[Evidence], wanted: int) -> int:
    passed = sum(e.standing is Standing.PASSED for e in evidence)
    if any(e.standing is Standing.FAILED for e in evidence):
        return 0
    return 1 + (passed > 0) + (0 < passed == len(evidence) >= wanted)


def _score(evidence: Evidence) -> float:
    """A check's score as far as it is one: a plugin's NaN or 7.0 must not upset the order."""
    return min(evidence.score, 1.0) if evidence.score > 0 else 0.0


@cache
def label(index: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    letters = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, 26)
        letters = chr(ord("A") + digit) + letters
    return letters


def votes(state: Deliberation, *steps: str) -> list[Vote]:
    """The readable ballots of those steps, late ones included, in the order of issue."""
    return [vote for job in state.jobs(*steps) if (vote := vote_of(job)) is not None]


def vote_of(job: JobRecord) -> Vote | None:
    """The ballot a job ended with, labels resolved to digests; None where it holds none."""
    if job.ended is None or not job.ok:
        return None
    digests = {label(i): digest for i, digest in enumerate(job.shown)}
    ballot = read_ballot(job.ended.text, tuple(digests))
    if ballot is None:
        return None
    ranking = tuple(digests[name] for name in ballot.ranking)
    return Vote(job.agent_id, job.key.step, ranking, job.shown, ballot)
