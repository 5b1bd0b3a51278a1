"""Decisions of the made-up project that nobody asks about."""

from __future__ import annotations

import random
from dataclasses import dataclass

from fleet_core.domain.council import DEFAULT_ROLES
from fleet_features.bench.value.facts import COMPONENTS


@dataclass(frozen=True, slots=True)
class Aside:
    """A decision about something else; `task_id` is its task's."""

    task_id: str
    role: str
    title: str
    rationale: str
    text: str


_FORMS = {
    "DEV": (
        (
            "Split the rules of {c} from its input and output",
            "Rules and database calls were mixed, so that no rule could be tested alone.",
            (
                "`{c}/rules.py` holds plain functions, `{c}/shell.py` calls them:\n\n"
                "```python\ndef admitted(order, now):\n    return order.closes_at > now\n```"
            ),
        ),
        (
            "Errors of {c} say what to do about them",
            "People on call asked the authors at night what a message meant.",
            (
                "Every error has a hint beside its message:\n\n"
                '```python\nraise Refused("the order is closed", hint="open it again first")\n```'
            ),
        ),
    ),
    "QA": (
        (
            "Tests of {c} make their own records",
            "A shared fixture grew until nobody dared to change it.",
            (
                "Builders with defaults in `{c}/tests/builders.py`, one call a record:\n\n"
                "```python\norder = an_order(closed=True)\n```"
            ),
        ),
        (
            "No test of {c} sleeps",
            "Sleeping tests failed on busy machines and were run again until they passed.",
            (
                "Wait for the condition, with a limit:\n\n"
                "```python\nawait until(lambda: store.closed(order), limit_s=5)\n```"
            ),
        ),
    ),
    "ARCHITECT": (
        (
            "{c} owns its records and nobody else writes them",
            "Two services wrote the same rows and undid each other's changes.",
            (
                "Others ask the service; "
                "the database user of each service sees its own schema only:\n\n"
                "```sql\nREVOKE ALL ON SCHEMA {c} FROM PUBLIC;\n```"
            ),
        ),
        (
            "{c} is asked again without harm",
            "Retries after a broken connection made second records.",
            (
                "Each request has an id of the caller's; "
                "a known id gives the first answer again:\n\n"
                "```python\nif (known := await seen.get(request.id)) is not None:\n"
                "    return known\n```"
            ),
        ),
    ),
    "DEVOPS": (
        (
            "{c} is rolled out one host at a time",
            "A faulty release took all hosts down at once.",
            (
                "The next host is begun once the last one is ready, "
                "see `deploy/{c}/rollout.yaml`:\n\n"
                "```yaml\nstrategy:\n  type: RollingUpdate\n  maxUnavailable: one\n```"
            ),
        ),
        (
            "Readiness of {c} names what is missing",
            "A red light without a reason cost an hour each time.",
            (
                "The answer lists every dependency that is away:\n\n"
                '```json\n{{"ready": false, "missing": ["database"]}}\n```'
            ),
        ),
    ),
    "DATA": (
        (
            "{c} records are never changed, only followed by others",
            "Corrections overwrote what had been true, and audits failed.",
            (
                "A correction is a record that names the one it replaces:\n\n"
                "```sql\nALTER TABLE {c}_records ADD COLUMN replaces bigint;\n```"
            ),
        ),
        (
            "Amounts of {c} are whole numbers of cents",
            "Sums of floating-point amounts differed between reports.",
            (
                "Cents in the database, formatted at the edge only:\n\n"
                "```python\ndef shown(cents):\n"
                "    return f'{{cents // 100}}.{{cents % 100:02}}'\n```"
            ),
        ),
    ),
}


def asides(rng: random.Random, count: int) -> list[Aside]:
    """That many, of all roles in turn; each about another component or of another form."""
    drawn = {role: [(c, f) for c in COMPONENTS for f in (0, 1)] for role in DEFAULT_ROLES}
    for pairs in drawn.values():
        rng.shuffle(pairs)
    made = []
    for number in range(count):
        role = DEFAULT_ROLES[number % len(DEFAULT_ROLES)]
        component, form = drawn[role].pop()
        title, rationale, text = (part.format(c=component) for part in _FORMS[role][form])
        task_id = f"{component}-{role.lower()}-{form + 1}"
        made.append(Aside(task_id, role, title[0].upper() + title[1:], rationale, text))
    return made
