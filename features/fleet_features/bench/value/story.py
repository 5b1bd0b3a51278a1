"""The made-up project: a story with plans, decisions by all five roles, and questions on them.

One story of eight earlier plans and sixteen plans that are under way. Each of the eighty facts is
fixed by exactly one decision; each is asked for by exactly one later task, which is related to that
decision in one of four ways, in stated shares:

- `depends` (32): the task depends on it within its plan, eight of them at distance two;
- `affects` (16): it is of an earlier plan and another role, and says that it affects the task;
- `sibling` (20): it is of an earlier plan and of the task's own role;
- `timeline` (12): it is of an earlier plan and another role; nothing relates the two but the story,
  and its title names the value.

The value stands in the proposal's text; in half of the decisions also in the title, and in half of
them also in the rationale, drawn apart. Twenty decisions name a value that was rejected. Twenty
more decisions are about something else. For each question there are seven decisions of the same
kind about other components, and some about the same component of other kinds.

Everything is drawn from the seed; the same seed gives the same story on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from fleet_core.domain.context import PlanRecord
from fleet_core.domain.council import DEFAULT_ROLES
from fleet_core.domain.decision import Decision, DecisionStanding
from fleet_core.domain.evolve import evolve
from fleet_core.domain.ids import content_id
from fleet_core.domain.plan import CheckSpec, Plan, Task, plan_id
from fleet_features.bench.value.asides import Aside, asides
from fleet_features.bench.value.facts import Fact, facts

STORY = "harbour"
TITLE = "Harbour, a platform for the daily work of a freight port"
ABOUT = "Services for ships, cargo and staff; each component is a small service of its own."
SHARES = {"depends": 32, "affects": 16, "sibling": 20, "timeline": 12}
RELATIONS = tuple(SHARES)
_EARLIER, _UNDER_WAY = 8, 16
_EARLIER_ASIDES, _ASIDES = 12, 20
_START_MS, _STEP_MS, _APART_MS = 1_760_000_000_000, 3_600_000, 1_000_000_000


@dataclass(frozen=True, slots=True)
class Question:
    """A task whose right answer is the value of one earlier decision.

    Attributes:
        fact: what the answer must name.
        relation: one of `RELATIONS`.
        distance: of the dependency; 0 for other relations.
        record: the plan that the task is of; all earlier decisions were recorded before it.
        decision_id: of the one decision that holds the value.
    """

    fact: Fact
    relation: str
    distance: int
    record: PlanRecord
    task: Task
    decision_id: str


@dataclass(frozen=True, slots=True)
class Story:
    """What goes into the graph, in the order of recording, and what is asked."""

    seed: int
    plans: tuple[PlanRecord, ...]
    decisions: tuple[tuple[Decision, int], ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question before it has a place; `role` is the asking task's."""

    fact: Fact
    relation: str
    role: str

    @property
    def task_id(self) -> str:
        return f"use-{_name(self.fact)}"


@dataclass(frozen=True, slots=True)
class _Settled:
    """A task that is decided."""

    task: Task
    title: str
    rationale: str
    text: str
    affects: tuple[str, ...] = ()


def story(seed: int) -> Story:
    """The project of that seed."""
    rng = random.Random(seed)
    asked = _asked(rng, facts(rng))
    others = [_aside(one) for one in asides(rng, _ASIDES)]
    earlier = [_settled(rng, a) for a in asked if a.relation != "depends"]
    earlier += others[:_EARLIER_ASIDES]
    rng.shuffle(earlier)
    records: list[PlanRecord] = []
    decisions: list[tuple[Decision, int]] = []
    for number in range(_EARLIER):
        _add(records, decisions, earlier[number::_EARLIER], (), number)
    between = others[_EARLIER_ASIDES:]
    for number in range(_UNDER_WAY):
        group = [
            a
            for relation in RELATIONS
            for a in [x for x in asked if x.relation == relation][number::_UNDER_WAY]
        ]
        settled, tasks = _under_way(rng, group, between[number : number + 1])
        _add(records, decisions, settled, tasks, _EARLIER)
    questions = [_question(a, records, decisions) for a in asked]
    rng.shuffle(questions)
    return Story(seed, tuple(records), tuple(decisions), tuple(questions))


def _asked(rng: random.Random, known: Sequence[Fact]) -> list[_Asked]:
    relations = [relation for relation, count in SHARES.items() for _ in range(count)]
    asked = []
    for fact, relation in zip(known, relations, strict=True):
        others = [role for role in DEFAULT_ROLES if role != fact.kind.role]
        role = fact.kind.role if relation == "sibling" else rng.choice(others)
        asked.append(_Asked(fact, relation, role))
    return asked


def _under_way(
    rng: random.Random, group: Sequence[_Asked], between: Sequence[_Settled]
) -> tuple[list[_Settled], list[Task]]:
    """A plan's settled tasks, and those that are asked for.

    Where there is a task `between`, the second asks for what was decided before that one.
    """
    first, second = (_settled(rng, a) for a in group[:2])
    near, far = (first.task.task_id,), (second.task.task_id,)
    settled = [first, second]
    for one in between:
        settled.append(evolve(one, task=evolve(one.task, depends_on=far)))
        far = (one.task.task_id,)
    needs = [near, far, near, *((),) * (len(group) - 3)]
    return settled, [_asking(a, on) for a, on in zip(group, needs, strict=True)]


def _asking(asked: _Asked, depends_on: tuple[str, ...]) -> Task:
    kind, component = asked.fact.kind, asked.fact.component
    function = f"{component}_{kind.name}()"
    what = kind.asked.format(c=component)
    return Task(
        asked.task_id,
        f"Write {function}",
        asked.role,
        f"{kind.purpose} Write a Python function {function} that returns {what}, "
        "as it was decided in this project.",
        (f"{function} takes no arguments and returns {kind.returns}",),
        ("Return the value itself, read from nowhere",),
        depends_on,
        (CheckSpec("python"),),
    )


def _settled(rng: random.Random, asked: _Asked) -> _Settled:
    fact, kind = asked.fact, asked.fact.kind
    told = asked.relation == "timeline" or rng.random() < 0.5
    named = rng.random() < 0.5
    texts = {"c": fact.component, "v": fact.value, "w": fact.rejected}
    reasons = [kind.reason]
    reasons += [f"In short: {kind.told.format(**texts)}."] if named else []
    reasons += [kind.instead.format(**texts)] if fact.rejected else []
    title = (kind.told if told else kind.plain).format(**texts)
    task = Task(_name(fact), f"Settle {kind.asked.format(c=fact.component)}", kind.role)
    affects = (asked.task_id,) if asked.relation == "affects" else ()
    text = kind.text.format(**texts)
    return _Settled(task, title[0].upper() + title[1:], " ".join(reasons), text, affects)


def _aside(one: Aside) -> _Settled:
    return _Settled(Task(one.task_id, one.title, one.role), one.title, one.rationale, one.text)


def _add(
    records: list[PlanRecord],
    decisions: list[tuple[Decision, int]],
    settled: Sequence[_Settled],
    tasks: Sequence[Task],
    number: int,
) -> None:
    """Add a plan, and its decisions as they were recorded, an hour apart."""
    begun = _START_MS + number * _APART_MS
    plan = Plan(STORY, TITLE, (*(s.task for s in settled), *tasks), ABOUT)
    identity = plan_id(plan)
    records.append(PlanRecord(identity, plan, begun))
    for count, one in enumerate(settled, 1):
        at = begun + count * _STEP_MS
        decisions.append((_decision(identity, one, at), at))


def _decision(identity: str, one: _Settled, at: int) -> Decision:
    deliberation = content_id("deliberation", [identity, one.task.task_id])
    return Decision(
        decision_id=content_id("decision", [deliberation, one.text]),
        deliberation_id=deliberation,
        story=STORY,
        plan_id=identity,
        task_id=one.task.task_id,
        role=one.task.role,
        title=one.title,
        rationale=one.rationale,
        text=one.text,
        winner=f"{one.task.role.lower()}-1",
        standing=DecisionStanding.VERIFIED,
        rule="evidence",
        decided_ms=at,
        affects=one.affects,
    )


def _question(
    asked: _Asked, records: Sequence[PlanRecord], decisions: Sequence[tuple[Decision, int]]
) -> Question:
    record = next(r for r in records if any(t.task_id == asked.task_id for t in r.plan.tasks))
    task = record.plan.task(asked.task_id)
    (key,) = (d for d, _ in decisions if d.task_id == _name(asked.fact))
    near = {t.task_id: distance for distance, t in record.plan.ancestors(asked.task_id)}
    relation, distance = asked.relation, near.get(key.task_id, 0)
    return Question(asked.fact, relation, distance, record, task, key.decision_id)


def _name(fact: Fact) -> str:
    return f"{fact.component}-{fact.kind.name}"
