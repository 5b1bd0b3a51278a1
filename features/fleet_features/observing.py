"""What the fleet did, read from its log and from its stores."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fleet_core.domain.codec import from_data
from fleet_core.domain.events import Event
from fleet_core.domain.job import AgentJob, AgentResult, ModelCall
from fleet_core.domain.job_header import format_header
from fleet_core.domain.plan_run import PlanRun
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.executor import Executor
from fleet_core.ports.state_store import Document, StateStore
from fleet_core.usecases import keys
from fleet_core.usecases.documents import load_object
from fleet_core.usecases.payload import opened

HOSTILE = "hostile:"
"""What the ids of events begin with that nobody of ours would publish."""
JOBS, JOURNAL, PLANS = "jobs/", "journal/", "plan/"


async def events_of(bus: EventBus, subjects: Sequence[str]) -> list[Event]:
    """The log so far."""
    return [stored.event async for stored in bus.replay(subjects)]


async def opened_log(bus: EventBus, blobs: BlobStore, *, but: str = "\0") -> list[Event]:
    """The log so far, its payloads fetched where they travelled by reference.

    Events whose id begins with `but` are left out.
    """
    log = [event for event in await events_of(bus, [">"]) if not event.event_id.startswith(but)]
    return [replace(event, data=await opened(event.data, blobs)) for event in log]


async def ends_of(state: StateStore) -> dict[str, tuple[str, str, str, int, bool]]:
    """Of every task its state, winner, standing, attempt and whether it is recorded."""
    tasks = {}
    for document in await _all(state, PLANS):
        for task in load_object(PlanRun, document).tasks:
            standing = task.standing.value if task.standing is not None else ""
            end = (task.state.value, task.winner, standing, task.attempt, task.recorded)
            tasks[task.task_id] = end
    return tasks


async def issued(state: StateStore, prefix: str = JOBS) -> list[AgentJob]:
    """Every job as issued, of all deliberations."""
    return [
        from_data(AgentJob, data, source=document.key)
        for document in await _all(state, prefix)
        for data in json.loads(document.value)
    ]


async def journaled(state: StateStore) -> dict[str, AgentResult]:
    """Every journaled result by job id."""
    results = [
        from_data(AgentResult, json.loads(document.value), source=document.key)
        for document in await _all(state, JOURNAL)
    ]
    return {result.job_id: result for result in results}


async def prompts_of(state: StateStore, deliberation_id: str) -> list[str]:
    """What agents were asked, from the jobs as issued."""
    return [
        "\n".join(message.text for message in job.work.request.messages)
        for job in await issued(state, keys.jobs_prefix(deliberation_id))
        if isinstance(job.work, ModelCall)
    ]


async def calls_by_place(state: StateStore) -> Counter[str]:
    """Calls that journaled jobs took, by their header; those that still run are not in it."""
    results = await journaled(state)
    counts: Counter[str] = Counter()
    for job in await issued(state):
        result = results.get(job.job_id)
        if isinstance(job.work, ModelCall) and result is not None:
            counts[format_header(job)] += result.usage.attempts
    return counts


async def kept_calls(state: StateStore) -> set[str]:
    """Headers of the calls whose answers are journaled."""
    results = await journaled(state)
    return {
        format_header(job)
        for job in await issued(state)
        if isinstance(job.work, ModelCall) and job.job_id in results
    }


async def executor_says(
    executor: Executor, deliberation_id: str
) -> tuple[frozenset[tuple[str, str, str]], str]:
    """Id, phase and outcome of the jobs that it knows of a deliberation; and its runner's name."""
    jobs = [
        (job.job_id, job.phase, job.outcome.value if job.outcome is not None else "")
        for job in await executor.status(deliberation_id)
    ]
    return frozenset(jobs), (await executor.stats()).runner


async def _all(state: StateStore, prefix: str) -> list[Document]:
    found: list[Document] = []
    after = prefix
    while documents := await state.scan(prefix, after=after):
        found += documents
        after = documents[-1].key
    return found
