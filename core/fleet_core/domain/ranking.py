"""The order of candidates: evidence, then judges, then ballots, then support, then content.

A rung decides only what all rungs above it left equal. No rung looks at a candidate's position,
seat or arrival; the last one orders by content hash, so the order is always total.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from fleet_core.domain.candidates import (
    Candidate,
    Line,
    Version,
    Vote,
    Weight,
    candidates,
    label,
    standing_versions,
    versions,
    votes,
    weight,
)
from fleet_core.domain.decision import Dissent
from fleet_core.domain.deliberation import Deliberation

RUNGS = ("evidence", "judge", "ballots", "support", "content")


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its value on each rung (higher is better); -1 where a rung has none."""

    candidate: Candidate
    evidence: Weight
    judge: Fraction
    ballots: Fraction
    support: int

    @property
    def ladder(self) -> tuple[object, ...]:
        """The values in the order of `RUNGS`, without the last."""
        return (self.evidence, self.judge, self.ballots, self.support)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates best first; `rule` is the rung that set the first apart from the second."""

    order: tuple[Ranked, ...]
    rule: str
    dissent: tuple[Dissent, ...]


def rank(state: Deliberation) -> Ranking:
    """The ranking of all that stands; empty where nothing does."""
    every = versions(state)
    checks = state.task.checks
    field = candidates(standing_versions(every, checks))
    authors = authorship(every)
    critics, judges = votes(state, "critique"), votes(state, "judge")
    judge, ballots = borda(judges, authors), borda(critics, authors)
    ranked = [
        Ranked(
            c,
            weight(c.evidence, checks),
            _mean(judge, c.lines),
            _mean(ballots, c.lines),
            len(c.lines),
        )
        for c in field
    ]
    ranked.sort(key=lambda r: r.candidate.digest)
    ranked.sort(key=lambda r: r.ladder, reverse=True)
    return Ranking(
        tuple(ranked), _rule(ranked), tuple(_dissent(every, ranked, [*critics, *judges]))
    )


def authorship(every: Sequence[Version]) -> Mapping[str, frozenset[Line]]:
    """The lines behind each text that was ever proposed: ballots on it count for all of them."""
    out: dict[str, set[Line]] = {}
    for version in every:
        out.setdefault(version.proposal.digest, set()).add(version.line)
    return {digest: frozenset(lines) for digest, lines in out.items()}


def borda(cast: Sequence[Vote], authors: Mapping[str, frozenset[Line]]) -> dict[Line, Fraction]:
    """Mean normalised Borda count of each line over the ballots it was on, in [0, 1].

    The first of m gets 1, the last 0 (de Borda 1781); unranked ones share the mean of the places
    left; a ballot of one gives 1/2. The mean over ballots makes up for nobody ranking their own.
    """
    points: dict[Line, list[Fraction]] = {}
    for vote in cast:
        size = len(vote.shown)
        places = {digest: place for place, digest in enumerate(vote.ranking)}
        left = range(len(vote.ranking), size)
        rest = Fraction(sum(left), len(left)) if left else Fraction(0)
        for digest in vote.shown:
            place = Fraction(places[digest]) if digest in places else rest
            value = 1 - place / (size - 1) if size > 1 else Fraction(1, 2)
            for line in authors.get(digest, ()):
                points.setdefault(line, []).append(value)
    return {line: sum(values, Fraction(0)) / len(values) for line, values in points.items()}


def _mean(points: Mapping[Line, Fraction], lines: Sequence[Line]) -> Fraction:
    known = [points[line] for line in lines if line in points]
    return sum(known, Fraction(0)) / len(known) if known else Fraction(-1)


def _rule(ranked: Sequence[Ranked]) -> str:
    if len(ranked) < 2:
        return "alone"
    pairs = zip(RUNGS, ranked[0].ladder, ranked[1].ladder, strict=False)
    return next((rung for rung, first, second in pairs if first != second), "content")


def _dissent(
    every: Sequence[Version], ranked: Sequence[Ranked], cast: Sequence[Vote]
) -> list[Dissent]:
    """Rungs whose own first choice lost, then agents who put another candidate first."""
    if len(ranked) < 2:
        return []
    winner = ranked[0].candidate
    out = []
    for index, rung in enumerate(RUNGS[:-1]):
        best = max(r.ladder[index] for r in ranked)  # type: ignore[type-var]  # as in rank
        if ranked[0].ladder[index] != best:
            first = next(r.candidate for r in ranked if r.ladder[index] == best)
            out.append(Dissent(f"the {rung}", first.agents, f"set {first.proposal.title!r} first"))
    won, authors = set(winner.lines), authorship(every)
    for vote in cast:
        top = vote.ranking[0]
        behind = authors.get(top, frozenset())
        on_ballot = any(won & authors.get(digest, frozenset()) for digest in vote.shown)
        if behind and on_ballot and not behind & won:
            preferred = tuple(sorted({v.agent_id for v in every if v.line in behind}))
            out.append(Dissent(vote.by, preferred, _reason(vote, top)))
    return out


def _reason(vote: Vote, digest: str) -> str:
    position = vote.shown.index(digest)
    for critique in vote.ballot.critiques:
        if critique.label == label(position) and critique.strengths:
            return critique.strengths
    return vote.ballot.reason or "ranked it first"
