"""Deliberate faults in the core, each a small edit, to prove that the simulation bites."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import fleet_core


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault.

    Attributes:
        name: what is done wrong.
        file: within the core package.
        old, new: `old` stands in the file exactly once, and is replaced by `new`.
        found_by: invariants of which at least one has to be the one that breaks.
        seeds: a short range in which at least one finds it.
    """

    name: str
    file: str
    old: str
    new: str
    found_by: frozenset[str]
    seeds: tuple[int, int]


class Outdated(Exception):
    """The core has changed, and the edit of a mutant does not fit it any more."""


def mutated_core(mutant: Mutant, into: Path) -> None:
    """Copy the core package into a folder, with the mutant's fault.

    Raises:
        Outdated: says what to do.
    """
    source = Path(fleet_core.__file__).parent
    shutil.copytree(source, into / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    path = into / source.name / mutant.file
    text = path.read_text(encoding="utf-8")
    found = text.count(mutant.old)
    if found != 1:
        raise Outdated(
            f"the edit of mutant {mutant.name!r} fits {mutant.file} {found} times, not once: the "
            "core has changed; update the patch in fleet_features/sim/mutants.py so that it is the "
            "same fault again, and see by `python -m fleet_features.sim.hunt` which seeds find it"
        )
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


MUTANTS = (
    Mutant(
        "acknowledgement before the save",
        "usecases/deliberate.py",
        """\
        try:
            given = [w.given for w in batch if w.given is not None]
""",
        """\
        for waiting in batch:
            if waiting.delivery is not None:
                await done(waiting.delivery)
        try:
            given = [w.given for w in batch if w.given is not None]
""",
        frozenset({"stored before acknowledged"}),
        (1, 6),
    ),
    Mutant(
        "a command before the save",
        "usecases/deliberate.py",
        """\
                after = await self._save(before, state, commands)
""",
        """\
                for command in commands:
                    if isinstance(command, SubmitJobs):
                        await self._executor.submit(command.jobs)
                after = await self._save(before, state, commands)
""",
        frozenset({"saved first"}),
        (1, 6),
    ),
    Mutant(
        "compare-and-set ignored",
        "usecases/saved.py",
        "Put(key, value, before.version if before is not None else 0)",
        "Put(key, value)",
        frozenset({"history", "fold"}),
        (1, 6),
    ),
    Mutant(
        "job id without the step",
        "domain/job.py",
        "place = (key.round, key.step, key.agent, key.sample)",
        "place = (key.round, key.agent, key.sample)",
        frozenset({"one id, one job"}),
        (1, 20),
    ),
    Mutant(
        "job id without the sample",
        "domain/job.py",
        "place = (key.round, key.step, key.agent, key.sample)",
        "place = (key.round, key.step, key.agent)",
        frozenset({"one id, one job"}),
        (1, 15),
    ),
    Mutant(
        "lease slice settled twice",
        "domain/reducer.py",
        """\
            if job.ended is not None:
                return None
""",
        """\
            if job.ended is not None:
                return evolve(state, lease=state.lease.settle(job.slice, result.usage))
""",
        frozenset({"lease"}),
        (1, 20),
    ),
    Mutant(
        "claim not renewed",
        "usecases/execute.py",
        "held = [h for h in self._held.values() if h.claimed]",
        "held: list[_Held] = []",
        frozenset({"claims hold"}),
        (1, 60),
    ),
    Mutant(
        "journal written after publishing",
        "usecases/stores.py",
        """\
        await self.state.commit(writes)
        await self.bus.publish(events)
""",
        """\
        await self.bus.publish(events)
        await self.state.commit(writes)
""",
        frozenset({"journal first"}),
        (1, 6),
    ),
    Mutant(
        "`completed` published twice",
        "domain/reducer.py",
        """\
    if state.phase in FINAL:
        published.append(""",
        """\
    if state.phase in FINAL or state.phase is Phase.PROVISIONAL:
        published.append(""",
        frozenset({"completed once"}),
        (1, 20),
    ),
    Mutant(
        "late answer reopens a step",
        "domain/reducer.py",
        "steps=_with_step(state, evolve(step, jobs=jobs)),",
        "steps=_with_step(state, evolve(step, jobs=jobs, closed_ms=0)),",
        frozenset({"closed stays closed"}),
        (1, 20),
    ),
    Mutant(
        "a task started on `decided` instead of `context.updated`",
        "domain/plan_run.py",
        "if all(n.state is TaskState.DECIDED and n.recorded for n in needs):",
        "if all(n.state is TaskState.DECIDED for n in needs):",
        frozenset({"context first"}),
        (1, 20),
    ),
    Mutant(
        "a due event dropped",
        "usecases/deliberate.py",
        "self._nudge(identity, Due(now))",
        "self._nudge(identity)",
        frozenset({"deadlines count"}),
        (1, 40),
    ),
)
