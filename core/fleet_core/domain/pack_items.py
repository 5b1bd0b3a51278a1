"""The items that a context pack may hold, from the plan and from what lies around the task.

Texts that others wrote cannot open a part of their own: a line of theirs that begins like one of
the pack's headings is set off by a space.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from fleet_core.domain.context import (
    EarlierPlan,
    ItemKind,
    Neighbourhood,
    NeighbourhoodQuery,
    PackRequest,
)
from fleet_core.domain.evolve import maker
from fleet_core.domain.plan import Task
from fleet_core.domain.relevance import ranked, words
from fleet_core.domain.told import ToldDecision
from fleet_core.recent import Recent

HEADINGS = {
    ItemKind.DEPENDENCY: "## Decisions this task builds on",
    ItemKind.AFFECTING: "## Decisions that affect this task",
    ItemKind.SIBLING: "## Earlier decisions of your role",
    ItemKind.CONCURRENT: "## Other tasks of this plan",
    ItemKind.SUMMARY: "## Earlier plans of this story",
    ItemKind.TIMELINE: "## Earlier in this story",
}
_ACCEPTANCE, _CONSTRAINTS = "## Acceptance criteria", "## Constraints"
_LINE_ENDS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
# Begins with the character it looks for, so that texts without one are passed over quickly; what
# stands before it is looked at afterwards: nothing, or the end of a line.
_LIKE_HEADING = re.compile(
    rf"#(?<![^{_LINE_ENDS}]#)(?= (?:Story|Task)|## .*:|"
    + "|".join(re.escape(one[1:]) for one in (*HEADINGS.values(), _ACCEPTANCE, _CONSTRAINTS))
    + ")"
)
JOIN = "\n\n"
_TOKENS_OF_A_DECISION, _TOKENS_OF_A_TITLE = 200, 50
_FEWEST, _MOST, _MOST_TITLES = 10, 200, 400
_BY_RELEVANCE = (ItemKind.SIBLING, ItemKind.TIMELINE)
_CHARACTERS = 16_000_000  # of the items of each kind that are kept


@dataclass(frozen=True, slots=True)
class Item:
    """Something a pack may hold: all of its parts, or the first ones where not all fit.

    Attributes:
        parts: anchors have one.
    """

    item: str
    kind: ItemKind
    parts: tuple[str, ...]


_ITEM = maker(Item)


def query_of(request: PackRequest, told_by: str) -> NeighbourhoodQuery:
    """What to ask of the graph for a request: as much as its budget might take.

    Args:
        request: what was asked for.
        told_by: the name of the redactor.
    """
    ancestors = tuple(task.task_id for _, task in request.plan.ancestors(request.task_id))
    return NeighbourhoodQuery(
        request.plan.story,
        request.plan_id,
        request.task_id,
        ancestors,
        request.role,
        request.approved_ms,
        told_by,
        limit=min(max(request.budget // _TOKENS_OF_A_DECISION, _FEWEST), _MOST),
        titles=min(max(request.budget // _TOKENS_OF_A_TITLE, _FEWEST), _MOST_TITLES),
    )


def words_of(request: PackRequest) -> frozenset[str]:
    """The words of the task that a pack is asked for."""
    task = request.plan.task(request.task_id)
    return words(task.title, task.description, *task.acceptance, *task.constraints)


def own_items(request: PackRequest) -> list[Item]:
    """The items that come from the plan itself: the anchors, then the tasks that run beside it."""
    task = request.plan.task(request.task_id)
    story = f"# Story: {_line(request.plan.title or request.plan.story)}"
    named = f"# Task {task.task_id}: {_line(task.title)}"
    ancestors = {t.task_id for _, t in request.plan.ancestors(request.task_id)}
    return [
        Item(
            f"story:{request.plan.story}",
            ItemKind.TASK,
            (_joined([story, _inert(request.plan.description)]),),
        ),
        Item(f"task:{task.task_id}", ItemKind.TASK, (_joined([named, _inert(task.description)]),)),
        *_listed_anchors(task),
        *(
            _ITEM(f"task:{t.task_id}", ItemKind.CONCURRENT, (f"- {t.task_id}: {_line(t.title)}",))
            for t in request.plan.tasks
            if t.task_id != task.task_id and t.task_id not in ancestors
        ),
    ]


def earlier_items(plans: Sequence[EarlierPlan]) -> list[Item]:
    """The items that tell of earlier plans, in their order."""
    return [
        _ITEM(f"plan:{one.plan_id}", ItemKind.SUMMARY, (f"- {_line(one.title)}: {_progress(one)}",))
        for one in plans
    ]


@dataclass(frozen=True, slots=True)
class _Made:
    """An item, and the decision that it was made of.

    It is kept with its item, so that nothing else can have its `id` meanwhile.
    """

    item: Item
    told: ToldDecision
    words: frozenset[str]


class DecisionItems:
    """The items of decisions; those made lately are kept, since a decision never changes."""

    def __init__(self) -> None:
        self._made: dict[ItemKind, Recent[int, _Made]] = defaultdict(lambda: Recent(_CHARACTERS))

    def of(self, around: Neighbourhood, about: frozenset[str] = frozenset()) -> list[Item]:
        """In order of priority; each decision appears once.

        Args:
            around: what lies around the task.
            about: the task's words; siblings and timeline are ordered by what their titles and
                rationales share with it (`domain/relevance`), and by time where that is the same.
        """
        kinds = (
            (ItemKind.DEPENDENCY, around.ancestors),
            (ItemKind.AFFECTING, around.affecting),
            (ItemKind.SIBLING, around.siblings),
            (ItemKind.TIMELINE, around.timeline),
        )
        seen: set[str] = set()
        items: list[Item] = []
        for kind, decisions in kinds:
            told = [one for one in decisions if one.decision_id not in seen]
            seen.update(one.decision_id for one in told)
            made = self._of_kind(kind, told)
            if kind in _BY_RELEVANCE and about:
                made = [made[place] for place in ranked(about, [one.words for one in made])]
            items += [one.item for one in made]
        return items

    def _of_kind(self, kind: ItemKind, decisions: Sequence[ToldDecision]) -> list[_Made]:
        kept = self._made[kind].each(map(id, decisions))
        if all(kept):
            return cast("list[_Made]", kept)
        return [made or self._new(kind, told) for told, made in zip(decisions, kept, strict=True)]

    def _new(self, kind: ItemKind, told: ToldDecision) -> _Made:
        item = _entry(kind, told) if kind is ItemKind.TIMELINE else _decision(kind, told)
        about = words(told.title, told.rationale) if kind in _BY_RELEVANCE else frozenset()
        made = _Made(item, told, about)
        self._made[kind].put(id(told), made, told.characters)
        return made


def by_priority(*groups: Sequence[Item]) -> list[Item]:
    """All items in order of priority; those of one kind stay in the order they are given in."""
    place = {kind: number for number, kind in enumerate(ItemKind)}
    return sorted((item for group in groups for item in group), key=lambda item: place[item.kind])


def _inert(text: str) -> str:
    """A text of others without white space around it, none of whose lines is like a heading."""
    return _LIKE_HEADING.sub(" ", text.strip())


def _line(text: str) -> str:
    """A title, on one line."""
    return " ".join(text.split())


def _decision(kind: ItemKind, told: ToldDecision) -> Item:
    head = f"### {told.task_id}: {_line(told.title)} ({told.standing.value})"
    parts = (head, _inert(told.rationale), _inert(told.text))
    return _ITEM(f"decision:{told.decision_id}", kind, tuple(part for part in parts if part))


def _entry(kind: ItemKind, told: ToldDecision) -> Item:
    return _ITEM(f"decision:{told.decision_id}", kind, (f"- {told.task_id}: {_line(told.title)}",))


def _progress(plan: EarlierPlan) -> str:
    return f"{plan.decided} of {plan.tasks} tasks decided"


def _listed_anchors(task: Task) -> list[Item]:
    items = []
    if task.acceptance:
        text = _listed(_ACCEPTANCE, task.acceptance)
        items.append(Item(f"acceptance:{task.task_id}", ItemKind.ACCEPTANCE, (text,)))
    if task.constraints:
        text = _listed(_CONSTRAINTS, task.constraints)
        items.append(Item(f"constraints:{task.task_id}", ItemKind.CONSTRAINTS, (text,)))
    return items


def _listed(heading: str, entries: Sequence[str]) -> str:
    return "\n".join([heading, *(f"- {_inert(entry)}" for entry in entries)])


def _joined(parts: Sequence[str]) -> str:
    return JOIN.join(part for part in parts if part)
