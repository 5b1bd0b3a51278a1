"""A deployment for a whole session: servers, the model, and an executor service that stays.

Attaching an executor to its cluster takes seconds, so it is not started anew for each scenario; an
orchestrator and a context service are.
What scenarios must not share is emptied between them; and their councils draw by other seeds, so
that a job has another id in each of them and means nothing to an executor that remembers.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from fleet_bootstraps.fleet import opened_ports, system_clock
from fleet_bootstraps.layers import home as kept_home
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.secrets import secrets_from
from fleet_bootstraps.stack import model
from fleet_core.ports.executor import Executor
from fleet_features.deploying.emptying import emptied
from fleet_features.deploying.model_server import ModelServer, model_server
from fleet_features.deploying.process import ServiceProcess, served
from fleet_features.deploying.servers import Servers, running_servers
from fleet_features.interpreters import orchestrator_python
from fleet_features.profile_file import environ_without_settings, write_profile
from fleet_features.profiles import ProfileSource
from fleet_plugins.api import FactoryContext, PortName

_CLAIM_TTL_MS = 600  # a killed executor's jobs are taken over soon
_IDLE_S, _LOOK_S = 20.0, 0.02
_FREE = "127.0.0.1:0"


class Deployment:
    """Open it with `deployed`."""

    def __init__(
        self, source: ProfileSource, servers: Servers, scripted: ModelServer, folder: Path
    ) -> None:
        self.source = source
        self.model = scripted
        self._servers = servers
        self._folder = folder
        self._closing = AsyncExitStack()
        self._own_model = ""
        self._executor: ServiceProcess | None = None
        self._executor_profile = ""
        self._context: ServiceProcess | None = None

    async def begin(self) -> None:
        """Begin a scenario on empty servers, with an executor that has nothing in hand."""
        await self.stop_context()
        await self._idle()
        await emptied(self._servers)

    def profile(
        self, terms: Mapping[str, Any], *, live: bool = False, orchestrator: str = _FREE
    ) -> Profile:
        """The profile under test over these servers.

        Args:
            terms: of a scenario.
            live: whether its own model answers, instead of the script; see `serve_own_model`.
            orchestrator: where it listens; for who asks it, where it does already.
        """
        own = {"model.base_url": self._own_model} if live and self._own_model else {}
        return self.source.with_terms(
            {
                **terms,
                **own,
                **self._servers.settings,
                "services.executor.listen": _FREE,
                "services.executor.claim_ttl_ms": _CLAIM_TTL_MS,
                "services.context.listen": _FREE,
                "services.orchestrator.listen": orchestrator,
                "services.monitor.listen": _FREE,
                **self._reached(),
            },
            base_url="" if live else self.model.server.base_url,
        )

    def _reached(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self._executor is not None and "executor.servers" not in self._servers.settings:
            found["executor.address"] = [self._executor.address]
        if self._context is not None:
            found["hydrator.address"] = [self._context.address]
        return found

    async def serve_own_model(self) -> None:
        """See that the profile's own model is served: where it names no server, as `fleet up`."""
        given = self.source.plain().tables["model"].get("base_url")
        if given is None and not self._own_model:
            serving = model.model_server(self._folder / "model", kept_home() / "models")
            self._own_model = (await self._closing.enter_async_context(serving)).base_url

    async def executor(self, *, live: bool = False) -> ServiceProcess:
        """The executor service, started where it does not run, or not with that model."""
        plain = self.profile({}, live=live)
        path = write_profile(plain, self._folder / f"executor{'-live' if live else ''}.toml")
        if self._executor is not None and (
            not self._executor.runs or self._executor_profile != path.name
        ):
            await self.stop_executor()
        if self._executor is None:
            self._executor_profile = path.name
            self._executor = await served(
                "executor",
                path,
                python=sys.executable,
                home=self._folder / "executor-home",
                environ=self.environ,
                log=self._folder / "executor.log",
            )
        return self._executor

    async def stop_executor(self) -> None:
        """Stop it in order, if it runs."""
        running, self._executor = self._executor, None
        if running is not None and running.runs:
            await running.stop()

    async def context(self, home: Path, terms: Mapping[str, Any], *, live: bool = False) -> None:
        """Start a scenario's context service, where the profile has one and it does not run."""
        if not self.source.hydrates_elsewhere or self._context is not None:
            return
        folder = home.parent
        profile = write_profile(self.profile(terms, live=live), folder / "context.toml")
        self._context = await served(
            "context",
            profile,
            python=sys.executable,
            home=home,
            environ=self.environ,
            log=folder / "context.log",
        )

    async def stop_context(self) -> None:
        """Stop it in order, if it runs."""
        running, self._context = self._context, None
        if running is not None and running.runs:
            await running.stop()

    async def kill_services(self) -> list[int]:
        """SIGKILL to the executor and, where there is one, the context service; exit codes."""
        executor, self._executor = self._executor, None
        context, self._context = self._context, None
        assert executor is not None, "no executor runs"
        running = [one for one in (executor, context) if one is not None]
        return list(await asyncio.gather(*(one.kill() for one in running)))

    async def orchestrator(self, profile: Path, home: Path) -> ServiceProcess:
        """Start an orchestrator service."""
        return await served(
            "orchestrator",
            profile,
            python=orchestrator_python(),
            home=home,
            environ=self.environ,
            log=home.parent / "orchestrator.log",
        )

    @property
    def environ(self) -> dict[str, str]:
        """What services find in their environment."""
        return environ_without_settings() | dict(self._servers.environ)

    @asynccontextmanager
    async def closing(self) -> AsyncIterator[None]:
        """Stop in the end what was started meanwhile."""
        async with self._closing:
            try:
                yield
            finally:
                try:
                    await self.stop_context()
                finally:
                    await self.stop_executor()

    async def _idle(self) -> None:
        """Stop what an earlier scenario left in the executor's hands."""
        if self._executor is None or not self._executor.runs:
            return
        context = FactoryContext(system_clock, secrets_from(self.environ), self._folder)
        only = (PortName.BLOBS, PortName.EXECUTOR)
        async with opened_ports(self.profile({}), context, only=only) as ports:
            executor: Executor = ports[PortName.EXECUTOR]
            async with asyncio.timeout(_IDLE_S):
                while jobs := await executor.active():
                    for identity in {job.deliberation_id for job in jobs}:
                        await executor.cancel(identity)
                    await asyncio.sleep(_LOOK_S)
        await self.model.server.until(lambda server: server.in_flight == 0)


@asynccontextmanager
async def deployed(source: ProfileSource, folder: Path) -> AsyncIterator[Deployment]:
    """Servers, for as long as this is held; an executor from when it is first asked for."""
    async with (
        running_servers(source.plain(), folder) as servers,
        model_server() as scripted,
    ):
        deployment = Deployment(source, servers, scripted, folder)
        async with deployment.closing():
            yield deployment
