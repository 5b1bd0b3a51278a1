"""Plans, tasks, councils and decisions as messages, and back; a round trip changes nothing.

As in `_jobs`: ValueError for what a message cannot hold, DecodeError for what it may not hold.
"""

from __future__ import annotations

from fleet_adapters.grpc._jobs import (
    evidence_message,
    evidence_of,
    price_message,
    price_of,
    sampling_message,
    sampling_of,
)
from fleet_adapters.grpc._open_parts import Names, json_object, json_text
from fleet_adapters.grpc.proto.fleet.domain.v1 import (
    council_pb2,
    decision_pb2,
    model_pb2,
    plan_pb2,
)
from fleet_core.domain.council import Agent, Council
from fleet_core.domain.decision import Alternative, Decision, DecisionStanding, Dissent
from fleet_core.domain.model_call import Binding
from fleet_core.domain.plan import CheckSpec, Plan, Task
from fleet_core.domain.plan_run import TaskState
from fleet_core.errors import InputError

TASK_STATES = Names(TaskState, plan_pb2.TaskState, "TASK_STATE")
_STANDINGS = Names(DecisionStanding, decision_pb2.DecisionStanding, "DECISION_STANDING")


def task_message(task: Task) -> plan_pb2.Task:
    """The message of a task."""
    return plan_pb2.Task(
        task_id=task.task_id,
        title=task.title,
        role=task.role,
        description=task.description,
        acceptance=task.acceptance,
        constraints=task.constraints,
        depends_on=task.depends_on,
        checks=[
            plan_pb2.CheckSpec(
                kind=check.kind,
                required=check.required,
                spec_json=json_text(check.spec) if check.spec else "",
            )
            for check in task.checks
        ],
        protocol=task.protocol,
        phase=task.phase,
    )


def task_of(message: plan_pb2.Task, at: str) -> Task:
    """The task in a message; nothing of it is checked but the specs of its checks."""
    return Task(
        message.task_id,
        message.title,
        message.role,
        message.description,
        tuple(message.acceptance),
        tuple(message.constraints),
        tuple(message.depends_on),
        tuple(
            CheckSpec(c.kind, c.required, json_object(c.spec_json, f"{at}.checks[{i}].spec_json"))
            for i, c in enumerate(message.checks)
        ),
        message.protocol,
        message.phase,
    )


def plan_message(plan: Plan) -> plan_pb2.Plan:
    """The message of a plan."""
    return plan_pb2.Plan(
        story=plan.story,
        title=plan.title,
        tasks=[task_message(task) for task in plan.tasks],
        description=plan.description,
    )


def plan_of(message: plan_pb2.Plan, at: str) -> Plan:
    """The plan in a message; nothing of it is checked but the specs of its checks."""
    tasks = tuple(task_of(task, f"{at}.tasks[{i}]") for i, task in enumerate(message.tasks))
    return Plan(message.story, message.title, tasks, message.description)


def binding_message(binding: Binding) -> model_pb2.Binding:
    """The message of a binding."""
    return model_pb2.Binding(
        name=binding.name,
        model=binding.model,
        structured=binding.structured,
        price=price_message(binding.price),
    )


def agent_message(agent: Agent) -> council_pb2.Agent:
    """The message of an agent."""
    return council_pb2.Agent(
        agent_id=agent.agent_id,
        number=agent.number,
        role=agent.role,
        persona=agent.persona,
        binding=binding_message(agent.binding),
        sampling=sampling_message(agent.sampling),
    )


def agent_of(message: council_pb2.Agent) -> Agent:
    """The agent in a message."""
    binding = message.binding
    return Agent(
        message.agent_id,
        message.number,
        message.role,
        message.persona,
        Binding(binding.name, binding.model, binding.structured, price_of(binding.price)),
        sampling_of(message.sampling),
    )


def council_message(council: Council) -> council_pb2.Council:
    """The message of a council."""
    return council_pb2.Council(
        role=council.role, agents=[agent_message(agent) for agent in council.agents]
    )


def council_of(message: council_pb2.Council) -> Council:
    """The council in a message.

    Raises:
        InputError: it has no agents, repeated ones, or gaps between its seats.
    """
    return Council(message.role, tuple(agent_of(agent) for agent in message.agents))


def decision_message(decision: Decision) -> decision_pb2.Decision:
    """The message of a decision."""
    return decision_pb2.Decision(
        decision_id=decision.decision_id,
        deliberation_id=decision.deliberation_id,
        story=decision.story,
        plan_id=decision.plan_id,
        task_id=decision.task_id,
        role=decision.role,
        title=decision.title,
        rationale=decision.rationale,
        text=decision.text,
        winner=decision.winner,
        standing=_STANDINGS[decision.standing],
        rule=decision.rule,
        decided_ms=decision.decided_ms,
        evidence=[evidence_message(one) for one in decision.evidence],
        alternatives=[
            decision_pb2.Alternative(
                agents=one.agents, title=one.title, reason=one.reason, text_hash=one.text_hash
            )
            for one in decision.alternatives
        ],
        dissent=[
            decision_pb2.Dissent(by=one.by, preferred=one.preferred, reason=one.reason)
            for one in decision.dissent
        ],
        affects=decision.affects,
        incomplete=decision.incomplete,
        cited=decision.cited,
    )


def decision_of(message: decision_pb2.Decision, at: str) -> Decision:
    """The decision in a message that holds its text.

    Raises:
        InputError: its text travels by reference.
    """
    if message.text_ref:
        raise InputError("is a reference", "send the text itself", field=f"{at}.text_ref")
    return Decision(
        message.decision_id,
        message.deliberation_id,
        message.story,
        message.plan_id,
        message.task_id,
        message.role,
        message.title,
        message.rationale,
        message.text,
        message.winner,
        _STANDINGS.read(message.standing, f"{at}.standing"),
        message.rule,
        message.decided_ms,
        tuple(evidence_of(e, f"{at}.evidence[{i}]") for i, e in enumerate(message.evidence)),
        tuple(
            Alternative(tuple(one.agents), one.title, one.reason, one.text_hash)
            for one in message.alternatives
        ),
        tuple(Dissent(one.by, tuple(one.preferred), one.reason) for one in message.dissent),
        tuple(message.affects),
        tuple(message.incomplete),
        tuple(message.cited),
    )
