"""The whole fleet of a profile on this machine: its servers, then its services."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from fleet_adapters.grpc.exposure import host_and_port
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.services.roles import Role, require_shared
from fleet_bootstraps.stack.alone import alone
from fleet_bootstraps.stack.model import model_server
from fleet_bootstraps.stack.nats import running_nats
from fleet_bootstraps.stack.needs import Needs, is_set, needs_of, require_started
from fleet_bootstraps.stack.neo4j import PASSWORD, neo4j_server
from fleet_bootstraps.stack.neo4j_libraries import ensure_neo4j
from fleet_bootstraps.stack.parts import Part, gone, last_lines
from fleet_bootstraps.stack.ports import DEFAULT_PORTS, HOST, require_free
from fleet_bootstraps.stack.ray import ray_head
from fleet_bootstraps.stack.service import served
from fleet_bootstraps.stack.valkey import valkey_server
from fleet_core.errors import (
    FleetError,
    InputError,
    NotFound,
    PluginError,
    ProfileError,
    Unavailable,
)
from fleet_plugins.api import FactoryContext, PortName

RAY_TOKEN = "FLEET_STACK_RAY_TOKEN"  # noqa: S105 -- the name of a secret, not one
NEO4J_PASSWORD = "FLEET_STACK_NEO4J_PASSWORD"  # noqa: S105 -- as above
_SERVICE_START_S = 60.0
_MODEL_TIMEOUT_MS = 600_000  # of one call: a small machine answers slowly, several at once
_REACHED_BY = {Role.EXECUTOR: PortName.EXECUTOR, Role.CONTEXT: PortName.HYDRATOR}
_WILDCARDS = {"0.0.0.0": HOST, "::": "[::1]"}  # noqa: S104 -- looked for, not served


@dataclass(frozen=True, slots=True)
class Asked:
    """How the command line asked for it.

    Attributes:
        profile: the profile's name.
        sets: what was laid over it, `table.key=value` each.
        ports: by part; the others take theirs.
        gguf: a model file in place of the default model.
    """

    profile: str
    sets: tuple[str, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    gguf: str = ""


class Ended(Unavailable):
    """A part has ended by itself; `part` is which."""

    def __init__(self, part: Part) -> None:
        super().__init__(f"{part.name}, process {part.pid}, has ended", f"look at {part.log}")
        self.part = part

    @property
    def last_lines(self) -> list[str]:
        """What it wrote last."""
        return last_lines(self.part.log)


@dataclass(slots=True)
class Stack:
    """What runs, in order of its start.

    Attributes:
        parts: each process of it.
        sets: where they are, as settings: for other commands.
        environ: what services and workers find in their environment.
    """

    parts: list[Part] = field(default_factory=list)
    sets: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)

    async def until_one_ends(self) -> NoReturn:
        """Raises Ended for the first part that does."""
        watched = {asyncio.create_task(gone(part.pid)): part for part in self.parts}
        try:
            ended, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in watched:
                task.cancel()
        raise Ended(next(part for task, part in watched.items() if task in ended))


@asynccontextmanager
async def running_stack(
    profile: Profile,
    context: FactoryContext,
    asked: Asked,
    tell: Callable[[str, Part | None], None] = lambda _name, _part: None,
) -> AsyncIterator[Stack]:
    """Run everything for as long as the context is held; it ends in reverse order.

    What they keep lies in `FLEET_HOME/stack`, and is there again at the next start.

    Args:
        profile: bound of `asked`.
        context: FLEET_HOME, secrets.
        asked: what was asked for.
        tell: hears the name of each part when it starts, then the part once it serves.

    Raises:
        ProfileError: services cannot share what the profile keeps.
        InputError: a port is asked for what is not started.
        StoreError: a stack runs in this FLEET_HOME already.
        Unavailable: a port is taken; or a part did not start: names it and its log.
    """
    require_shared(profile)
    needs = needs_of(profile)
    require_started(needs, asked.ports)
    builder = _Builder(profile, context, asked, needs)
    async with AsyncExitStack() as held:
        held.enter_context(alone(builder.folder))
        require_free(builder.fixed_ports())
        stack = Stack()
        for name in (*needs.servers, *needs.services):
            tell(name, None)
            part = await held.enter_async_context(builder.started(name, stack))
            stack.parts.append(part)
            tell(name, part)
        yield stack


class _Builder:
    def __init__(
        self, profile: Profile, context: FactoryContext, asked: Asked, needs: Needs
    ) -> None:
        self._profile, self._context, self._asked, self._needs = profile, context, asked, needs
        self.folder = context.home / "stack"
        self._making: Mapping[str, Callable[[Stack, AsyncExitStack], Awaitable[Part]]] = {
            "nats": self._nats,
            "valkey": self._valkey,
            "neo4j": self._neo4j,
            "model": self._model,
            "ray": self._ray,
        }

    def fixed_ports(self) -> dict[str, int]:
        """The ports that are not left to chance, of what is started here."""
        wanted = {name: self._port(name) for name in self._needs.servers}
        for role in self._needs.services:
            wanted[role] = host_and_port(self._listen(role), field=f"services.{role}.listen")[1]
        return {name: port for name, port in wanted.items() if port}

    @asynccontextmanager
    async def started(self, name: str, stack: Stack) -> AsyncIterator[Part]:
        """One part; what it is told to others is added to the stack."""
        async with AsyncExitStack() as held:
            make = self._making.get(name)
            try:
                if make is not None:
                    part = await make(stack, held)
                else:
                    part = await self._service(Role(name), stack, held)
            except (InputError, NotFound, PluginError):
                raise
            except FleetError as error:
                hint = _with_log(error.hint, self._log(name))
                raise Unavailable(f"{name} did not start: {error.message}", hint) from error
            yield part

    def _port(self, name: str) -> int:
        return self._asked.ports.get(name, DEFAULT_PORTS[name])

    def _log(self, name: str) -> Path:
        return self.folder / name / f"{name}.log"

    def _told(self, name: str, address: str) -> list[str]:
        return [f"{setting}={address}" for setting in self._needs.servers[name]]

    async def _nats(self, stack: Stack, held: AsyncExitStack) -> Part:
        server = await held.enter_async_context(
            running_nats(self.folder / "nats", port=self._port("nats"))
        )
        stack.sets += self._told("nats", server.url)
        return Part("nats", server.url, server.pid, self._log("nats"))

    async def _valkey(self, stack: Stack, held: AsyncExitStack) -> Part:
        folder = self.folder / "valkey"
        url = await held.enter_async_context(valkey_server(folder, port=self._port("valkey")))
        stack.sets += self._told("valkey", url)
        pid = int((folder / "valkey.pid").read_text())
        return Part("valkey", url, pid, self._log("valkey"))

    async def _neo4j(self, stack: Stack, held: AsyncExitStack) -> Part:
        folder, named = self.folder / "neo4j", self._settings(PortName.GRAPH).password
        server = await held.enter_async_context(
            neo4j_server(
                folder,
                await ensure_neo4j(self._context.home / "servers"),
                port=self._port("neo4j"),
                password=self._context.secret(named) if named else "",
            )
        )
        stack.sets += self._told("neo4j", server.uri)
        if not named:
            stack.environ[f"{NEO4J_PASSWORD}_FILE"] = str((folder / PASSWORD).absolute())
            stack.sets.append(f"graph.password={NEO4J_PASSWORD}")
        return Part("neo4j", server.uri, server.pid, self._log("neo4j"))

    async def _model(self, stack: Stack, held: AsyncExitStack) -> Part:
        gguf = self._asked.gguf
        server = await held.enter_async_context(
            model_server(
                self.folder / "model",
                self._context.home / "models",
                gguf=gguf,
                port=self._port("model"),
            )
        )
        stack.sets += self._told("model", server.base_url)
        suited = {"tokenizer": "llamacpp", "timeout_ms": _MODEL_TIMEOUT_MS}
        if not gguf:  # so small a model writes better in free text than in JSON
            suited["structured"] = "off"
        for setting in self._needs.servers["model"]:
            table = setting.rpartition(".")[0]
            for key, value in suited.items():
                if not is_set(self._profile, table, key):
                    stack.sets.append(f"{table}.{key}={value}")
        return Part("model", server.base_url, server.pid, self._log("model"))

    async def _ray(self, stack: Stack, held: AsyncExitStack) -> Part:
        settings = self._settings(PortName.RUNNER)
        if settings.resources:
            raise ProfileError(
                "a Ray head that is started here offers no custom resources",
                "start a cluster that does, and name it by runner.address",
                field="runner.resources",
            )
        if settings.token:
            token = self._context.secret(settings.token)
        else:
            token = stack.environ[RAY_TOKEN] = secrets.token_urlsafe(32)
            stack.sets.append(f"runner.token={RAY_TOKEN}")
        head = await held.enter_async_context(
            ray_head(
                self.folder / "ray",
                token,
                port=self._port("ray"),
                cpus=max(1, math.ceil(settings.actors * settings.cpus)),
            )
        )
        stack.sets += self._told("ray", head.address)
        return Part("ray", head.address, head.pid, self._log("ray"))

    async def _service(self, role: Role, stack: Stack, held: AsyncExitStack) -> Part:
        home = ["--profile", self._asked.profile]
        sets = [*self._asked.sets, *stack.sets, f"services.{role}.listen={self._listen(role)}"]
        if role is Role.MONITOR:  # it asks the orchestrator how it is
            running = [part for part in stack.parts if part.name == Role.ORCHESTRATOR]
            sets += [f"services.{part.name}.listen={part.address}" for part in running]
        part = await held.enter_async_context(
            served(
                role,
                self.folder / role,
                [*home, *(word for entry in sets for word in ("--set", entry))],
                environ={**stack.environ, "FLEET_HOME": str(self._context.home)},
                start_s=_SERVICE_START_S,
                drain_s=self._profile.settings.service(role).drain_ms / 1000,
            )
        )
        reached = reachable(part.address)
        port = _REACHED_BY.get(role)
        if port is not None and hasattr(self._settings(port), "address"):
            stack.sets.append(f"{port}.address={reached}")
        return Part(role, reached, part.pid, part.log)

    def _listen(self, role: Role) -> str:
        given = self._profile.settings.service(role).listen
        if given and role in self._asked.ports:
            raise InputError(
                f"services.{role}.listen is set too",
                "give one of the two",
                source=f"--port {role}={self._asked.ports[role]}",
            )
        return given or f"{HOST}:{self._port(role)}"

    def _settings(self, port: PortName) -> Any:
        bound: Any = self._profile.bindings[port]
        return bound.settings


def _with_log(hint: str, log: Path) -> str:
    """The hint, and the log if there is one that it does not name."""
    if str(log) in hint or not log.exists():
        return hint
    return f"{hint}; look at {log}" if hint else f"look at {log}"


def reachable(address: str) -> str:
    """An address to connect to, of one that is listened on."""
    host, port = host_and_port(address, field="address")
    shown = f"[{host}]" if ":" in host else host
    return f"{_WILDCARDS.get(host, shown)}:{port}"
