"""Building a context pack: which items are considered, and which of them the budget takes.

Anchors (task, acceptance, constraints) are never dropped. The others follow by priority: decisions
of the tasks it depends on (nearest first), decisions that affect it, decisions of the role, tasks
that run beside it (by title only, so that timing never changes a prompt), earlier plans of the
story and how far they had come, the timeline. An item that does not fit whole is tried without its
last part, then left out; the ledger says which. What is not in the role's scope in that phase
(`domain/scope`) is left out whatever there is room for.

Priority is not the order of the text: the story comes first and the task last, right before the
question, with what it builds on between them. A small model that read the decisions after the task
answered 1 of 48 questions rightly, and 29 of 48 the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType

from fleet_core.domain.context import (
    ANCHORS,
    ContextPack,
    ItemKind,
    LedgerEntry,
    PackRequest,
)
from fleet_core.domain.evolve import evolve
from fleet_core.domain.pack_items import HEADINGS, JOIN, Item
from fleet_core.domain.scope import allowed
from fleet_core.errors import InputError

_LISTED = (ItemKind.CONCURRENT, ItemKind.SUMMARY, ItemKind.TIMELINE)


@dataclass(frozen=True, slots=True)
class _Held:
    item: Item
    parts: int

    @property
    def text(self) -> str:
        return JOIN.join(self.item.parts[: self.parts])


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
        items: by priority.
        revision: the graph revision they were read at.
        sizes: tokens by text, for all of `texts_of(items)`; where the whole pack's text is among
            them the pack gives that size, otherwise the sum with one token for each join.
        counted_by: the tokenizer's name.
        without: items to leave out, by id, with the reason for the ledger; anchors never are.

    Raises:
        InputError: the anchors alone do not fit; both numbers are in the message.
    """
    anchored = sum(_sizes(item, sizes)[-1] for item in items if item.kind in ANCHORS)
    if anchored > request.budget:
        raise too_small(request, anchored)
    held: list[_Held] = []
    ledger: list[LedgerEntry] = []
    used = 0
    headed: set[ItemKind] = set()
    scope = allowed(request.phase, request.role)
    for item in items:
        reason = without.get(item.item, "")
        if item.kind not in scope:
            reason = f"not in the scope of {request.role} in phase {request.phase}"
        if reason:
            ledger.append(LedgerEntry(item.item, item.kind, _sizes(item, sizes)[-1], False, reason))
            continue
        heading = HEADINGS.get(item.kind, "") if item.kind not in headed else ""
        takes = _sizes(item, sizes, sizes[heading] + 1 if heading else 0)
        parts = sum(used + size <= request.budget for size in takes)
        reason = _reason(item, takes, parts, request.budget - used)
        ledger.append(
            LedgerEntry(item.item, item.kind, takes[parts - 1], parts > 0, reason)
        )  # what is left out is told by its whole size, which stands last
        if parts:
            held.append(_Held(item, parts))
            headed.add(item.kind)
            used += takes[parts - 1]
    text, places = _text(held)
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
        tuple(_placed(entry, places) for entry in ledger),
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
    return [*dict.fromkeys([*(part for i in items for part in i.parts), *HEADINGS.values()])]


def _sizes(item: Item, sizes: Mapping[str, int], before: int = 0) -> list[int]:
    """Tokens of its first part, its first two, and so on, each with a join before it."""
    return [before + size for size in accumulate(sizes[part] + 1 for part in item.parts)]


def _reason(item: Item, takes: Sequence[int], parts: int, left: int) -> str:
    if not parts:
        return f"does not fit: {takes[0]} tokens, {left} left"
    if item.kind in ANCHORS:
        return "anchor"
    if parts < len(takes):
        return f"shortened: whole it takes {takes[-1]} tokens"
    return "by priority"


def _placed(entry: LedgerEntry, places: Mapping[str, tuple[int, int]]) -> LedgerEntry:
    if not entry.included:
        return entry
    offset, length = places[entry.item]
    return evolve(entry, offset=offset, length=length)


def _text(held: Sequence[_Held]) -> tuple[str, dict[str, tuple[int, int]]]:
    """The pack's text, and where in it each item stands: offset and length."""
    parts: list[str] = []
    places: dict[str, tuple[int, int]] = {}
    at = 0
    last: ItemKind | None = None
    story, *rest = held
    anchors = [one for one in rest if one.item.kind in ANCHORS]
    others = [one for one in rest if one.item.kind not in ANCHORS]
    for one in (story, *others, *anchors):
        item, text = one.item, one.text
        heading = HEADINGS.get(item.kind, "")
        listed = item.kind in _LISTED
        before = "" if last is None else "\n" if listed and item.kind is last else JOIN
        if heading and item.kind is not last:
            before += f"{heading}\n\n"
        parts += (before, text)
        places[item.item] = (at + len(before), len(text))
        at += len(before) + len(text)
        last = item.kind
    return "".join(parts) + "\n", places
