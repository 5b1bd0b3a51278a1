"""From a ranking to a decision, or to the reason why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fleet_core.domain.candidates import Candidate
from fleet_core.domain.citing import cited
from fleet_core.domain.decision import Alternative, Decision, DecisionStanding
from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.ids import content_id
from fleet_core.domain.job import Evidence, Failure, Standing
from fleet_core.domain.ranking import RUNGS, Ranked, Ranking


def conclude(state: Deliberation, ranking: Ranking, now_ms: int) -> Decision | Failure:
    """The decision a ranking gives; a failure where nothing stands, or a required check did not.

    A task with a `required` check is never decided unverified or refuted.
    """
    if not ranking.order:
        return _nothing_stands(state)
    winner = ranking.order[0].candidate
    standing = standing_of(state, winner.evidence)
    if standing is not DecisionStanding.VERIFIED and any(c.required for c in state.task.checks):
        return _required_not_passed(state, winner)
    missing = {job.agent_id for job in state.unanswered}
    return Decision(
        decision_id=content_id("decision", state.deliberation_id, winner.digest),
        deliberation_id=state.deliberation_id,
        story=state.story,
        plan_id=state.plan_id,
        task_id=state.task.task_id,
        role=state.task.role,
        title=winner.proposal.title,
        rationale=winner.proposal.rationale or _because(ranking),
        text=winner.proposal.text,
        winner=winner.agents[0],
        standing=standing,
        rule=ranking.rule,
        decided_ms=now_ms,
        evidence=winner.evidence,
        alternatives=tuple(_alternative(ranking.order[0], r) for r in ranking.order[1:]),
        dissent=ranking.dissent,
        affects=winner.proposal.affects,
        incomplete=tuple(sorted(missing)),
        cited=cited(state.pack, winner.proposal),
    )


def standing_of(state: Deliberation, evidence: Sequence[Evidence]) -> DecisionStanding:
    """Verified: what counts passed; refuted: something that counts failed; else unverified.

    What counts are the task's required checks where it has any, otherwise all its checks; a check
    that counts and did not run leaves the decision unverified.
    """
    required = {check.kind for check in state.task.checks if check.required}
    counting = required or {check.kind for check in state.task.checks}
    relevant = [e for e in evidence if e.kind in counting]
    if any(e.standing is Standing.FAILED for e in relevant):
        return DecisionStanding.REFUTED
    # Counted, not named: of two checks of one kind, one that left no evidence did not run.
    wanted = sum(check.kind in counting for check in state.task.checks)
    passed = sum(e.standing is Standing.PASSED for e in relevant)
    if wanted and passed == len(relevant) >= wanted:
        return DecisionStanding.VERIFIED
    return DecisionStanding.UNVERIFIED


def _nothing_stands(state: Deliberation) -> Failure:
    proposing = list(state.jobs("propose"))
    if state.exhausted and not proposing:
        return Failure("lease_exceeded", f"no proposal was asked for: {state.notes[-1]}")
    reasons = Counter(
        f"{job.ended.failure.code}: {job.ended.failure.reason}"
        for job in proposing
        if job.ended is not None and job.ended.failure is not None
    )
    if not reasons:
        unreadable = sum(job.ok for job in proposing)
        missing = sum(job.ended is None for job in proposing)
        what = f"{unreadable} answers held no proposal, {missing} jobs had not answered"
        return Failure("no_proposal", f"no proposal stands: {what}")
    said = "; ".join(
        f"{text} ({count} of {len(proposing)})" for text, count in reasons.most_common(3)
    )
    return Failure("no_proposal", f"no proposal stands: {said}")


def _required_not_passed(state: Deliberation, winner: Candidate) -> Failure:
    kinds = ", ".join(sorted({c.kind for c in state.task.checks if c.required}))
    said = "; ".join(f"{e.kind}: {e.standing.value}, {e.summary}" for e in winner.evidence)
    best = said or "its checks did not run"
    return Failure("required_check", f"no proposal passed the required {kinds}; the best: {best}")


def _alternative(first: Ranked, other: Ranked) -> Alternative:
    rung = next(
        (r for r, a, b in zip(RUNGS, first.ladder, other.ladder, strict=False) if a != b), "content"
    )
    return Alternative(
        other.candidate.agents,
        other.candidate.proposal.title,
        _why(rung, first, other),
        other.candidate.digest,
    )


def _why(rung: str, first: Ranked, other: Ranked) -> str:
    if rung == "evidence":
        return f"evidence: {_evidence(other.candidate)}; the winner: {_evidence(first.candidate)}"
    if rung in ("judge", "ballots"):
        ours, theirs = (getattr(r, rung) for r in (first, other))
        if theirs < 0:
            return f"{rung}: was on none; the winner: {float(ours):.2f}"
        return f"{rung}: {float(theirs):.2f} of 1; the winner: {float(ours):.2f}"
    if rung == "support":
        return f"support: written {other.support} times; the winner: {first.support} times"
    return "equal on every count; the order of content hashes decided"


def _evidence(candidate: Candidate) -> str:
    said = [f"{e.standing.value} ({e.summary})" for e in candidate.evidence]
    return ", ".join(said) or "not run"


def _because(ranking: Ranking) -> str:
    if ranking.rule == "alone":
        return "It was the only proposal."
    return f"It came first by {ranking.rule}."
