"""Plays one deliberation through its reducer, with answers from a function instead of models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from fleet_core.domain.candidates import label, versions
from fleet_core.domain.codec import from_data
from fleet_core.domain.commands import CancelJobs, Publish, SubmitJobs
from fleet_core.domain.context import ContextPack
from fleet_core.domain.council import Agent, Council, agent_id
from fleet_core.domain.deliberation import FINAL, Deliberation, JobRecord, ProtocolSpec
from fleet_core.domain.events import COMPLETED, Event
from fleet_core.domain.inputs import Input, PackReady, ResultArrived, Start
from fleet_core.domain.job import (
    AgentJob,
    AgentResult,
    CheckRequest,
    Evidence,
    Failure,
    ModelCall,
    Outcome,
    Standing,
)
from fleet_core.domain.lease import Lease
from fleet_core.domain.model_call import (
    Binding,
    Message,
    ModelRequest,
    Price,
    Sampling,
    Speaker,
    Usage,
)
from fleet_core.domain.plan import CheckSpec, Task
from fleet_core.domain.reducer import Reduction, Strategy, reduce

T0 = 1_000_000
"""When a played deliberation starts, UTC milliseconds."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer is asked for.

    Attributes:
        shown: of a critique or a judgement, the candidates' texts in the order of their labels.
        own: of a revision, the texts that this seat has proposed so far, oldest first.
    """

    job: AgentJob
    shown: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


Answer = Callable[[Asked], AgentResult | None]
"""The result of a job; None where it never answers."""
Arrange = Callable[[list[AgentResult]], Iterable[AgentResult]]
"""The order in which a step's results arrive; they may be repeated, and left out."""


@dataclass(slots=True)
class Play:
    """A deliberation under way, and all that it has called for.

    Attributes:
        log: its events in order.
        jobs: every job submitted, in order, by id.
        cancelled: ids of jobs whose cancelling was called for.
    """

    strategy: Strategy
    state: Deliberation | None = None
    now_ms: int = T0
    log: list[Event] = field(default_factory=list)
    jobs: dict[str, AgentJob] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)

    def feed(self, given: Input) -> Reduction:
        """Reduce one input and note what it calls for."""
        reduction = reduce(self.state, given, self.strategy)
        self.state = reduction.state
        for command in reduction.commands:
            if isinstance(command, SubmitJobs):
                self.jobs |= {job.job_id: job for job in command.jobs}
            elif isinstance(command, CancelJobs):
                self.cancelled += command.job_ids
            elif isinstance(command, Publish):
                self.log.append(command.event)
        return reduction

    @property
    def now(self) -> Deliberation:
        """The state; AssertionError before it was started."""
        assert self.state is not None, "the deliberation was not started"
        return self.state

    def begin(self, start: Start) -> Play:
        """Start, with a context pack."""
        self.now_ms = start.now_ms
        self.feed(start)
        self.feed(PackReady(self.now_ms, pack_of(start)))
        return self

    def asked(self) -> list[Asked]:
        """What is outstanding, in the order of issue."""
        return [self._asked(record) for record in self.now.outstanding]

    def run(self, answer: Answer, arrange: Arrange = list) -> Play:
        """Answer step after step until it has ended, or nothing outstanding is answered.

        Time goes on by a second with each step; within a step it stands.
        """
        while self.now.phase not in FINAL:
            self.now_ms += 1000
            before = self.now.version
            given = [result for a in self.asked() if (result := answer(a)) is not None]
            for result in arrange(given):
                self.feed(ResultArrived(self.now_ms, result))
            if self.now.version == before:
                break
        return self

    def answer(self, asked: Asked, answer: Answer) -> Reduction | None:
        """Feed the answer to one job; None where it does not answer."""
        result = answer(asked)
        return self.feed(ResultArrived(self.now_ms, result)) if result is not None else None

    def _asked(self, record: JobRecord) -> Asked:
        every = versions(self.now)
        texts = {v.proposal.digest: v.proposal.text for v in every}
        line = (record.key.agent, record.key.sample)
        own = tuple(v.proposal.text for v in every if v.line == line)
        shown = tuple(texts[digest] for digest in record.shown)
        return Asked(self.jobs[record.job_id], shown, own)


def seats(role: str, number: int, *, structured: bool = True) -> Council:
    """A council of a role, each seat with a persona of its own."""
    binding = Binding(model="played", structured=structured)
    return Council(
        role,
        tuple(
            Agent(agent_id(role, n), n, role, f"Persona {n}.", binding)
            for n in range(1, number + 1)
        ),
    )


def start_with(
    council: Council,
    protocol: ProtocolSpec,
    *,
    checks: Sequence[CheckSpec] = (),
    tokens: int = 1_000_000,
    ms: int = 900_000,
    known_tasks: Sequence[str] = (),
) -> Start:
    """The start of a deliberation over a task `t1` of a plan that does not matter."""
    task = Task("t1", "A task", council.role, "Do it.", ("It is done.",), checks=tuple(checks))
    lease = Lease(tokens, T0 + ms)
    plan = "0123456789abcdef0123456789abcdef"
    return Start(T0, plan, "story", 1, task, council, protocol, lease, tuple(known_tasks))


def judge(*, structured: bool = True) -> Agent:
    """A judge in seat 0."""
    return Agent("judge", 0, "JUDGE", "", Binding(model="played", structured=structured))


def pack_of(start: Start) -> ContextPack:
    """A context pack that says the task's title."""
    text = f"# Task {start.task.task_id}: {start.task.title}\n"
    task = start.task
    return ContextPack(start.story, task.task_id, task.role, text, 1, 4400, 10, "estimate")


def replied(job: AgentJob, text: str, *, tokens: int = 2) -> AgentResult:
    """An answer; its usage is at most the job's slice."""
    used = min(tokens, job.slice.prompt_tokens), min(tokens, job.slice.answer_tokens)
    return _result(job, text=text, usage=Usage(*used, 0, 1))


def proposed(asked: Asked, text: str, **more: object) -> AgentResult:
    """A structured proposal of that text; `more` are further fields of the answer."""
    said = {"title": f"Title of {text[:20]}", "rationale": "", "solution": text, **more}
    return replied(asked.job, json.dumps(said))


def ranked(asked: Asked, best_first: Sequence[str]) -> AgentResult:
    """A structured ballot; `best_first` are texts, of which those that were shown count."""
    names = {text: label(index) for index, text in enumerate(asked.shown)}
    critiques = [
        {"label": name, "strengths": f"+{text[:20]}", "weaknesses": f"-{text[:20]}"}
        for text, name in names.items()
    ]
    ranking = [names[text] for text in best_first if text in names]
    return replied(
        asked.job, json.dumps({"critiques": critiques, "reason": "so it is", "ranking": ranking})
    )


def checked(job: AgentJob, standing: Standing, score: float | None = None) -> AgentResult:
    """A check's evidence; without a score, 1 if it passed and 0 otherwise."""
    kind = job.work.check if isinstance(job.work, CheckRequest) else "none"
    given = score if score is not None else float(standing is Standing.PASSED)
    return _result(job, evidence=Evidence(kind, standing, standing.value, score=given))


def gave_up(job: AgentJob, code: str = "model_unavailable") -> AgentResult:
    """A failed job that used nothing."""
    return _result(job, outcome=Outcome.FAILED, failure=Failure(code, "it failed"))


def _result(
    job: AgentJob,
    *,
    text: str = "",
    outcome: Outcome = Outcome.OK,
    usage: Usage = Usage(),
    evidence: Evidence | None = None,
    failure: Failure | None = None,
) -> AgentResult:
    finish = "stop" if text else ""
    return AgentResult(
        job.job_id,
        job.deliberation_id,
        job.task,
        job.key,
        outcome,
        text,
        finish,
        evidence,
        usage,
        7,
        failure,
    )


_INPUT: type[Input] = Input  # type: ignore[assignment]  # the codec takes a union as it takes a class


def folded(log: Iterable[Event], strategy: Strategy) -> Deliberation | None:
    """The state that a deliberation's event log folds to; the payloads stand inline.

    Events may come in any order and more than once; `completed` carries no input.
    """
    by_sequence = {event.sequence: event for event in log if event.subject != COMPLETED}
    state: Deliberation | None = None
    for _, event in sorted(by_sequence.items()):
        given = from_data(_INPUT, event.data["input"], source=f"event {event.event_id}")
        state = reduce(state, given, strategy).state
    return state


def timeless(state: Deliberation) -> Deliberation:
    """The state without what depends on when and in which order results came within a step."""
    steps = tuple(
        replace(
            step,
            opened_ms=0,
            closed_ms=min(step.closed_ms, 1),
            deadline_ms=0,
        )
        for step in state.steps
    )
    decision = replace(state.decision, decided_ms=0) if state.decision is not None else None
    return replace(state, steps=steps, decision=decision, ended_ms=0)


REFERENCE_CALL = ModelCall(
    ModelRequest(
        "default",
        "a-model",
        (Message(Speaker.SYSTEM, "context"), Message(Speaker.USER, "ask")),
        Sampling(seed=1),
        {"type": "object"},
    ),
    Price(1, 2),
)
"""A model call with every field set, for what needs any."""
