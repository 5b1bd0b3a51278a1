"""What is sent is what arrives, whatever it is; what may not be sent is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_adapters.grpc._jobs import job_message, job_of, result_message, result_of
from fleet_adapters.grpc._records import (
    agent_of,
    council_message,
    council_of,
    decision_message,
    decision_of,
    task_message,
    task_of,
)
from fleet_adapters.grpc._statuses import (
    stats_message,
    stats_of,
    status_message,
    statuses_of,
)
from fleet_adapters.grpc._submitting import requests, submitted_jobs
from fleet_adapters.grpc.proto.fleet.domain.v1 import council_pb2, decision_pb2, job_pb2, plan_pb2
from fleet_adapters.grpc.proto.fleet.executor.v1 import executor_pb2
from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_core.domain.council import Agent, Council
from fleet_core.domain.decision import Alternative, Decision, DecisionStanding, Dissent
from fleet_core.domain.events import MAX_INLINE_BYTES
from fleet_core.domain.ids import task_token
from fleet_core.domain.job import (
    AgentJob,
    AgentResult,
    CheckRequest,
    Evidence,
    Failure,
    JobKey,
    ModelCall,
    Outcome,
    Standing,
)
from fleet_core.domain.lease import Slice
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
from fleet_core.errors import DecodeError
from fleet_core.ports.executor import ClusterStats, JobStatus
from fleet_core.testing.jobs import a_job
from fleet_plugins.kit.json_bytes import dump_wire

pytestmark = pytest.mark.anyio

WORDS = st.text(st.characters(codec="utf-8"), max_size=40)
ANY_TEXT = st.text(max_size=40)  # lone surrogates too
NUMBERS = st.integers(-(2**63), 2**63 - 1)
ANY_NUMBERS = st.integers(-(2**80), 2**80)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | ANY_NUMBERS | FLOATS | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(ANY_TEXT, JSON, max_size=3)
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True)


def tuples(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(of, max_size=3).map(tuple)


def samplings(numbers: st.SearchStrategy[int], text: st.SearchStrategy[str]) -> Any:
    return st.builds(Sampling, FLOATS, FLOATS, numbers, st.none() | numbers, tuples(text))


def prices(numbers: st.SearchStrategy[int]) -> Any:
    return st.builds(Price, numbers, numbers)


def jobs(text: st.SearchStrategy[str], numbers: st.SearchStrategy[int]) -> Any:
    asked = st.builds(
        ModelRequest,
        text.filter(bool),
        text,
        tuples(st.builds(Message, st.sampled_from(Speaker), text)),
        samplings(numbers, text),
        st.none() | OBJECTS,
    )
    work = st.builds(ModelCall, asked, prices(numbers)) | st.builds(
        CheckRequest, text.filter(bool), text, OBJECTS
    )
    made = st.builds(
        AgentJob,
        IDS,
        IDS,
        IDS,
        text,
        IDS,
        st.just(""),
        text.filter(bool),
        text,
        st.builds(JobKey, numbers, text, numbers, numbers),
        work,
        st.builds(Slice, numbers, numbers, numbers, numbers, numbers),
    )
    return made.map(lambda job: replace(job, task=task_token(job.plan_id, job.task_id)))


EVIDENCE = st.builds(Evidence, WORDS, st.sampled_from(Standing), WORDS, WORDS, FLOATS)
RESULTS = st.builds(
    AgentResult,
    WORDS,
    WORDS,
    WORDS,
    st.builds(JobKey, NUMBERS, WORDS, NUMBERS, NUMBERS),
    st.sampled_from(Outcome),
    WORDS,
    WORDS,
    st.none() | EVIDENCE,
    st.builds(Usage, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    NUMBERS,
    st.none() | st.builds(Failure, WORDS, WORDS),
)
TASKS = st.builds(
    Task,
    WORDS,
    WORDS,
    WORDS,
    WORDS,
    tuples(WORDS),
    tuples(WORDS),
    tuples(WORDS),
    tuples(st.builds(CheckSpec, WORDS, st.booleans(), OBJECTS)),
    WORDS,
)
AGENTS = st.builds(
    Agent,
    WORDS,
    NUMBERS,
    WORDS,
    WORDS,
    st.builds(Binding, WORDS, WORDS, st.booleans(), prices(NUMBERS)),
    samplings(NUMBERS, WORDS),
)
DECISIONS = st.builds(
    Decision,
    *[WORDS] * 10,
    st.sampled_from(DecisionStanding),
    WORDS,
    NUMBERS,
    tuples(EVIDENCE),
    tuples(st.builds(Alternative, tuples(WORDS), WORDS, WORDS, WORDS)),
    tuples(st.builds(Dissent, WORDS, tuples(WORDS), WORDS)),
    tuples(WORDS),
    tuples(WORDS),
)


def councils(agents: list[Agent]) -> Council:
    seated = [replace(a, agent_id=f"{n}{a.agent_id}", number=n) for n, a in enumerate(agents, 1)]
    return Council("DEV", tuple(seated))


@given(jobs(WORDS, NUMBERS))
def test_a_job_arrives_as_it_was_sent(job: AgentJob) -> None:
    raw = job_message(job).SerializeToString()
    assert job_of(job_pb2.AgentJob.FromString(raw), "job") == job


@given(RESULTS)
def test_a_result_arrives_as_it_was_sent(result: AgentResult) -> None:
    raw = result_message(result).SerializeToString()
    assert result_of(job_pb2.AgentResult.FromString(raw), "result") == result


@given(TASKS)
def test_a_task_arrives_as_it_was_sent(task: Task) -> None:
    raw = task_message(task).SerializeToString()
    assert task_of(plan_pb2.Task.FromString(raw), "task") == task


@given(st.lists(AGENTS, min_size=1, max_size=3).map(councils))
def test_a_council_arrives_as_it_was_sent(council: Council) -> None:
    raw = council_message(council).SerializeToString()
    assert council_of(council_pb2.Council.FromString(raw)) == council


@given(DECISIONS)
def test_a_decision_arrives_as_it_was_sent(decision: Decision) -> None:
    raw = decision_message(decision).SerializeToString()
    assert decision_of(decision_pb2.Decision.FromString(raw), "decision") == decision


@given(
    st.builds(
        JobStatus,
        WORDS,
        WORDS,
        WORDS,
        st.sampled_from(["accepted", "running", "done"]),
        st.none() | st.sampled_from(Outcome),
    ),
    st.builds(ClusterStats, WORDS, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
)
def test_statuses_and_stats_arrive_as_they_were_sent(
    status: JobStatus, stats: ClusterStats
) -> None:
    raw = status_message(status).SerializeToString()
    assert statuses_of([executor_pb2.JobStatus.FromString(raw)]) == [status]
    assert stats_of(stats_message(stats)) == stats


@settings(max_examples=200)
@given(st.lists(jobs(ANY_TEXT, ANY_NUMBERS), min_size=1, max_size=4))
async def test_jobs_that_no_message_can_hold_arrive_by_reference(sent: list[AgentJob]) -> None:
    blobs = InMemoryBlobStore()
    arrived = [
        job
        async for request in requests(sent, blobs)
        for job in await submitted_jobs(
            executor_pb2.ExecuteDeliberationRequest.FromString(request.SerializeToString()), blobs
        )
    ]
    # As bytes: 1 and 1.0 are equal, and have different hashes.
    assert [dump_wire(repr(j)) for j in arrived] == [dump_wire(repr(j)) for j in sent]


async def test_large_jobs_go_by_reference_and_many_in_several_requests() -> None:
    blobs = InMemoryBlobStore()
    small = replace(a_job(1), story="s" * (MAX_INLINE_BYTES - 20_000))
    large = replace(a_job(2), story="l" * MAX_INLINE_BYTES)
    found = [request async for request in requests([large, *[small] * 20], blobs)]
    assert [job.WhichOneof("form") for request in found for job in request.jobs] == [
        "job_ref",
        *["job"] * 20,
    ]
    assert len(found) == 2
    assert max(request.ByteSize() for request in found) < 4 * 1024 * 1024


def broken(change: Callable[[job_pb2.AgentJob], object]) -> job_pb2.AgentJob:
    message = job_message(a_job())
    change(message)
    return message


def check(message: job_pb2.AgentJob, **fields: str) -> None:
    message.check_request.CopyFrom(job_pb2.CheckRequest(**fields))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda m: m.ClearField("job_id"), "job.job_id"),
        (lambda m: setattr(m, "job_id", "../x"), "job.job_id"),
        (lambda m: setattr(m, "deliberation_id", "a/b"), "job.deliberation_id"),
        (lambda m: setattr(m, "plan_id", "a.b"), "job.plan_id"),
        (lambda m: setattr(m, "task_id", "a b"), "job.task_id"),
        (lambda m: setattr(m, "task", "*"), "job.task"),
        (lambda m: m.ClearField("agent_id"), "job.agent_id"),
        (lambda m: m.ClearField("key"), "job.key"),
        (lambda m: m.ClearField("slice"), "job.slice"),
        (lambda m: m.ClearField("model_call"), "job.work"),
        (lambda m: m.model_call.ClearField("request"), "job.model_call.request.binding"),
        (lambda m: m.model_call.request.ClearField("sampling"), "job.model_call.request.sampling"),
        (
            lambda m: setattr(m.model_call.request, "schema_json", "[1]"),
            "job.model_call.request.schema_json",
        ),
        (
            lambda m: setattr(m.model_call.request, "schema_json", '{"a": NaN}'),
            "job.model_call.request.schema_json",
        ),
        (
            lambda m: setattr(m.model_call.request, "schema_json", "[" * 200_000),
            "job.model_call.request.schema_json",
        ),
        (
            lambda m: m.model_call.request.messages.add(text="x"),
            "job.model_call.request.messages[2].speaker",
        ),
        (
            lambda m: m.model_call.request.messages.add(speaker=77, text="x"),
            "job.model_call.request.messages[2].speaker",
        ),
        (lambda m: check(m, proposal="x"), "job.check_request.check"),
        (lambda m: check(m, check="x", spec_json="{"), "job.check_request.spec_json"),
    ],
)
def test_a_malformed_job_is_refused_by_its_field(
    change: Callable[[job_pb2.AgentJob], object], field: str
) -> None:
    with pytest.raises(DecodeError) as refused:
        job_of(broken(change), "job")
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"{", "jobs[0].job_ref"),
        (b"[]", "jobs[0].job_ref"),
        (b"\xff", "jobs[0].job_ref"),
        (b'{"job_id": 1}', "jobs[0].job_ref.job_id"),
        (None, "jobs[0].job_ref"),
    ],
)
async def test_a_malformed_reference_is_refused_by_its_field(raw: bytes | None, field: str) -> None:
    blobs = InMemoryBlobStore()
    ref = "sha256:" + "0" * 64 if raw is None else await blobs.put(raw)
    request = executor_pb2.ExecuteDeliberationRequest(jobs=[executor_pb2.SubmittedJob(job_ref=ref)])
    with pytest.raises(DecodeError) as refused:
        await submitted_jobs(request, blobs)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("jobs_", "field"), [([], "jobs"), ([executor_pb2.SubmittedJob()], "jobs[0]")]
)
async def test_a_request_without_jobs_is_refused(
    jobs_: list[executor_pb2.SubmittedJob], field: str
) -> None:
    with pytest.raises(DecodeError) as refused:
        await submitted_jobs(
            executor_pb2.ExecuteDeliberationRequest(jobs=jobs_), InMemoryBlobStore()
        )
    assert refused.value.field == field


def test_an_agent_keeps_a_seed_of_zero() -> None:
    agent = Agent("a", 1, "DEV", sampling=Sampling(seed=0))
    (message,) = council_message(Council("DEV", (agent,))).agents
    assert agent_of(message).sampling.seed == 0
