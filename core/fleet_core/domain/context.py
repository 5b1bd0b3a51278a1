"""Context packs: what a role is told about a task, and the ledger of what it was not told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fleet_core.domain.plan import DEFAULT_PHASE, Plan
from fleet_core.domain.told import ToldDecision


@dataclass(frozen=True, slots=True)
class PackRequest:
    """What a pack is made from, besides the graph.

    Attributes:
        plan: the whole approved plan; concurrent tasks are named from it by title.
        approved_ms: decisions of other plans count only if recorded before this.
        phase: one of `plan.PHASES`; with the role it decides what is told (`domain/scope`).
        budget: tokens the pack may take.
    """

    plan_id: str
    plan: Plan
    task_id: str
    role: str
    approved_ms: int
    budget: int
    phase: str = DEFAULT_PHASE


class ItemKind(StrEnum):
    """What an item of a pack is, in order of priority; the first three are anchors."""

    TASK = "task"
    ACCEPTANCE = "acceptance"
    CONSTRAINTS = "constraints"
    DEPENDENCY = "dependency decision"
    AFFECTING = "affecting decision"
    SIBLING = "role decision"
    CONCURRENT = "concurrent task"
    SUMMARY = "plan summary"
    TIMELINE = "timeline"


ANCHORS = (ItemKind.TASK, ItemKind.ACCEPTANCE, ItemKind.CONSTRAINTS)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One item that was considered: its size in tokens, and why it is in or out.

    Attributes:
        offset, length: where it stands in the pack's text, in characters; 0 and 0 where it is out.
    """

    item: str
    kind: ItemKind
    tokens: int
    included: bool
    reason: str
    offset: int = 0
    length: int = 0


@dataclass(frozen=True, slots=True)
class ContextPack:
    """A pack, made once for a deliberation and never rebuilt.

    Attributes:
        text: what goes into the prompt, Markdown; stable prefix first.
        revision: the story's graph revision it was made from.
        tokens: what `text` takes, counted as `counted_by` says.
        counted_by: the tokenizer's name, or `estimate`.
        items: ids of included items, in order, e.g. `decision:{decision_id}`.
    """

    story: str
    task_id: str
    role: str
    text: str
    revision: int
    budget: int
    tokens: int
    counted_by: str
    ledger: tuple[LedgerEntry, ...] = ()

    @property
    def items(self) -> tuple[str, ...]:
        """Ids of the included items, in ledger order."""
        return tuple(entry.item for entry in self.ledger if entry.included)

    @property
    def share(self) -> float:
        """The share of the budget that was used, from 0 to 1."""
        return self.tokens / self.budget if self.budget else 0.0

    def part(self, entry: LedgerEntry) -> str:
        """The text of an included item, as it stands in the pack."""
        return self.text[entry.offset : entry.offset + entry.length]


@dataclass(frozen=True, slots=True)
class NeighbourhoodQuery:
    """What bears on a task.

    Attributes:
        ancestors: ids of the tasks it depends on within its plan, nearest first.
        role: whose earlier decisions count as siblings.
        before_ms: what comes from other plans counts only if recorded before this; a plan, if
            approved before.
        told_by: name of the redactor whose texts are wanted.
        limit: the most to fetch of each: affecting decisions, siblings, earlier plans.
        titles: the most entries of the timeline to fetch.
    """

    story: str
    plan_id: str
    task_id: str
    ancestors: tuple[str, ...]
    role: str
    before_ms: int
    told_by: str = ""
    limit: int = 50
    titles: int = 50


@dataclass(frozen=True, slots=True)
class EarlierPlan:
    """Another plan of the story, and how far it had come.

    Attributes:
        tasks: how many it has.
        decided: how many of them have a decision that was recorded before `before_ms`.
    """

    plan_id: str
    title: str
    tasks: int
    decided: int


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What the graph knows around a task; superseded decisions are left out.

    Each decision is told as `told_by` made it or, where it did not, as it was recorded.

    Attributes:
        revision: of the story, from the same snapshot as the rest.
        ancestors: decisions of the queried ancestors of the same plan, in the query's order.
        affecting: decisions from other plans of the story (recorded before `before_ms`) whose
            `affects` names the task, newest first.
        siblings: other decisions from other plans of the story, of the same role, newest first.
        plans: other plans of the story, approved before `before_ms`, the latest first.
        timeline: decisions from other plans of the story, whatever the role, newest first,
            without those above; by title only.
    """

    revision: int
    ancestors: tuple[ToldDecision, ...] = ()
    affecting: tuple[ToldDecision, ...] = ()
    siblings: tuple[ToldDecision, ...] = ()
    plans: tuple[EarlierPlan, ...] = ()
    timeline: tuple[ToldDecision, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """A plan as the graph keeps it: story, plan, tasks and their relations."""

    plan_id: str
    plan: Plan
    approved_ms: int
