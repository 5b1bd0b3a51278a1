"""Every question of the made-up project has one answer, in one place, within a pack's reach."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import pytest

from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.graph import InMemoryContextGraph
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_core.domain.context import ItemKind
from fleet_core.domain.council import DEFAULT_ROLES
from fleet_core.domain.decision import Decision
from fleet_core.domain.model_call import Completion, ModelRequest, estimate_tokens
from fleet_core.domain.plan import validated
from fleet_core.ports.model import CallBudget, Model, ModelHealth, OnText
from fleet_core.usecases.hydrate import Hydrate
from fleet_core.usecases.stores import Stores
from fleet_features.bench.value.arms import (
    EVERYTHING,
    NOTHING,
    PACK,
    RANDOM,
    asked,
    contexts,
    recorded,
    related,
)
from fleet_features.bench.value.facts import KINDS, SUBJECTS_PER_KIND, by_kind
from fleet_features.bench.value.scoring import named
from fleet_features.bench.value.story import SHARES, Story, story
from fleet_plugins.kit.redaction import REDACTOR

SEEDS = (1, 7, 23)
KINDS_OF = {
    "depends": ItemKind.DEPENDENCY,
    "affects": ItemKind.AFFECTING,
    "sibling": ItemKind.SIBLING,
    "timeline": ItemKind.TIMELINE,
}
ROOMY = 100_000


class Estimating(Model):
    """Counts by the stated estimate and answers nothing."""

    async def complete(
        self, request: ModelRequest, budget: CallBudget, on_text: OnText | None = None
    ) -> Completion:
        raise NotImplementedError

    async def count(self, texts: Sequence[str]) -> Sequence[int]:
        return [estimate_tokens(text) for text in texts]

    def tokenizer(self) -> str:
        return "estimate"

    async def health(self) -> ModelHealth:
        return ModelHealth(ready=True, detail="")


def whole(decision: Decision) -> str:
    return f"{decision.title}\n{decision.rationale}\n{decision.text}"


async def hydrated(told: Story) -> Hydrate:
    graph = InMemoryContextGraph()
    await recorded(graph, told)

    def clock() -> int:
        return 0

    stores = Stores(InMemoryEventBus(clock), InMemoryStateStore(clock), InMemoryBlobStore(), clock)
    return Hydrate(graph, Estimating(), stores, REDACTOR)


def test_the_same_seed_gives_the_same_story_and_another_one_another() -> None:
    assert story(7) == story(7)
    assert story(7) != story(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_relations_come_in_the_stated_shares_and_decisions_from_all_roles(seed: int) -> None:
    told = story(seed)

    assert Counter(q.relation for q in told.questions) == SHARES
    assert Counter(q.distance for q in told.questions if q.relation == "depends") == {1: 24, 2: 8}
    assert {q.distance for q in told.questions if q.relation != "depends"} == {0}
    assert {d.role for d, _ in told.decisions} == set(DEFAULT_ROLES)
    assert {q.task.role for q in told.questions} == set(DEFAULT_ROLES)
    assert Counter(q.fact.kind.name for q in told.questions) == {
        kind.name: SUBJECTS_PER_KIND for kind in KINDS
    }
    for record in told.plans:
        assert validated(record.plan, roles=DEFAULT_ROLES) == record.plan


@pytest.mark.parametrize("seed", SEEDS)
def test_a_value_stands_in_the_one_decision_that_it_should_and_nowhere_else(seed: int) -> None:
    told = story(seed)
    plans = "\n".join(
        "\n".join((t.task_id, t.title, t.description, *t.acceptance, *t.constraints))
        for record in told.plans
        for t in record.plan.tasks
    )
    for question in told.questions:
        value = question.fact.value
        holding = [d.decision_id for d, _ in told.decisions if named(value, whole(d))]
        assert holding == [question.decision_id]
        assert not named(value, plans)
        if question.fact.rejected:
            rejected = question.fact.rejected
            holding = [d.decision_id for d, _ in told.decisions if named(rejected, whole(d))]
            assert holding == [question.decision_id]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_template_is_left_unfilled(seed: int) -> None:
    told = story(seed)
    texts = [whole(d) for d, _ in told.decisions]
    texts += [f"{q.task.title} {q.task.description}" for q in told.questions]

    assert not [text for text in texts if re.search(r"\{[cvw]\}", text)]


@pytest.mark.anyio
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_value_is_in_a_roomy_pack_by_the_relation_that_is_stated(seed: int) -> None:
    told = story(seed)
    hydrate = await hydrated(told)
    for question in told.questions:
        pack = await hydrate.pack(asked(question, ROOMY))
        (entry,) = (e for e in pack.ledger if e.item == f"decision:{question.decision_id}")
        assert entry.included
        assert entry.kind is KINDS_OF[question.relation]
        assert named(question.fact.value, pack.part(entry))


@pytest.mark.anyio
async def test_the_arms_differ_in_context_only() -> None:
    told = story(7)
    hydrate = await hydrated(told)
    model = Estimating()
    heads = set()
    for question in told.questions[:20]:
        found = await contexts(hydrate, model, told, question, 900)
        anchors = f"# Task {question.task.task_id}: "
        task = found[NOTHING].text.partition(anchors)[2]
        for arm in (NOTHING, EVERYTHING, PACK, RANDOM):
            assert found[arm].text.endswith(f"{anchors}{task}")
            assert found[arm].tokens == estimate_tokens(found[arm].text)
        assert not named(question.fact.value, found[NOTHING].text)
        assert named(question.fact.value, found[EVERYTHING].text)
        assert 0.9 * found[PACK].tokens <= found[RANDOM].tokens <= found[PACK].tokens
        assert found[PACK].tokens <= 900
        near = related(told, question)
        own = question.task.task_id.removeprefix("use-")
        assert (own in near) is (question.relation in {"depends", "affects"})
        told_so = f"builds on: {', '.join(near)}.\n" if near else ""
        assert told_so in found[EVERYTHING].text
        heads.add(
            found[EVERYTHING].text.partition("The next task builds on")[0].partition(anchors)[0]
        )
    assert len(heads) == 1  # what a server reads once


@pytest.mark.anyio
async def test_what_is_drawn_at_random_does_not_depend_on_the_task() -> None:
    told = story(7)
    hydrate = await hydrated(told)
    hits = 0
    for question in told.questions:
        found = await contexts(hydrate, Estimating(), told, question, 900)
        hits += named(question.fact.value, found[RANDOM].text)

    assert hits < 20  # about one in ten is to be expected


def test_values_of_a_kind_include_rejected_ones() -> None:
    told = story(7)
    kinds = by_kind([q.fact for q in told.questions])

    assert {len(values) for values in kinds.values()} == {SUBJECTS_PER_KIND + 2}
