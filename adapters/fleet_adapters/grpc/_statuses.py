"""What an executor says of its jobs and its runner, as messages, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fleet_adapters.grpc._jobs import OUTCOMES
from fleet_adapters.grpc.proto.fleet.domain.v1.job_pb2 import OUTCOME_UNSPECIFIED
from fleet_adapters.grpc.proto.fleet.executor.v1 import executor_pb2 as pb
from fleet_core.errors import DecodeError
from fleet_core.ports.executor import ClusterStats, JobStatus

_PHASES: Mapping[str, pb.JobPhase.ValueType] = {
    "accepted": pb.JOB_PHASE_ACCEPTED,
    "running": pb.JOB_PHASE_RUNNING,
    "done": pb.JOB_PHASE_DONE,
}
_PHASE_NAMES = {number: name for name, number in _PHASES.items()}


def status_message(status: JobStatus) -> pb.JobStatus:
    """The message of a job's status."""
    return pb.JobStatus(
        job_id=status.job_id,
        deliberation_id=status.deliberation_id,
        agent_id=status.agent_id,
        phase=_PHASES[status.phase],
        outcome=OUTCOMES[status.outcome] if status.outcome is not None else OUTCOME_UNSPECIFIED,
    )


def statuses_of(messages: Iterable[pb.JobStatus]) -> list[JobStatus]:
    """The statuses in messages."""
    found = []
    for index, message in enumerate(messages):
        at = f"jobs[{index}]"
        phase = _PHASE_NAMES.get(message.phase)
        if phase is None:
            raise DecodeError(f"{message.phase} has no meaning", field=f"{at}.phase")
        outcome = OUTCOMES.read(message.outcome, f"{at}.outcome") if message.outcome else None
        found.append(
            JobStatus(message.job_id, message.deliberation_id, message.agent_id, phase, outcome)
        )
    return found


def stats_message(stats: ClusterStats) -> pb.GetClusterStatsResponse:
    """The message of a runner's figures."""
    return pb.GetClusterStatsResponse(
        runner=stats.runner,
        slots=stats.slots,
        running=stats.running,
        waiting=stats.waiting,
        nodes=stats.nodes,
    )


def stats_of(message: pb.GetClusterStatsResponse) -> ClusterStats:
    """The figures in a message."""
    return ClusterStats(
        message.runner, message.slots, message.running, message.waiting, message.nodes
    )
