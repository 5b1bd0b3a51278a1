"""A plugin for tests: its model asks a test's process what to answer, over a socket."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fleet_core.domain.model_call import Completion, ModelRequest
from fleet_core.ports.check import Check
from fleet_core.ports.model import CallBudget, Model, ModelHealth, OnText
from fleet_core.testing.saying import ObedientCheck
from fleet_plugins.api import Adapter, AdapterPlugin, FactoryContext, PortName


@dataclass(frozen=True, slots=True)
class PhoneSettings:
    """Where the test listens; `secret` names one that the worker must be able to resolve."""

    port: int = 0
    secret: str = ""


class PhoneModel(Model):
    """Each call is a connection: a pickled request line, then pickled answers line by line."""

    def __init__(self, port: int, secret: str) -> None:
        self._port = port
        self._secret = secret

    async def complete(
        self, request: ModelRequest, budget: CallBudget, on_text: OnText | None = None
    ) -> Completion:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(line(("complete", request, budget, os.getpid(), self._secret)))
            while True:
                kind, value = read(await reader.readline())
                if kind == "said":
                    if on_text is not None:
                        on_text(value)
                elif kind == "raise":
                    raise value
                else:
                    assert isinstance(value, Completion)
                    return value
        finally:
            writer.close()

    async def count(self, texts: Sequence[str]) -> Sequence[int]:
        return self._ask(("count", list(texts)))  # type: ignore[no-any-return]  # as the test says

    def tokenizer(self) -> str:
        return str(self._ask(("tokenizer",)))

    async def health(self) -> ModelHealth:
        return ModelHealth(ready=True, detail="phone")

    def _ask(self, question: tuple[Any, ...]) -> Any:
        with socket.create_connection(("127.0.0.1", self._port)) as phone:
            phone.sendall(line(question))
            return read(phone.makefile("rb").readline())


def line(value: object) -> bytes:
    return pickle.dumps(value).hex().encode() + b"\n"


def read(data: bytes) -> Any:
    if not data:
        raise ConnectionError("the test has hung up")
    return pickle.loads(bytes.fromhex(data.decode()))


@asynccontextmanager
async def open_model(settings: PhoneSettings, ctx: FactoryContext) -> AsyncIterator[Model]:
    assert ctx.process == "worker", "it is not for this process"
    yield PhoneModel(settings.port, ctx.secret(settings.secret) if settings.secret else "")


@dataclass(frozen=True, slots=True)
class NoSettings:
    """None."""


@asynccontextmanager
async def open_check(_settings: NoSettings, ctx: FactoryContext) -> AsyncIterator[Check]:
    assert ctx.process == "worker", "it is not for this process"
    yield ObedientCheck()


model = AdapterPlugin(Adapter(PortName.MODEL, "phone", PhoneSettings, open_model, summary="x"))
check = AdapterPlugin(Adapter(PortName.CHECK, "phone", NoSettings, open_check, summary="x"))
