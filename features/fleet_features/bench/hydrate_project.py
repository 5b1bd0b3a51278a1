"""A synthetic project of any size: stories with plans, tasks, decisions and their evidence.

The same number of nodes gives the same project. Every story has its share of the plans, so a larger
project has longer stories, not more of them: what a pack is looked for in grows a hundredfold. They
are few enough for those of the smallest project to hold more than a pack asks for, so that the same
number of rows is fetched from each.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from fleet_core.domain.context import PlanRecord
from fleet_core.domain.decision import Alternative, Decision, DecisionStanding
from fleet_core.domain.evolve import evolve
from fleet_core.domain.history import DecisionRecord, Record
from fleet_core.domain.ids import text_hash
from fleet_core.domain.job import Evidence, Standing
from fleet_core.domain.plan import Plan, Task, plan_id
from fleet_core.domain.told import as_recorded

STORIES = 10
TASKS = 10
PLAN_NODES = 1 + TASKS + 2 * TASKS  # itself, its tasks, a decision and its evidence of each
ROLES = ("DEV", "QA", "ARCHITECT", "DEVOPS", "DATA")
HOUR_MS = 3_600_000
BEGIN_MS = 1_700_000_000_000
_WORDS = tuple(
    word
    for line in (
        "order invoice customer ledger shipment price discount warehouse basket payment refund",
        "account session queue index cache schema migration endpoint worker batch stream event",
        "snapshot cursor partition retry timeout deadline budget limit window offset replica",
        "region shard tenant quota",
    )
    for word in line.split()
)
_VERBS = tuple(
    word
    for line in (
        "validate merge split publish store load compare round sort group replace archive",
        "restore schedule count encode parse stream throttle reconcile",
    )
    for word in line.split()
)
_REASONS = (
    "so that a {0} can be {1}d twice without harm",
    "because the {0} is read far more often than it is written",
    "since every {0} already carries its {2}",
    "which keeps the {0} out of the {2} transaction",
    "and leaves the {2} as it was for callers of version one",
)


@dataclass(frozen=True, slots=True)
class Place:
    """A task of a project, and the number of its plan."""

    number: int
    plan_id: str
    task_id: str


def plans_of(nodes: int) -> int:
    """How many plans a project of about so many nodes has, at least one for each story."""
    return max(STORIES, round((nodes - STORIES) / PLAN_NODES))


def story_name(number: int) -> str:
    """The name of a project's story."""
    return f"story-{number:02d}"


def records(nodes: int, story: int, told_by: str) -> Iterator[Record]:
    """A story's records, in the order in which they were made.

    Args:
        nodes: of the whole project.
        story: its number.
        told_by: the redactor that the texts count as looked through by; there is no secret in them.
    """
    for number in range(story, plans_of(nodes), STORIES):
        record = plan_record(number)
        yield record
        drawn = random.Random(number)
        for place, task in enumerate(record.plan.tasks):
            made = _decision(record, task, place, drawn)
            recorded_ms = record.approved_ms + (place + 1) * 60_000
            yield DecisionRecord(made, recorded_ms, evolve(as_recorded(made), by=told_by))


def plan_record(number: int) -> PlanRecord:
    """A plan of the project, by its number; approved an hour after the one before."""
    drawn = random.Random(f"plan {number}")
    tasks = tuple(_task(place, drawn) for place in range(TASKS))
    title = f"{_phrase(drawn).capitalize()} ({number})"
    plan = Plan(story_name(number % STORIES), title, tasks, _sentences(drawn, 3))
    return PlanRecord(plan_id(plan), plan, BEGIN_MS + number * HOUR_MS)


def places(nodes: int, count: int, seed: str, *, last: int = 0) -> list[Place]:
    """Tasks of the project, each once as long as there are enough.

    Args:
        nodes: of the project.
        count: how many.
        seed: of the draw.
        last: of each story's last plans, so many; 0 for all of them.
    """
    plans = plans_of(nodes)
    first = plans - min(last * STORIES, plans) if last else 0
    known = range(first * TASKS, plans * TASKS)
    found = []
    for one in random.Random(seed).sample(known, min(count, len(known))):
        number = one // TASKS
        found.append(Place(number, plan_record(number).plan_id, f"T{one % TASKS}"))
    return found


def _task(place: int, drawn: random.Random) -> Task:
    waits = {drawn.randrange(place) for _ in range(drawn.randint(1, 2))} if place else set()
    return Task(
        f"T{place}",
        _phrase(drawn).capitalize(),
        ROLES[place % len(ROLES)],
        _sentences(drawn, 3),
        tuple(_sentences(drawn, 1) for _ in range(3)),
        tuple(_sentences(drawn, 1) for _ in range(2)),
        tuple(f"T{other}" for other in sorted(waits)),
    )


def _decision(record: PlanRecord, task: Task, place: int, drawn: random.Random) -> Decision:
    text = f"{_sentences(drawn, 5)}\n\n{_code(drawn)}\n\n{_sentences(drawn, 4)}"
    other = f"{task.role.lower()}-4"
    later = [f"T{drawn.randrange(TASKS)}" for _ in range(drawn.randint(0, 2))]
    deliberation = text_hash(f"{record.plan_id} {task.task_id}")
    return Decision(
        text_hash(deliberation),
        deliberation,
        record.plan.story,
        record.plan_id,
        task.task_id,
        task.role,
        _phrase(drawn).capitalize(),
        _sentences(drawn, 2),
        text,
        f"{task.role.lower()}-{drawn.randint(1, 3)}",
        DecisionStanding.VERIFIED,
        "evidence",
        record.approved_ms + (place + 1) * 60_000,
        evidence=(Evidence("python", Standing.PASSED, "7 passed", _sentences(drawn, 2), 1.0),),
        alternatives=(Alternative((other,), _phrase(drawn), _sentences(drawn, 1), "0" * 64),),
        affects=tuple(dict.fromkeys(later)),
    )


def _phrase(drawn: random.Random) -> str:
    return f"{drawn.choice(_VERBS)} the {drawn.choice(_WORDS)} {drawn.choice(_WORDS)}"


def _sentences(drawn: random.Random, count: int) -> str:
    said = []
    for _ in range(count):
        reason = drawn.choice(_REASONS).format(
            drawn.choice(_WORDS), drawn.choice(_VERBS), drawn.choice(_WORDS)
        )
        said.append(f"{_phrase(drawn).capitalize()} by {drawn.choice(_WORDS)}, {reason}.")
    return " ".join(said)


def _code(drawn: random.Random) -> str:
    verb, thing, other = drawn.choice(_VERBS), drawn.choice(_WORDS), drawn.choice(_WORDS)
    return (
        f"```python\ndef {verb}_{thing}({thing}: Sequence[Row], {other}: int) -> list[Row]:\n"
        f"    # {_phrase(drawn)}\n"
        f"    kept = [row for row in {thing} if row.{other} >= {other}]\n"
        f"    return sorted(kept, key=lambda row: row.{other})\n```"
    )
