"""The deliberation as a pure function: (state, input) -> (state, commands).

An input that changes nothing (a repeated result, a stale deadline, anything after the end) gives
the same state back and no commands. Every other input raises the version by one and is published
in exactly one event, so that folding the events gives the state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fleet_core.domain import events
from fleet_core.domain.codec import to_data
from fleet_core.domain.commands import CancelJobs, Command, GetPack, Publish, SubmitJobs
from fleet_core.domain.conclude import conclude
from fleet_core.domain.decision import Decision
from fleet_core.domain.deliberation import (
    FINAL,
    Deliberation,
    Ended,
    JobRecord,
    Phase,
    Step,
    deliberation_id,
)
from fleet_core.domain.drafts import JobDraft, StepDraft
from fleet_core.domain.events import Event
from fleet_core.domain.evolve import evolve
from fleet_core.domain.inputs import (
    Cancel,
    Due,
    Extend,
    Input,
    PackReady,
    PackRefused,
    ResultArrived,
    Start,
)
from fleet_core.domain.job import AgentJob, AgentResult, Failure, JobKey, ModelCall, job_id
from fleet_core.domain.lease import Slice
from fleet_core.domain.model_call import estimate_prompt
from fleet_core.domain.ranking import Ranking


@dataclass(frozen=True, slots=True)
class Strategy:
    """The pure strategies a deliberation is reduced with."""

    next_step: Callable[[Deliberation], StepDraft | None]
    rank: Callable[[Deliberation], Ranking]


@dataclass(frozen=True, slots=True)
class Reduction:
    """A new state and what it calls for; `changed` is false where the input was ignored."""

    state: Deliberation
    commands: tuple[Command, ...] = ()
    changed: bool = True


@dataclass(frozen=True, slots=True)
class _Turn:
    """A state on its way through one reduction: the last subject set carries the input."""

    state: Deliberation
    subject: str = events.ADVANCED
    commands: tuple[Command, ...] = ()


def reduce(state: Deliberation | None, given: Input, strategy: Strategy) -> Reduction:
    """Reduce one input.

    Raises:
        ValueError: anything but `Start` where there is no state yet.
    """
    if isinstance(given, Start):
        return _published(_start(given), given) if state is None else Reduction(state, (), False)
    if state is None:
        raise ValueError(f"{type(given).__name__} before Start")
    if state.phase in FINAL:
        return Reduction(state, (), changed=False)
    turn = _turn(state, given, strategy)
    return _published(turn, given) if turn is not None else Reduction(state, (), changed=False)


def _turn(state: Deliberation, given: Input, strategy: Strategy) -> _Turn | None:
    match given:
        case PackReady() if state.phase is Phase.PENDING:
            running = evolve(state, phase=Phase.RUNNING, pack=given.pack)
            return _advance(_Turn(running), given.now_ms, strategy)
        case PackRefused() if state.phase is Phase.PENDING:
            return _fail(_Turn(state), given.failure, given.now_ms)
        case ResultArrived():
            return _result(state, given, strategy)
        case Due():
            return _due(state, given.now_ms, strategy)
        case Cancel():
            failure = Failure("cancelled", given.reason)
            return _end(_Turn(state), Phase.CANCELLED, failure, given.now_ms)
        case Extend():
            lease = state.lease
            raised = evolve(
                lease,
                tokens=lease.tokens + max(0, given.tokens),
                # 0 is money without a limit; more of that stays without one.
                micro_usd=lease.micro_usd and lease.micro_usd + max(0, given.micro_usd),
                deadline_ms=max(lease.deadline_ms, given.deadline_ms),
            )
            return None if raised == lease else _Turn(evolve(state, lease=raised))
    return None


def _start(given: Start) -> _Turn:
    identity = deliberation_id(
        given.plan_id, given.task, given.council, given.protocol, given.attempt
    )
    state = Deliberation(
        deliberation_id=identity,
        plan_id=given.plan_id,
        story=given.story,
        attempt=given.attempt,
        task=given.task,
        council=given.council,
        protocol=given.protocol,
        lease=given.lease,
        started_ms=given.now_ms,
        version=0,
        known_tasks=given.known_tasks,
    )
    return _Turn(state, events.STARTED, (GetPack(),))


def _result(state: Deliberation, given: ResultArrived, strategy: Strategy) -> _Turn | None:
    settled = _settle(state, given.result)
    if settled is None:
        return None
    if given.now_ms >= settled.lease.deadline_ms:
        # The jobs' deadline is the lease's: which of the two is told first must not matter.
        return _out_of_time(settled, given.now_ms, strategy)
    turn = _Turn(settled)
    if settled.phase is Phase.PROVISIONAL:
        return turn if settled.outstanding else _finalize(turn, given.now_ms, strategy)
    step = settled.open_step
    if step is None or not (step.all_ended or _quorate(settled, step, given.now_ms)):
        return turn
    return _advance(_Turn(_close(settled, given.now_ms)), given.now_ms, strategy)


def _settle(state: Deliberation, result: AgentResult) -> Deliberation | None:
    """The state with a job ended and its slice settled; None where there is nothing to settle."""
    for step in state.steps:
        for index, job in enumerate(step.jobs):
            if job.job_id != result.job_id:
                continue
            if job.ended is not None:
                return None
            ended = Ended(
                result.outcome,
                result.text,
                result.finish,
                result.evidence,
                result.usage,
                result.duration_ms,
                result.failure,
                late=bool(step.closed_ms),
            )
            jobs = (*step.jobs[:index], evolve(job, ended=ended), *step.jobs[index + 1 :])
            return evolve(
                state,
                lease=state.lease.settle(job.slice, result.usage),
                steps=_with_step(state, evolve(step, jobs=jobs)),
            )
    return None


def _with_step(state: Deliberation, step: Step) -> tuple[Step, ...]:
    return (*state.steps[: step.number - 1], step, *state.steps[step.number :])


def _due(state: Deliberation, now_ms: int, strategy: Strategy) -> _Turn | None:
    if now_ms >= state.lease.deadline_ms:
        return _out_of_time(state, now_ms, strategy)
    step = state.open_step
    if step is None or not _quorate(state, step, now_ms):
        return None
    return _advance(_Turn(_close(state, now_ms)), now_ms, strategy)


def _quorate(state: Deliberation, step: Step, now_ms: int) -> bool:
    """Whether a step's deadline has come and more than the quorum has answered."""
    return now_ms >= step.deadline_ms and step.answered > state.protocol.quorum * len(step.jobs)


def _out_of_time(state: Deliberation, now_ms: int, strategy: Strategy) -> _Turn:
    """The lease's deadline: the deliberation ends with what it has."""
    if state.phase is Phase.PENDING:
        failure = Failure("deadline", "the deadline came before the context pack")
        return _fail(_Turn(state), failure, now_ms)
    late = len(state.unanswered)
    noted = _close(state, now_ms)
    if late:
        noted = _note(noted, f"the deadline came with {late} jobs unanswered")
    elif state.phase is Phase.RUNNING and strategy.next_step(noted) is not None:
        noted = _note(noted, "the deadline came before the next step")
    if state.phase is Phase.PROVISIONAL:
        return _finalize(_Turn(noted), now_ms, strategy)
    verdict = conclude(noted, strategy.rank(noted), now_ms)
    if isinstance(verdict, Failure):
        return _fail(_Turn(noted), verdict, now_ms)
    return _decide(_Turn(noted), verdict, now_ms)


def _advance(turn: _Turn, now_ms: int, strategy: Strategy) -> _Turn:
    """Open the next step that the lease covers, or conclude."""
    state = turn.state
    draft = strategy.next_step(state)
    # A step of no jobs would wait for nobody until the deadline.
    if draft is not None and draft.jobs:
        jobs = _jobs(state, draft)
        if state.lease.covers(tuple(job.slice for job, _ in jobs)):
            return _open(turn, draft, jobs, now_ms)
        wanted = sum(job.slice.tokens for job, _ in jobs)
        said = f"the lease did not cover step {draft.name!r}: {wanted} tokens wanted"
        state = _note(evolve(state, exhausted=True), f"{said}, {state.lease.free_tokens} free")
        draft = strategy.next_step(state)
        if draft and draft.jobs and not any(isinstance(p.work, ModelCall) for p in draft.jobs):
            return _open(evolve(turn, state=state), draft, _jobs(state, draft), now_ms)
        turn = evolve(turn, state=state)
    return _conclude(turn, now_ms, strategy)


def _jobs(state: Deliberation, draft: StepDraft) -> list[tuple[AgentJob, JobRecord]]:
    """The jobs of a step, with room to repeat calls that are cut if the lease has it for all."""
    shares = tuple(_slice(part, state.lease.deadline_ms) for part in draft.jobs)
    roomy = tuple(share.repeatable() for share in shares)
    if state.lease.covers(roomy):
        shares = roomy
    return [_job(state, draft, part, share) for part, share in zip(draft.jobs, shares, strict=True)]


def _job(
    state: Deliberation, draft: StepDraft, part: JobDraft, share: Slice
) -> tuple[AgentJob, JobRecord]:
    key = JobKey(draft.round, draft.name, part.agent.number, part.sample)
    identity = job_id(state.deliberation_id, key, part.work)
    job = AgentJob(
        identity,
        state.deliberation_id,
        state.plan_id,
        state.story,
        state.task.task_id,
        state.token,
        part.agent.agent_id,
        state.task.role,
        key,
        part.work,
        share,
    )
    return job, JobRecord(identity, part.agent.agent_id, key, share, part.target, part.shown)


def _slice(part: JobDraft, deadline_ms: int) -> Slice:
    if not isinstance(part.work, ModelCall):
        return Slice(deadline_ms=deadline_ms)
    request = part.work.request
    prompt, answer = estimate_prompt(request.messages), request.sampling.max_tokens
    return Slice(prompt, answer, part.work.price.of(prompt, answer), deadline_ms)


def _open(
    turn: _Turn, draft: StepDraft, jobs: list[tuple[AgentJob, JobRecord]], now_ms: int
) -> _Turn:
    state = turn.state
    lease = state.lease
    for job, _ in jobs:
        lease = lease.reserve(job.slice)
    step = Step(
        len(state.steps) + 1,
        draft.round,
        draft.name,
        now_ms,
        min(now_ms + state.protocol.step_ms, lease.deadline_ms),
        tuple(record for _, record in jobs),
    )
    submit = SubmitJobs(step.number, tuple(job for job, _ in jobs))
    opened = evolve(state, lease=lease, steps=(*state.steps, step))
    return evolve(turn, state=opened, commands=(*turn.commands, submit))


def _close(state: Deliberation, now_ms: int) -> Deliberation:
    step = state.open_step
    if step is None:
        return state
    if not step.all_ended:
        missing = len(step.jobs) - sum(job.ended is not None for job in step.jobs)
        said = f"step {step.name!r} closed at its deadline without {missing} of {len(step.jobs)}"
        state = _note(state, f"{said} answers")
    return evolve(state, steps=_with_step(state, evolve(step, closed_ms=now_ms)))


def _conclude(turn: _Turn, now_ms: int, strategy: Strategy) -> _Turn:
    state = turn.state
    verdict = conclude(state, strategy.rank(state), now_ms)
    if not state.outstanding:
        if isinstance(verdict, Failure):
            return _fail(turn, verdict, now_ms)
        return _decide(turn, verdict, now_ms)
    if isinstance(verdict, Failure):
        return evolve(turn, state=evolve(state, phase=Phase.PROVISIONAL))
    provisional = evolve(state, phase=Phase.PROVISIONAL, decision=verdict)
    return evolve(turn, state=provisional, subject=events.DECIDED)


def _finalize(turn: _Turn, now_ms: int, strategy: Strategy) -> _Turn:
    """Rank once more with the late answers; this is the one time a decision can be amended."""
    state = turn.state
    verdict = conclude(state, strategy.rank(state), now_ms)
    if isinstance(verdict, Failure):
        return _fail(turn, verdict, now_ms)
    before = state.decision
    if before is None:
        return _decide(turn, verdict, now_ms)
    amended = before.decision_id != verdict.decision_id
    subject = events.AMENDED if amended else events.ADVANCED
    state = evolve(state, amended=amended)
    return _ended(evolve(turn, state=state, subject=subject), Phase.DECIDED, verdict, now_ms)


def _decide(turn: _Turn, decision: Decision, now_ms: int) -> _Turn:
    return _ended(evolve(turn, subject=events.DECIDED), Phase.DECIDED, decision, now_ms)


def _fail(turn: _Turn, failure: Failure, now_ms: int) -> _Turn:
    return _end(turn, Phase.FAILED, failure, now_ms)


def _end(turn: _Turn, phase: Phase, failure: Failure, now_ms: int) -> _Turn:
    state = evolve(turn.state, failure=failure, decision=None)
    subject = events.FAILED if phase is Phase.FAILED else events.CANCELLED
    return _ended(evolve(turn, state=state, subject=subject), phase, None, now_ms)


def _ended(turn: _Turn, phase: Phase, decision: Decision | None, now_ms: int) -> _Turn:
    state = evolve(turn.state, phase=phase, decision=decision, ended_ms=now_ms)
    left = tuple(job.job_id for job in state.outstanding)
    commands = (*turn.commands, CancelJobs(left)) if left else turn.commands
    return evolve(turn, state=state, commands=commands)


def _note(state: Deliberation, text: str) -> Deliberation:
    return evolve(state, notes=(*state.notes, text))


def _published(turn: _Turn, given: Input) -> Reduction:
    """The reduction with its version raised and its events: the input's own, then `completed`."""
    state = evolve(turn.state, version=turn.state.version + 1)
    data = {**about(state), "input": to_data(given)}
    if turn.subject in (events.DECIDED, events.AMENDED):
        data["decision"] = to_data(state.decision)
        data["provisional"] = state.phase is Phase.PROVISIONAL
    published = [_event(state, turn.subject, data, given.now_ms)]
    if state.phase in FINAL:
        published.append(_event(state, events.COMPLETED, outcome(state), given.now_ms))
    return Reduction(state, (*(Publish(event) for event in published), *turn.commands))


def about(state: Deliberation) -> dict[str, object]:
    """What every event of a deliberation says of it."""
    return {
        "deliberation_id": state.deliberation_id,
        "plan_id": state.plan_id,
        "task_id": state.task.task_id,
        "attempt": state.attempt,
        "phase": state.phase.value,
    }


def outcome(state: Deliberation) -> dict[str, object]:
    """The payload of `completed`: all that Hydrate and the plan need to act on."""
    return {
        **about(state),
        "story": state.story,
        "decision": to_data(state.decision) if state.decision is not None else None,
        "failure": to_data(state.failure) if state.failure is not None else None,
    }


def _event(state: Deliberation, subject: str, data: dict[str, object], now_ms: int) -> Event:
    kind = subject.rsplit(".", 1)[-1]
    identity = f"{state.deliberation_id}:{state.version}:{kind}"
    return Event(identity, subject, data, now_ms, state.version)
