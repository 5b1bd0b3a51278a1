"""Finds plans and deliberations that are kept, by what a person types for them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

from fleet_bootstraps.cli.planned import planned
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.plans import builtin_plans
from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.plan_run import PlanRun
from fleet_core.errors import InputError, NotFound
from fleet_core.ports.state_store import Document, StateStore
from fleet_core.usecases import keys, saved
from fleet_core.usecases.documents import load_object
from fleet_plugins.api import Capability, PortName
from fleet_plugins.rebind import named_bindings
from fleet_plugins.settings import close_matches

_ID = re.compile(r"[0-9a-f]{4,32}")
_PLAN = keys.plan("")
_SHOWN = 12


def require_home(opened: Session) -> None:
    """Refuse to look where nothing was ever kept.

    Raises:
        NotFound: says where it looked.
    """
    if not opened.profile.durable:
        raise NotFound(
            f"profile {opened.profile.name} keeps nothing after a run",
            "name a durable one: --profile embedded",
        )
    if not _on_servers(opened) and not opened.home.is_dir():
        raise NotFound(
            f"nothing is kept in {opened.home}", "run a plan first, or name the folder by --home"
        )


def _on_servers(opened: Session) -> bool:
    """Whether the documents are kept elsewhere than on this host."""
    bound = opened.profile.bindings[PortName.STATE]
    return all(
        Capability.SHARED_NETWORK in one.adapter.capabilities
        for one in named_bindings(bound).values()
    )


def is_plan(name: str) -> bool:
    """Whether a name is that of a plan, and no id."""
    return name in builtin_plans() or Path(name).exists()


async def plan_runs(state: StateStore) -> AsyncIterator[PlanRun]:
    """Every plan's run, as saved."""
    async for document in _all(state, _PLAN):
        yield load_object(PlanRun, document)


async def find_plan(opened: Session, state: StateStore, name: str) -> PlanRun:
    """The run of a plan: a file, a built-in name, or the beginning of a plan's id.

    Raises:
        PlanError: the file is no plan.
        NotFound: it was never run.
        InputError: several ids begin like that.
    """
    identity = await _plan_id(opened, state, name)
    (document,) = await state.get([keys.plan(identity)])
    if document is None:
        raise NotFound(f"plan {name} was never run here", "`fleet runs` lists what is kept")
    return load_object(PlanRun, document)


async def _plan_id(opened: Session, state: StateStore, name: str) -> str:
    if _ID.fullmatch(name) and not is_plan(name):
        return (await _unique(state, _PLAN, name, "plan")).key.removeprefix(_PLAN)
    return planned(opened, name).plan_id


async def find_deliberation(state: StateStore, name: str) -> Deliberation:
    """A deliberation by its id or the beginning of it.

    Raises:
        NotFound: there is none.
        InputError: it is no id, or several begin like that.
    """
    if not _ID.fullmatch(name):
        raise InputError(
            f"{name!r} is no deliberation's id",
            "give 4 to 32 of its hex digits; or a task's id, with --plan",
        )
    document = await _unique(state, keys.DELIBERATION, name, "deliberation")
    return saved.read(document).state


async def find_task(opened: Session, state: StateStore, plan: str, task: str) -> Deliberation:
    """The latest deliberation of a task of a plan.

    Raises:
        NotFound: the plan has no such task, or it has not begun.
    """
    run = await find_plan(opened, state, plan)
    ids = [t.task_id for t in run.tasks]
    if task not in ids:
        raise NotFound(f"the plan has no task {task!r}", close_matches(task, ids))
    identity = run.task(task).deliberation_id
    found = await state.get([keys.deliberation(identity)]) if identity else [None]
    if found[0] is None:
        state_now = run.task(task).state.value
        raise NotFound(f"task {task} has not been deliberated: it is {state_now}")
    return saved.read(found[0]).state


async def _unique(state: StateStore, kind: str, prefix: str, label: str) -> Document:
    found = await state.scan(f"{kind}{prefix}", limit=4)
    if not found:
        raise NotFound(f"there is no {label} {prefix}", "`fleet runs` lists what is kept")
    if len(found) > 1:
        some = ", ".join(d.key.removeprefix(kind)[: max(_SHOWN, len(prefix) + 2)] for d in found)
        raise InputError(f"several {label}s begin with {prefix}: {some}", "give more digits")
    return found[0]


async def _all(state: StateStore, prefix: str) -> AsyncIterator[Document]:
    after = prefix
    while documents := await state.scan(prefix, after=after):
        for document in documents:
            yield document
        after = documents[-1].key
