"""A cluster for the session, and a model that the tests hold in their hands, in every worker."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from fleet_adapters.ray.plugin import RaySettings
from fleet_adapters.ray.runner import RayRunner
from fleet_bootstraps.stack.ray import RayHead, ray_head
from fleet_core.testing.saying import ObedientModel
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.lifetimes import open_ports
from fleet_plugins.registry import Registry

PHONE = Path(__file__).parent / "phone"
TOKEN = "0123456789abcdef" * 4
SECRET = "not-for-the-wire-1d5c"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One loop for the session: a runner is opened once for many tests."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def installed() -> Iterator[None]:
    """The plugin of these tests is installed here, and in every process that begins here."""
    with pytest.MonkeyPatch.context() as patch:
        before = os.environ.get("PYTHONPATH", "")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(PHONE), before])))
        patch.setenv("PHONE_SECRET", SECRET)
        patch.syspath_prepend(str(PHONE))
        yield


@pytest.fixture(scope="session")
def head(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHead]:
    """A cluster that no test breaks."""
    folder = tmp_path_factory.mktemp("ray")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(portal.call(ray_head, folder, TOKEN)) as running,
    ):
        yield running


@dataclass
class Phone:
    """Answers the workers' models with `model`; `pids` are theirs, by call."""

    port: int = 0
    model: ObedientModel = field(default_factory=ObedientModel)
    pids: list[int] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from fleet_phone import line, read  # type: ignore[import-not-found]  # noqa: PLC0415 -- installed above

        question = read(await reader.readline())
        if question[0] == "tokenizer":
            writer.write(line(self.model.tokenizer()))
        elif question[0] == "count":
            writer.write(line(await self.model.count(question[1])))
        else:
            _, request, budget, pid, secret = question
            self.pids.append(pid)
            self.secrets.add(secret)
            call = asyncio.create_task(
                self.model.complete(
                    request, budget, lambda piece: writer.write(line(("said", piece)))
                )
            )
            hanging_up = asyncio.create_task(reader.read())
            await asyncio.wait([call, hanging_up], return_when=asyncio.FIRST_COMPLETED)
            hanging_up.cancel()
            call.cancel()
            await asyncio.wait([call, hanging_up])
            if not call.cancelled():
                error = call.exception()
                writer.write(line(("raise", error) if error else ("done", call.result())))
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()


@pytest.fixture(scope="session")
async def phone() -> AsyncIterator[Phone]:
    """One for all tests, so that the workers need not be told another number."""
    phone = Phone()
    server = await asyncio.start_server(phone.answer, "127.0.0.1", 0, limit=2**26)
    async with server:
        phone.port = server.sockets[0].getsockname()[1]
        yield phone


def secret(name: str) -> str:
    """The executor's own secrets."""
    tokens = {"CLUSTER_TOKEN": TOKEN, "WRONG_TOKEN": "f" * 64, "HEAD_TOKEN": "fedcba9876543210" * 4}
    return tokens[name]


Opened = Callable[[RaySettings], AbstractAsyncContextManager[RayRunner]]


@pytest.fixture(scope="session")
def opened(phone: Phone, installed: None, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Opens a runner through the plugins' door, with the phone for model and check."""

    @asynccontextmanager
    async def open_(settings: RaySettings) -> AsyncIterator[RayRunner]:
        registry = Registry.discovered()
        ray = registry.load("runner", "ray")
        bound: dict[PortName, Any] = {
            PortName.RUNNER: registry.binding(ray, settings),
            PortName.MODEL: {
                "default": registry.bind(
                    "model", "phone", {"port": phone.port, "secret": "PHONE_SECRET"}
                )
            },
            PortName.CHECK: {"phone": registry.bind("check", "phone")},
        }
        home = tmp_path_factory.mktemp("home")
        ctx = FactoryContext(lambda: time.time_ns() // 1_000_000, secret, home, "executor")
        async with open_ports(bound, ctx, only=[PortName.RUNNER]) as ports:
            assert "ray" not in sys.modules, "Ray ends the process that imports it"
            yield ports[PortName.RUNNER]

    return open_


@pytest.fixture
def clustered(head: RayHead) -> RaySettings:
    """For a runner on the session's cluster."""
    return RaySettings(address=head.address, token="CLUSTER_TOKEN", actors=1, calls=4)
