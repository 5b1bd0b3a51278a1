"""`fleet context`: the pack a role would be given for a task, and its ledger. Runs nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import block, emit, line, table
from fleet_bootstraps.cli.planned import planned
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.councils import configured
from fleet_bootstraps.report.data import ledger_entry
from fleet_bootstraps.services.roles import with_required
from fleet_core.domain.context import ContextPack, PackRequest
from fleet_core.domain.council import role_name
from fleet_core.domain.plan import DEFAULT_PHASE, PHASES
from fleet_core.domain.plan_run import PlanRun
from fleet_core.errors import InputError
from fleet_core.ports.hydrator import Hydrator
from fleet_core.ports.state_store import StateStore
from fleet_core.usecases import keys
from fleet_core.usecases.documents import load_object
from fleet_core.usecases.hydrate import Hydrate
from fleet_core.usecases.stores import Stores
from fleet_plugins.api import PortName
from fleet_plugins.kit.redaction import REDACTOR
from fleet_plugins.settings import close_matches

_PORTS = (PortName.BUS, PortName.STATE, PortName.BLOBS, PortName.GRAPH, PortName.MODEL)


async def context(
    opened: Session, task: str, role: str, plan: str, *, phase: str = "", as_json: bool
) -> Exit:
    """Print the pack as it would be made now."""
    given = planned(opened, plan)
    ids = [t.task_id for t in given.plan.tasks]
    if task not in ids:
        raise InputError(
            f"the plan has no task {task!r}", close_matches(task, ids), source=plan, field="TASK"
        )
    wanted = role_name(role) if role else given.plan.task(task).role
    known = configured(opened.profile)
    if wanted not in known:
        raise InputError(
            f"role {role!r} has no council", close_matches(wanted, known), field="--role"
        )
    if phase and phase not in PHASES:
        raise InputError(
            f"there is no phase {phase!r}", close_matches(phase, PHASES), field="--phase"
        )
    async with _hydrator(opened) as (hydrator, state):
        (document,) = await state.get([keys.plan(given.plan_id)])
        approved_ms = opened.context.clock()
        if document is not None:
            approved_ms = load_object(PlanRun, document).approved_ms
        request = PackRequest(
            given.plan_id,
            given.plan,
            task,
            wanted,
            approved_ms,
            opened.profile.settings.context.budget,
            phase or given.plan.task(task).phase or DEFAULT_PHASE,
        )
        pack = await hydrator.pack(request)
    _print(pack, as_json=as_json)
    return Exit.DONE


@asynccontextmanager
async def _hydrator(opened: Session) -> AsyncIterator[tuple[Hydrator, StateStore]]:
    """What makes packs, and the state: the profile's own hydrator where it asks a service.

    One that would make them in this process would record events meanwhile, which is not asked for.
    """
    asked = with_required((PortName.HYDRATOR, PortName.STATE), opened.profile.bindings)
    if PortName.GRAPH not in asked:
        async with opened.ports(*asked) as ports:
            yield ports[PortName.HYDRATOR], ports[PortName.STATE]
        return
    async with opened.ports(*_PORTS) as ports:
        bus, state, blobs = (ports[port] for port in _PORTS[:3])
        stores = Stores(bus, state, blobs, opened.context.clock)
        model = ports[PortName.MODEL]["default"]
        yield Hydrate(ports[PortName.GRAPH], model, stores, REDACTOR), state


def _print(pack: ContextPack, *, as_json: bool) -> None:
    ledger = [ledger_entry(entry) for entry in pack.ledger]
    if as_json:
        emit(
            {
                "story": pack.story,
                "task": pack.task_id,
                "role": pack.role,
                "revision": pack.revision,
                "budget": pack.budget,
                "tokens": pack.tokens,
                "share": round(pack.share, 4),
                "counted_by": pack.counted_by,
                "text": pack.text,
                "ledger": ledger,
            }
        )
        return
    block(pack.text)
    line()
    line(
        f"{pack.tokens} of {pack.budget} tokens, {pack.share:.0%} (counted by {pack.counted_by}), "
        f"revision {pack.revision} of story {pack.story}"
    )
    head = ("item", "kind", "tokens", "included", "reason")
    table(head, ([row[k] for k in head] for row in ledger))
