"""What later tasks are told of a decision: its title, rationale and text, without secrets.

It is made once, when the decision is recorded, and kept beside it, since looking for secrets takes
longer than reading does. It bears the name of what looked; what another one made, or nobody, is
made anew when it is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from fleet_core.domain.decision import Decision, DecisionStanding

_IDS = 100


@dataclass(frozen=True, slots=True)
class ToldDecision:
    """A decision as it is told.

    Attributes:
        rationale, text: whole, or both empty where only the title is told.
        by: the name of the redactor it went through; empty where it is as it was recorded.
    """

    decision_id: str
    task_id: str
    title: str
    standing: DecisionStanding
    rationale: str = ""
    text: str = ""
    by: str = ""

    @property
    def characters(self) -> int:
        """About as many as it holds, its ids included."""
        return len(self.title) + len(self.rationale) + len(self.text) + _IDS


@dataclass(frozen=True, slots=True)
class Redactor:
    """Takes secrets out of texts.

    Attributes:
        name: with the version of its rules, so that another version has another name; empty for
            one that takes nothing out.
        clean: the texts without secrets, in their order; the same text gives the same.
    """

    name: str
    clean: Callable[[Sequence[str]], Awaitable[Sequence[str]]]


async def _as_they_are(texts: Sequence[str]) -> Sequence[str]:
    return texts


NO_REDACTOR = Redactor("", _as_they_are)


def as_recorded(decision: Decision) -> ToldDecision:
    """What is told where nothing is taken out."""
    return ToldDecision(
        decision.decision_id,
        decision.task_id,
        decision.title,
        decision.standing,
        decision.rationale,
        decision.text,
    )


def titled(told: ToldDecision) -> ToldDecision:
    """The same, by its title only."""
    return ToldDecision(told.decision_id, told.task_id, told.title, told.standing, "", "", told.by)


async def told_by(redactor: Redactor, decisions: Iterable[ToldDecision]) -> list[ToldDecision]:
    """The decisions as that redactor tells them; those that it made already stay as they are."""
    found = list(decisions)
    other = [one for one in found if one.by != redactor.name]
    if not other:
        return found
    texts = [text for one in other for text in (one.title, one.rationale, one.text)]
    clean = iter(await redactor.clean(texts))
    return [
        one
        if one.by == redactor.name
        else ToldDecision(
            one.decision_id,
            one.task_id,
            next(clean),
            one.standing,
            next(clean),
            next(clean),
            redactor.name,
        )
        for one in found
    ]
