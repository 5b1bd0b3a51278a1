"""The four contexts that a question is put with; all end in the same anchors.

- `nothing`: the anchors alone.
- `everything`: every decision of the story as it was recorded, and then, in one line, by id, those
  that the graph relates to the task. What differs from question to question stands last, so that a
  server reads the story once.
- `pack`: what the fleet's own `Hydrator` gives for the task's own role.
- `random`: decisions drawn from the same story, in the pack's form, filled by the core's own rule
  up to what the pack of the same question takes; drawn from the seed, without regard to the task.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from fleet_core.domain.context import ANCHORS, ContextPack, Neighbourhood, PackRequest
from fleet_core.domain.decision import Decision
from fleet_core.domain.evolve import evolve
from fleet_core.domain.pack import asked_of, fill
from fleet_core.domain.pack_items import JOIN, DecisionItems, Item, by_priority, own_items
from fleet_core.domain.told import as_recorded
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.hydrator import Hydrator
from fleet_core.ports.model import Model
from fleet_core.usecases.token_counts import TokenCounts
from fleet_features.bench.value.story import Question, Story

NOTHING, EVERYTHING, PACK, RANDOM = ARMS = ("nothing", "everything", "pack", "random")
_HEADING = "## Earlier decisions of this story"


async def recorded(graph: ContextGraph, told: Story) -> None:
    """Write the story into the graph, in the order in which it happened."""
    for record in told.plans:
        await graph.record_plan(record)
    for decision, at_ms in told.decisions:
        await graph.record_decision(decision, at_ms)


async def contexts(
    hydrator: Hydrator, model: Model, told: Story, question: Question, budget: int
) -> dict[str, ContextPack]:
    """The question's context by arm.

    Args:
        hydrator: over a graph that the story was recorded in.
        model: counts tokens.
        told: the whole story.
        question: one of its questions.
        budget: tokens of the pack.
    """
    request = asked(question, budget)
    pack = await hydrator.pack(request)
    rng = random.Random(f"{told.seed}:{question.task.task_id}")
    drawn = [decision for decision, _ in told.decisions]
    rng.shuffle(drawn)
    nothing = await _filled(model, request, anchors(request), budget)
    return {
        NOTHING: nothing,
        EVERYTHING: await _whole(model, told, question, nothing),
        PACK: pack,
        RANDOM: await _filled(
            model, request, by_priority(anchors(request), decided(drawn)), pack.tokens
        ),
    }


def asked(question: Question, budget: int) -> PackRequest:
    """What a deliberation would ask the hydrator for."""
    record, task = question.record, question.task
    return PackRequest(
        record.plan_id, record.plan, task.task_id, task.role, record.approved_ms, budget
    )


def anchors(request: PackRequest) -> list[Item]:
    """What every arm has."""
    return [item for item in own_items(request) if item.kind in ANCHORS]


def decided(decisions: Sequence[Decision]) -> list[Item]:
    """The decisions in the form in which a pack gives what affects a task, in their order."""
    told = tuple(as_recorded(decision) for decision in decisions)
    return DecisionItems().of(Neighbourhood(0, affecting=told))


def related(told: Story, question: Question) -> list[str]:
    """Ids of the tasks whose decisions the graph relates to the question's task, nearest first."""
    near = [task.task_id for _, task in question.record.plan.ancestors(question.task.task_id)]
    return near + [d.task_id for d, _ in told.decisions if question.task.task_id in d.affects]


async def _filled(
    model: Model, request: PackRequest, items: Sequence[Item], tokens: int
) -> ContextPack:
    """As `Hydrate` fills a pack: where the whole takes more than its parts, the last goes."""
    counts = TokenCounts(model)
    sizes = await counts.of(asked_of(items))
    without: dict[str, str] = {}
    limited = PackRequest(
        request.plan_id, request.plan, request.task_id, request.role, request.approved_ms, tokens
    )
    while True:
        pack = fill(limited, items, 0, sizes, model.tokenizer(), without=without)
        used = await counts.whole(pack.text)
        if used <= tokens:
            return evolve(pack, tokens=used)
        last = next(e for e in reversed(pack.ledger) if e.included and e.kind not in ANCHORS)
        without[last.item] = "does not fit"


async def _whole(
    model: Model, told: Story, question: Question, nothing: ContextPack
) -> ContextPack:
    story, *rest = (nothing.part(entry) for entry in nothing.ledger)
    blocks = [JOIN.join(item.parts) for item in decided([d for d, _ in told.decisions])]
    near = related(told, question)
    relations = [f"The next task builds on: {', '.join(near)}."] if near else []
    text = JOIN.join([story, _HEADING, *blocks, *relations, *rest]) + "\n"
    (tokens,) = await model.count([text])
    return ContextPack(
        nothing.story,
        nothing.task_id,
        nothing.role,
        text,
        nothing.revision,
        tokens,
        tokens,
        nothing.counted_by,
    )
