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

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, groupby
from operator import attrgetter
from types import MappingProxyType

from fleet_core.domain.context import (
    ANCHORS,
    ContextPack,
    ItemKind,
    LedgerEntry,
    PackRequest,
)
from fleet_core.domain.evolve import maker
from fleet_core.domain.pack_items import HEADINGS, JOIN, Item
from fleet_core.domain.scope import allowed
from fleet_core.errors import InputError

_NOWHERE = (0, 0)
_ENTRY = maker(LedgerEntry)
_KIND = attrgetter("kind")
_HEADED = {kind: (heading,) for kind, heading in HEADINGS.items()}
Parts = tuple[str, ...]
"""Those of an item."""
_LISTED = (ItemKind.CONCURRENT, ItemKind.SUMMARY, ItemKind.TIMELINE)


def fill(
    request: PackRequest,
    items: Sequence[Item],
    revision: int,
    sizes: Mapping[Parts, Sequence[int]],
    counted_by: str,
    *,
    without: Mapping[str, str] = MappingProxyType({}),
) -> ContextPack:
    """The pack that the budget takes.

    Args:
        request: what was asked for.
        items: by priority.
        revision: the graph revision they were read at.
        sizes: of all of `asked_of(items)`, as `sizes_of` tells them. The pack gives their sum; what
            a tokenizer finds in the whole may be another number.
        counted_by: the tokenizer's name.
        without: items to leave out, by id, with the reason for the ledger; anchors never are.

    Raises:
        InputError: the anchors alone do not fit; both numbers are in the message.
    """
    anchored = sum(sizes[item.parts][-1] for item in items if item.kind in ANCHORS)
    if anchored > request.budget:
        raise too_small(request, anchored)
    weighed: list[tuple[Item, int, int, str]] = []
    left = request.budget
    scope = allowed(request.phase, request.role)
    for kind, group in groupby(items, _KIND):
        before = sizes[_HEADED[kind]][0] if kind in _HEADED else 0
        said = "anchor" if kind in ANCHORS else "by priority"
        if kind not in scope:
            reason = f"not in the scope of {request.role} in phase {request.phase}"
            weighed += [(item, 0, before + sizes[item.parts][-1], reason) for item in group]
            continue
        for item in group:
            takes = sizes[item.parts]
            reason = without.get(item.item, "")
            parts = 0 if reason else bisect_right(takes, left - before)
            size = before + takes[parts - 1]
            if not reason:
                reason = said if parts == len(takes) else _short_of(takes, parts, before, left)
            weighed.append((item, parts, size, reason))
            if parts:
                left -= size
                before = 0  # the heading stands above the first one
    text, places = _text([(item, parts) for item, parts, _, _ in weighed if parts])
    return ContextPack(
        request.plan.story,
        request.task_id,
        request.role,
        text,
        revision,
        request.budget,
        request.budget - left,
        counted_by,
        tuple(
            _ENTRY(item.item, item.kind, size, parts > 0, reason, *places.get(item.item, _NOWHERE))
            for item, parts, size, reason in weighed
        ),
    )


def too_small(request: PackRequest, tokens: int) -> InputError:
    """The error of a budget that does not take the anchors."""
    return InputError(
        f"the anchors of task {request.task_id!r} take {tokens} tokens, "
        f"the budget is {request.budget}",
        "raise the pack's budget or shorten the task",
        field="budget",
    )


def asked_of(items: Sequence[Item]) -> list[Parts]:
    """All that `fill` asks the sizes of, to be counted in one batch."""
    return [*(item.parts for item in items), *_HEADED.values()]


def sizes_of(parts: Parts, tokens: Mapping[str, int]) -> tuple[int, ...]:
    """Tokens of the first part, of the first two, and so on, each with a join before it.

    Args:
        parts: of an item.
        tokens: by text.
    """
    return tuple(accumulate(tokens[part] + 1 for part in parts))


def _short_of(takes: Sequence[int], parts: int, before: int, left: int) -> str:
    """Why an item is not whole."""
    if not parts:
        return f"does not fit: {before + takes[0]} tokens, {left} left"
    return f"shortened: whole it takes {before + takes[-1]} tokens"


def _text(held: Sequence[tuple[Item, int]]) -> tuple[str, dict[str, tuple[int, int]]]:
    """The pack's text, and where in it each item stands: offset and length.

    Args:
        held: items by priority, each with how many of its parts are told.
    """
    texts: list[str] = []
    places: dict[str, tuple[int, int]] = {}
    at = 0
    last: ItemKind | None = None
    story, *rest = held
    anchors = [one for one in rest if one[0].kind in ANCHORS]
    others = [one for one in rest if one[0].kind not in ANCHORS]
    for item, parts in (story, *others, *anchors):
        kind = item.kind
        text = item.parts[0] if parts == 1 else JOIN.join(item.parts[:parts])
        before = "" if last is None else "\n" if kind is last and kind in _LISTED else JOIN
        if kind is not last and kind in HEADINGS:
            before += f"{HEADINGS[kind]}\n\n"
        texts += (before, text)
        at += len(before)
        places[item.item] = (at, len(text))
        at += len(text)
        last = kind
    return "".join(texts) + "\n", places
