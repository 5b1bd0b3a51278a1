"""Which decisions of a pack the winner used, by a rule that needs no model.

A decision is cited where the winning proposal, its title, rationale or text, has

1. the id of its task after the word "task" or between quotes, or its title; or
2. a name of its own: a word that looks like code (it holds `_`, a digit or a capital inside) and
   stands in no other part of the pack; or
3. three different words of its own, of five letters and more.

Words of the task itself are nobody's own, so that merely answering the question cites nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

from fleet_core.domain.answers import Proposal
from fleet_core.domain.context import ContextPack

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"._|_.|[0-9]|[a-z][A-Z]")
_ENOUGH = 3
_LETTERS = 5
PREFIX = "decision:"


def cited(pack: ContextPack | None, proposal: Proposal) -> tuple[str, ...]:
    """Ids of the decisions in the pack that the proposal used, in the pack's order.

    Linear in the size of pack and proposal.
    """
    if pack is None:
        return ()
    parts = [(entry, pack.part(entry)) for entry in pack.ledger if entry.included]
    decisions = [(entry, text) for entry, text in parts if entry.item.startswith(PREFIX)]
    if not decisions:
        return ()
    shared = Counter(word for _, text in parts for word in _words(text))
    said = f"{proposal.title}\n{proposal.rationale}\n{proposal.text}"
    used = _words(said)
    return tuple(
        entry.item.removeprefix(PREFIX)
        for entry, text in decisions
        if _is_used(text, said, {word for word in used & _words(text) if shared[word] == 1})
    )


def _is_used(text: str, said: str, own: set[str]) -> bool:
    if any(_NAME.search(word) for word in own):
        return True
    if sum(len(word) >= _LETTERS for word in own) >= _ENOUGH:
        return True
    task_id, _, rest = text.lstrip("#- ").partition(": ")
    title = rest.splitlines()[0].rsplit(" (", 1)[0].strip() if rest else ""
    if len(title) >= _LETTERS and title in said:
        return True
    named = re.escape(task_id)
    return re.search(rf"(?:\btask |[`'\"]){named}(?![\w-])", said, re.IGNORECASE) is not None


@lru_cache(maxsize=1024)
def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text))
