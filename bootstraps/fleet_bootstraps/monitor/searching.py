"""Looking for words in what the picture holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fleet_bootstraps.monitor.gist import clip
from fleet_bootstraps.monitor.picture import Picture
from fleet_core.domain.deliberation import Deliberation


def search(picture: Picture, query: str, limit: int) -> list[dict[str, Any]]:
    """Plans and deliberations, newest first, some text of which holds every word; without case."""
    words = query.lower().split()
    found: list[dict[str, Any]] = []
    if not words:
        return found
    for tracked in reversed(picture.deliberations.values()):
        if len(found) >= limit:
            return found
        shown = tracked.gist.shown
        texts = [tracked.deliberation_id, tracked.task_id, tracked.phase, tracked.trouble]
        texts += [text for text in shown.values() if isinstance(text, str)]
        if tracked.state is not None:
            texts += _texts(tracked.state)
        where = _where(texts, words)
        if where is not None:
            found.append(
                {
                    "kind": "deliberation",
                    "id": tracked.deliberation_id,
                    "title": shown["title"] or clip(tracked.task_id),
                    "state": tracked.phase,
                    "text": where,
                }
            )
    for planned in reversed(picture.plans.values()):
        if len(found) >= limit:
            return found
        plan = planned.run.plan
        texts = [plan.title, plan.story, plan.description, planned.run.plan_id, planned.refused]
        where = _where(texts, words)
        if where is not None:
            found.append(
                {
                    "kind": "plan",
                    "id": planned.run.plan_id,
                    "title": clip(plan.title),
                    "state": "refused" if planned.refused else "",
                    "text": where,
                }
            )
    return found


def _texts(state: Deliberation) -> Iterator[str]:
    yield from (state.task.title, state.task.description, state.task.role, state.story)
    yield from (agent.agent_id for agent in state.council.agents)
    if state.decision is not None:
        yield from (state.decision.title, state.decision.rationale, state.decision.decision_id)
    if state.failure is not None:
        yield state.failure.reason
    for job in state.jobs():
        if job.ended is not None:
            yield job.ended.text
            if job.ended.failure is not None:
                yield job.ended.failure.reason
            if job.ended.evidence is not None:
                yield job.ended.evidence.output


_AROUND = 60


def _where(texts: Any, words: list[str]) -> str | None:
    """The place of the first word, where every word is in one of the texts; None where not."""
    left, shown = set(words), ""
    for text in texts:
        lower = text.lower()
        hit = [word for word in left if word in lower]
        if hit and not shown:
            at = lower.find(hit[0])
            shown = text[max(0, at - _AROUND) : at + _AROUND]
        left.difference_update(hit)
        if not left:
            return str(shown)
    return None
