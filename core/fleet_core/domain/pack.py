"""Building a context pack: which items are considered, and which of them the budget takes.

Anchors (task, acceptance, constraints) are never dropped. The others follow by priority: decisions
of the tasks it depends on (nearest first), decisions that affect it, decisions of the role, tasks
that run beside it (by title only, so that timing never changes a prompt), the timeline. An item
that does not fit whole is tried in its brief form, then left out; the ledger says which. What is
not in the role's scope in that phase (`domain/scope`) is left out whatever there is room for.

Priority is not the order of the text: the story comes first and the task last, right before the
question, with what it builds on between them. A small model that read the decisions after the task
answered 1 of 48 questions rightly, and 29 of 48 the other way round.

Texts that others wrote cannot open a part of their own: a line of theirs that begins like one of
the pack's headings is set off by a space.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fleet_core.domain.context import (
    ANCHORS,
    ContextPack,
    ItemKind,
    LedgerEntry,
    Neighbourhood,
    NeighbourhoodQuery,
    PackRequest,
)
from fleet_core.domain.decision import Decision
from fleet_core.domain.evolve import evolve
from fleet_core.domain.scope import allowed
from fleet_core.errors import InputError

_HEADINGS = {
    ItemKind.DEPENDENCY: "## Decisions this task builds on",
    ItemKind.AFFECTING: "## Decisions that affect this task",
    ItemKind.SIBLING: "## Earlier decisions of your role",
    ItemKind.CONCURRENT: "## Other tasks of this plan",
    ItemKind.TIMELINE: "## Earlier in this story",
}
_ACCEPTANCE, _CONSTRAINTS = "## Acceptance criteria", "## Constraints"
_LIKE_HEADING = re.compile(
    r"(?<![^\n\r\v\f\x1c-\x1e\x85\u2028\u2029])"  # where a line begins, by whatever ended the last
    r"(?=# (?:Story|Task)|### .*:|"
    + "|".join(map(re.escape, (*_HEADINGS.values(), _ACCEPTANCE, _CONSTRAINTS)))
    + ")"
)


@dataclass(frozen=True, slots=True)
class Item:
    """Something a pack may hold: `texts` are its forms, the whole one first."""

    item: str
    kind: ItemKind
    texts: tuple[str, ...]


def query_of(request: PackRequest) -> NeighbourhoodQuery:
    """What to ask of the graph for a request."""
    ancestors = tuple(task.task_id for _, task in request.plan.ancestors(request.task_id))
    return NeighbourhoodQuery(
        request.plan.story,
        request.plan_id,
        request.task_id,
        ancestors,
        request.role,
        request.approved_ms,
    )


def considered(request: PackRequest, around: Neighbourhood) -> list[Item]:
    """Every item that bears on the task, in order of priority; a decision appears once."""
    task = request.plan.task(request.task_id)
    story = f"# Story: {_line(request.plan.title or request.plan.story)}"
    named = f"# Task {task.task_id}: {_line(task.title)}"
    items = [
        Item(
            f"story:{request.plan.story}",
            ItemKind.TASK,
            (_joined([story, _inert(request.plan.description)]),),
        ),
        Item(f"task:{task.task_id}", ItemKind.TASK, (_joined([named, _inert(task.description)]),)),
    ]
    if task.acceptance:
        text = _listed(_ACCEPTANCE, task.acceptance)
        items.append(Item(f"acceptance:{task.task_id}", ItemKind.ACCEPTANCE, (text,)))
    if task.constraints:
        text = _listed(_CONSTRAINTS, task.constraints)
        items.append(Item(f"constraints:{task.task_id}", ItemKind.CONSTRAINTS, (text,)))
    seen: set[str] = set()
    for kind, decisions in (
        (ItemKind.DEPENDENCY, around.ancestors),
        (ItemKind.AFFECTING, around.affecting),
        (ItemKind.SIBLING, around.siblings),
    ):
        items += [_decision(kind, d) for d in decisions if not _again(seen, d)]
    ancestors = {t.task_id for _, t in request.plan.ancestors(request.task_id)}
    items += [
        Item(f"task:{t.task_id}", ItemKind.CONCURRENT, (f"- {t.task_id}: {_line(t.title)}",))
        for t in request.plan.tasks
        if t.task_id != task.task_id and t.task_id not in ancestors
    ]
    items += [
        Item(f"decision:{d.decision_id}", ItemKind.TIMELINE, (f"- {d.task_id}: {_line(d.title)}",))
        for d in around.timeline
        if not _again(seen, d)
    ]
    return items


def fill(
    request: PackRequest,
    items: Sequence[Item],
    revision: int,
    sizes: Mapping[str, int],
    counted_by: str,
    *,
    without: Mapping[str, str] = MappingProxyType({}),
) -> ContextPack:
    """The pack that the budget takes.

    Args:
        request: what was asked for.
        items: from `considered`.
        revision: the graph revision they were read at.
        sizes: tokens by text, for all of `texts_of(items)`; where the whole pack's text is among
            them the pack gives that size, otherwise the sum with one token for each join.
        counted_by: the tokenizer's name.
        without: items to leave out, by id, with the reason for the ledger; anchors never are.

    Raises:
        InputError: the anchors alone do not fit; both numbers are in the message.
    """
    held: list[tuple[Item, str]] = []
    ledger: list[LedgerEntry] = []
    used = 0
    anchored = sum(sizes[item.texts[0]] + 1 for item in items if item.kind in ANCHORS)
    if anchored > request.budget:
        raise too_small(request, anchored)
    headed: set[ItemKind] = set()
    scope = allowed(request.phase, request.role)
    for item in items:
        reason = without.get(item.item, "")
        if item.kind not in scope:
            reason = f"not in the scope of {request.role} in phase {request.phase}"
        if reason:
            size = sizes[item.texts[0]] + 1
            ledger.append(LedgerEntry(item.item, item.kind, size, False, reason))
            continue
        heading = _HEADINGS.get(item.kind, "") if item.kind not in headed else ""
        extra = sizes[heading] + 1 if heading else 0
        takes = [sizes[text] + 1 + extra for text in item.texts]
        fits = next((i for i, size in enumerate(takes) if used + size <= request.budget), None)
        if fits is None:
            reason = f"does not fit: {takes[-1]} tokens, {request.budget - used} left"
            ledger.append(LedgerEntry(item.item, item.kind, takes[0], False, reason))
            continue
        reason = "anchor" if item.kind in ANCHORS else "by priority"
        if fits:
            reason = f"shortened: whole it takes {takes[0]} tokens"
        ledger.append(LedgerEntry(item.item, item.kind, takes[fits], True, reason))
        held.append((item, item.texts[fits]))
        headed.add(item.kind)
        used += takes[fits]
    text, places = _text(held)
    ledger = [
        evolve(entry, offset=places[entry.item][0], length=places[entry.item][1])
        if entry.included
        else entry
        for entry in ledger
    ]
    task = request.plan.task(request.task_id)
    return ContextPack(
        request.plan.story,
        task.task_id,
        request.role,
        text,
        revision,
        request.budget,
        sizes.get(text, used),
        counted_by,
        tuple(ledger),
    )


def too_small(request: PackRequest, tokens: int) -> InputError:
    """The error of a budget that does not take the anchors."""
    return InputError(
        f"the anchors of task {request.task_id!r} take {tokens} tokens, "
        f"the budget is {request.budget}",
        "raise the pack's budget or shorten the task",
        field="budget",
    )


def texts_of(items: Sequence[Item]) -> list[str]:
    """Every text that `fill` will ask the size of, but the whole; to be counted in one batch."""
    return [*dict.fromkeys([*(t for i in items for t in i.texts), *_HEADINGS.values()])]


def _text(held: Sequence[tuple[Item, str]]) -> tuple[str, dict[str, tuple[int, int]]]:
    """The pack's text, and where in it each item stands: offset and length."""
    parts: list[str] = []
    places: dict[str, tuple[int, int]] = {}
    at = 0
    last: ItemKind | None = None
    story, *rest = held
    anchors = [one for one in rest if one[0].kind in ANCHORS]
    others = [one for one in rest if one[0].kind not in ANCHORS]
    for item, text in (story, *others, *anchors):
        heading = _HEADINGS.get(item.kind, "")
        listed = item.kind in (ItemKind.CONCURRENT, ItemKind.TIMELINE)
        before = "" if last is None else "\n" if listed and item.kind is last else "\n\n"
        if heading and item.kind is not last:
            before += f"{heading}\n\n"
        parts += (before, text)
        places[item.item] = (at + len(before), len(text))
        at += len(before) + len(text)
        last = item.kind
    return "".join(parts) + "\n", places


def _inert(text: str) -> str:
    """A text of others without white space around it, none of whose lines is like a heading."""
    return _LIKE_HEADING.sub(" ", text.strip())


def _line(text: str) -> str:
    """A title, on one line."""
    return " ".join(text.split())


def _decision(kind: ItemKind, decision: Decision) -> Item:
    head = f"### {decision.task_id}: {_line(decision.title)} ({decision.standing.value})"
    brief = _joined([head, _inert(decision.rationale)])
    whole = _joined([brief, _inert(decision.text)])
    forms = (whole, brief, head) if decision.rationale else (whole, head)
    return Item(f"decision:{decision.decision_id}", kind, forms)


def _again(seen: set[str], decision: Decision) -> bool:
    again = decision.decision_id in seen
    seen.add(decision.decision_id)
    return again


def _listed(heading: str, entries: Sequence[str]) -> str:
    return "\n".join([heading, *(f"- {_inert(entry)}" for entry in entries)])


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part)
