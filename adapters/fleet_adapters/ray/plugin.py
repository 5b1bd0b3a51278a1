"""The `ray` runner's registration."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from fleet_core.ports.runner import Runner
from fleet_plugins.api import Adapter, AdapterPlugin, Capability, FactoryContext, PortName


@dataclass(frozen=True, slots=True)
class RaySettings:
    """Settings of the ray runner.

    Attributes:
        address: `host:port` of a cluster's head (what `ray start --head --port` was given); empty
            starts a Ray of its own on this machine, which ends with the runner.
        token: the name of the secret that holds the cluster's token; empty leaves it to Ray's own
            `RAY_AUTH_TOKEN`, `RAY_AUTH_TOKEN_PATH` or token file.
        actors: worker processes, spread by Ray over the cluster's nodes.
        calls: model calls at once of each worker; more wait their turn.
        checks: checks at once of each worker, apart from its calls.
        cpus: processors that each worker asks Ray for.
        resources: of Ray's custom resources, what each worker asks for.
        stream_ms: what agents say is sent on after so long at most, together.
        retries: a job whose worker ended under it is run again so often, within its deadline.
        start_timeout_ms: for the head to answer and the first worker to be ready.
        head_timeout_ms: a head that is silent for longer is given up: jobs in flight are handed
            back to be run again, and the runner connects anew.
    """

    address: str = ""
    token: str = ""
    actors: int = 2
    calls: int = 32
    checks: int = 1
    cpus: float = 1.0
    resources: Mapping[str, float] = field(default_factory=dict, hash=False)
    stream_ms: int = 30
    retries: int = 3
    start_timeout_ms: int = 60_000
    head_timeout_ms: int = 30_000


def _open(settings: RaySettings, ctx: FactoryContext) -> AbstractAsyncContextManager[Runner]:
    from fleet_adapters.ray.runner import open_runner  # noqa: PLC0415 -- loaded when bound

    return open_runner(settings, ctx)


runner = AdapterPlugin(
    Adapter(
        PortName.RUNNER,
        "ray",
        RaySettings,
        _open,
        frozenset({Capability.STREAMING, Capability.SHARED_PROCESS}),
        extra="ray",
        summary="runs jobs in Ray actors, on this machine or on a cluster",
        builds=(PortName.MODEL, PortName.CHECK),
    )
)
