"""All that a service is watched by, from its start to its stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from fleet_adapters.grpc.telemetry import Figure, RpcCall
from fleet_bootstraps.settings import ServiceSettings
from fleet_bootstraps.telemetry.masks import Masks
from fleet_bootstraps.telemetry.readiness import Readiness
from fleet_bootstraps.telemetry.spans import span_recorder
from fleet_core.errors import PluginError
from fleet_core.tracing import recording
from fleet_plugins.api import PortName

if TYPE_CHECKING:
    from fleet_bootstraps.telemetry.meters import Meters
    from fleet_bootstraps.telemetry.pages import Pages


class Watching:
    """What a service tells; where nothing is on, it goes nowhere.

    Attributes:
        readiness: of the service.
        address: where metrics are served; empty where they are not.
    """

    def __init__(self, pages: Pages | None = None, *, traced: bool = False) -> None:
        self.readiness = pages.readiness if pages is not None else Readiness()
        self.address = ""
        self._pages = pages
        self._meters: Meters | None = pages.meters if pages is not None else None
        self._traced = traced

    def around(self, port: PortName, value: Any) -> Any:
        """Puts what measures and what traces around a port; see `open_ports`."""
        if self._meters is not None:
            value = _measured(port, value, self._meters)
        if self._traced and port is PortName.BUS:
            from fleet_bootstraps.telemetry.traced_bus import TracedBus  # noqa: PLC0415 -- as on

            value = TracedBus(value)
        return value

    def rpc(self, call: RpcCall) -> None:
        """An RPC was served."""
        if self._meters is not None:
            took = call.duration_ms / 1000
            self._meters.rpcs.labels(call.service, call.method, call.code).observe(took)

    def figures(self) -> Iterator[Figure]:
        """The metrics as the RPC GetMetrics tells them: histograms by sum and count.

        Without what is asked for only when scraped, which is as old as the last scrape.
        """
        if self._meters is None:
            return
        for family in self._meters.registry.collect():
            if family.name in self._meters.when_scraped:
                continue
            for sample in family.samples:
                if not sample.name.endswith(("_bucket", "_created")):
                    yield Figure(sample.name, sample.value, _unit(sample.name), sample.labels)

    @asynccontextmanager
    async def serving(self, ports: Mapping[PortName, Any]) -> AsyncIterator[None]:
        """The service is ready, over these ports, until the context is left."""
        pages, meters = self._pages, self._meters
        self.readiness.tell({})
        try:
            if pages is None or meters is None:
                yield
                return
            from fleet_bootstraps.telemetry.asking import (  # noqa: PLC0415 -- as on
                follow_dead_letters,
                refresh,
            )

            pages.refresh = partial(refresh, meters, ports)
            async with asyncio.TaskGroup() as tasks:
                own = []
                if meters.deliberates:
                    letters = follow_dead_letters(meters, ports[PortName.BUS])
                    own.append(tasks.create_task(letters))
                try:
                    yield
                finally:
                    for task in own:
                        task.cancel()
        finally:
            self.readiness.stop()
            if pages is not None:
                pages.refresh = _nothing


def _unit(name: str) -> str:
    if name.endswith(("_seconds_sum", "_seconds_total")):
        return "s"
    return "bytes" if name.endswith("_bytes") else "count"


async def _nothing() -> None:
    """The ports are closed."""


@asynccontextmanager
async def watching(
    service: str,
    settings: ServiceSettings,
    secret: Callable[[str], str],
    environ: Mapping[str, str],
    masks: Masks,
    *,
    executes: bool,
    deliberates: bool,
) -> AsyncIterator[Watching]:
    """Metrics where the settings name an address, traces where the environment asks for them.

    Health and metrics are served from here on, before the service itself is opened.

    Args:
        service: its name.
        settings: of the service.
        secret: resolves the token's name.
        environ: the variables `OTEL_*`.
        masks: what no span may say.
        executes: whether jobs are run in this process.
        deliberates: whether deliberations are driven in it.

    Raises:
        ProfileError: the address is wrong or exposed, or the environment asks for what there is
            not.
        PluginError: a package is missing.
        Unavailable: the address cannot be bound.
    """
    async with AsyncExitStack() as stack:
        recorder = await stack.enter_async_context(span_recorder(service, environ, masks))
        stack.enter_context(recording(recorder))
        if not settings.metrics:
            yield Watching(traced=recorder is not None)
            return
        try:
            from fleet_bootstraps.telemetry.meters import Meters  # noqa: PLC0415 -- as on
            from fleet_bootstraps.telemetry.pages import Pages, served_pages  # noqa: PLC0415 -- as on
        except ImportError as error:
            raise PluginError(
                f"services.{service}.metrics needs the module {error.name}, which is not installed",
                "pip install 'swe-ai-fleet[telemetry]', or leave metrics empty",
            ) from None
        token = secret(settings.token) if settings.token else ""
        meters = Meters(service, executes=executes, deliberates=deliberates)
        pages = Pages(Readiness(), meters, token)
        found = Watching(pages, traced=recorder is not None)
        found.address = await stack.enter_async_context(served_pages(pages, settings))
        yield found


def _measured(port: PortName, value: Any, meters: Meters) -> Any:
    if port is PortName.BUS:
        from fleet_bootstraps.telemetry.measured_bus import MeasuredBus  # noqa: PLC0415 -- as on

        return MeasuredBus(value, meters)
    if port is PortName.STATE:
        from fleet_bootstraps.telemetry.measured_state import MeasuredState  # noqa: PLC0415 -- as on

        return MeasuredState(value, meters)
    if port is PortName.RUNNER and meters.executes:
        from fleet_bootstraps.telemetry.measured_runner import (  # noqa: PLC0415 -- as on
            MeasuredRunner,
        )

        return MeasuredRunner(value, meters)
    if port is PortName.EXECUTOR and meters.deliberates:
        from fleet_bootstraps.telemetry.measured_executor import (  # noqa: PLC0415 -- as on
            MeasuredExecutor,
        )

        return MeasuredExecutor(value, meters)
    return value
