"""From what a caller asks of the context service to what the use cases take; or what is wrong."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fleet_adapters.grpc._by_reference import fetched
from fleet_adapters.grpc._open_parts import required
from fleet_adapters.grpc._records import decision_of, plan_of
from fleet_adapters.grpc.proto.fleet.context.v1 import context_pb2 as pb
from fleet_core.domain.context import PackRequest, PlanRecord
from fleet_core.domain.council import role_name
from fleet_core.domain.decision import Decision
from fleet_core.domain.ids import TASK_ID
from fleet_core.domain.plan import DEFAULT_PHASE, Plan, validated
from fleet_core.domain.scope import allowed
from fleet_core.errors import DecodeError, InputError, NotFound, PlanError
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.recent import Recent
from fleet_core.usecases.councils import Councils
from fleet_plugins.settings import close_matches

_SHOWN = 80
_KEPT_TASKS = 5_000


@dataclass(frozen=True, slots=True)
class PackWish:
    """A pack as it is asked for, whatever the role.

    Attributes:
        phase: empty for the task's own.
        plan: of that id, where it was sent along.
    """

    plan_id: str
    task_id: str
    phase: str
    budget: int
    plan: PlanRecord | None = None


class KnownPlans:
    """Recorded plans by id; those asked for lately are kept, since a recorded plan never changes.

    Args:
        graph: knows them.
    """

    def __init__(self, graph: ContextGraph) -> None:
        self._graph = graph
        self._kept: Recent[str, PlanRecord] = Recent(_KEPT_TASKS)

    async def plan(self, plan_id: str) -> PlanRecord | None:
        """The plan of an id; None where it is not recorded yet."""
        record = self._kept.get(plan_id)
        if record is None:
            record = await self._graph.plan(plan_id)
            if record is not None:
                self._kept.put(plan_id, record, len(record.plan.tasks))
        return record


async def wish_of(
    request: pb.GetContextRequest | pb.RehydrateSessionRequest, blobs: BlobStore
) -> PackWish:
    """The wish in a request.

    Raises:
        InputError: names the field that is wrong.
    """
    identity = required(request.plan_id, "plan_id")
    record = None
    if request.HasField("plan"):
        plan, at = await given_plan(request.plan, blobs)
        well_formed(plan, {task.role for task in plan.tasks}, at)
        record = PlanRecord(identity, plan, approved_ms(request.plan))
    task_id = required(request.task_id, "task_id")
    return PackWish(identity, task_id, request.phase, request.budget, record)


async def requests_of(
    wish: PackWish, roles: Sequence[tuple[str, str]], plans: KnownPlans, councils: Councils
) -> list[PackRequest]:
    """What the hydrator is asked for, one for each role.

    Args:
        wish: what is asked for.
        roles: each with the name of its field; an empty one is the task's own. Those of the plan's
            tasks are known, whether or not they still have a council.
        plans: know the plan, where it was not sent along.
        councils: whose roles are known too.

    Raises:
        NotFound: there is no such plan, or no such task in it.
        InputError: an unknown role or phase; the closest known ones are offered.
    """
    record = wish.plan or await plans.plan(wish.plan_id)
    if record is None:
        raise NotFound(
            f"plan {wish.plan_id[:_SHOWN]!r} is not recorded",
            "send it along, or record it by UpdateContext",
        )
    plan = record.plan
    tasks = {task.task_id: task for task in plan.tasks}
    task = tasks.get(wish.task_id)
    if task is None:
        raise NotFound(
            f"plan {wish.plan_id[:_SHOWN]!r} has no task {wish.task_id[:_SHOWN]!r}",
            close_matches(wish.task_id, list(tasks)),
        )
    phase = wish.phase or task.phase or DEFAULT_PHASE
    known = {role_name(one.role) for one in plan.tasks}
    requests = []
    for field, role in roles:
        name = role_name(role) or role_name(task.role)
        if name not in known:
            known |= set(await councils.all())
        if name not in known:
            raise InputError(
                f"there is no role {role[:_SHOWN]!r}", close_matches(name, known), field=field
            )
        allowed(phase, name)
        requests.append(
            PackRequest(
                record.plan_id, plan, wish.task_id, name, record.approved_ms, wish.budget, phase
            )
        )
    return requests


async def given_plan(message: pb.ApprovedPlan, blobs: BlobStore) -> tuple[Plan, str]:
    """The plan of an approval, and the name of its field.

    Raises:
        DecodeError: there is none, or it is none.
    """
    form = message.WhichOneof("form")
    if form is None:
        raise DecodeError("is missing", "plan or plan_ref", field="plan.form")
    at = f"plan.{form}"
    if form == "plan":
        return plan_of(message.plan, at), at
    return await fetched(Plan, message.plan_ref, blobs, at), at


def approved_ms(message: pb.ApprovedPlan) -> int:
    """When it was approved; InputError where that is not said."""
    if message.approved_ms <= 0:
        raise InputError(
            "is not above 0", "give the time in UTC milliseconds", field="plan.approved_ms"
        )
    return message.approved_ms


def well_formed(plan: Plan, roles: Collection[str], at: str) -> None:
    """Refuse a plan that does not hold together, or names a role that is none of `roles`.

    Raises:
        PlanError: its field is that of a request that holds the plan at `at`.
    """
    try:
        validated(plan, roles=roles, source="")
    except PlanError as error:
        field = error.field.removesuffix(".id") + ".task_id" * error.field.endswith(".id")
        raise PlanError(error.message, error.hint, field=f"{at}.{field}") from None


async def given_decision(message: pb.RecordDecisionRequest, blobs: BlobStore) -> Decision:
    """The decision of a request, once its ids can be kept.

    Raises:
        DecodeError: there is none, or names the field that is wrong.
    """
    form = message.WhichOneof("form")
    if form is None:
        raise DecodeError("is missing", "decision or decision_ref", field="form")
    if form == "decision":
        decision = decision_of(message.decision, form)
    else:
        decision = await fetched(Decision, message.decision_ref, blobs, form)
    for name in ("decision_id", "deliberation_id", "story", "plan_id", "role"):
        required(getattr(decision, name), f"{form}.{name}")
    if not TASK_ID.fullmatch(decision.task_id):
        raise DecodeError("should be 1 to 64 letters, digits, _ and -", field=f"{form}.task_id")
    return decision
