"""The NATS micro services convention (ADR-32), as far as an executor needs it.

The driver's own service puts every endpoint into a queue group, where one instance answers for all,
and reads the clock in a way that newer Pythons warn of.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as DriverError

from fleet_adapters.nats._errors import translate
from fleet_adapters.nats._link import Link
from fleet_core.errors import DecodeError, FleetError

_LONGEST = 500
Act = Callable[[bytes], Awaitable[Sequence[bytes]]]
"""Answers a request, in one message or several."""


@dataclass(slots=True)
class _Endpoint:
    name: str
    subject: str
    act: Act
    requests: int = 0
    errors: int = 0
    last_error: str = ""
    busy_ns: int = 0

    async def answer(self, link: Link, msg: Msg) -> None:
        begin = time.perf_counter_ns()
        self.requests += 1
        try:
            for payload in await self.act(msg.data):
                await link.tell(msg.reply, payload)
        except FleetError as error:
            self.errors += 1
            self.last_error = str(error)[:_LONGEST]
            code = "400" if isinstance(error, DecodeError) else "503" if error.retryable else "500"
            headers = {"Nats-Service-Error": self.last_error, "Nats-Service-Error-Code": code}
            with translate(msg.reply):
                await link.client.publish(msg.reply, b"", headers=headers)
        finally:
            self.busy_ns += time.perf_counter_ns() - begin

    def described(self) -> dict[str, Any]:
        return {"name": self.name, "subject": self.subject, "queue_group": "", "metadata": {}}

    def counted(self) -> dict[str, Any]:
        return {
            **self.described(),
            "num_requests": self.requests,
            "num_errors": self.errors,
            "last_error": self.last_error,
            "processing_time": self.busy_ns,
            "average_processing_time": self.busy_ns // max(1, self.requests),
            "data": None,
        }


@dataclass(frozen=True, slots=True)
class Service:
    """An instance of a service, each of whose endpoints hears every request.

    Attributes:
        name, version, description: as tools show them; the version is a semantic one.
        identity: of this instance, unlike any other's.
        endpoints: what answers, by subject; a subject's last token is the endpoint's name.
    """

    name: str
    version: str
    description: str
    identity: str
    endpoints: Mapping[str, Act]
    started: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat().replace("+00:00", "Z")
    )

    @asynccontextmanager
    async def answering(self, link: Link) -> AsyncIterator[None]:
        """Answer requests, and tools that look for services, while this is held."""
        endpoints = [
            _Endpoint(subject.rpartition(".")[2], subject, act)
            for subject, act in self.endpoints.items()
        ]
        said: dict[str, Callable[[], dict[str, Any]]] = {
            "PING": dict,
            "INFO": lambda: {
                "description": self.description,
                "endpoints": [endpoint.described() for endpoint in endpoints],
            },
            "STATS": lambda: {
                "started": self.started,
                "endpoints": [endpoint.counted() for endpoint in endpoints],
            },
        }
        async with AsyncExitStack() as stack:
            for verb, tell in said.items():
                for place in ("", f".{self.name}", f".{self.name}.{self.identity}"):
                    act = self._telling(verb, tell)
                    await _heard(stack, link, _Endpoint(verb, f"$SRV.{verb}{place}", act))
            for endpoint in endpoints:
                await _heard(stack, link, endpoint)
            await link.flush()
            yield

    def _telling(self, verb: str, tell: Callable[[], dict[str, Any]]) -> Act:
        async def act(_: bytes) -> Sequence[bytes]:
            own = {
                "type": f"io.nats.micro.v1.{verb.lower()}_response",
                "name": self.name,
                "id": self.identity,
                "version": self.version,
                "metadata": {},
            }
            return [json.dumps({**own, **tell()}).encode()]

        return act


async def _heard(stack: AsyncExitStack, link: Link, endpoint: _Endpoint) -> None:
    async def hear(msg: Msg) -> None:
        if msg.reply:
            await endpoint.answer(link, msg)

    with translate("a subscription"):
        heard = await link.client.subscribe(endpoint.subject, cb=hear)
    stack.push_async_callback(_ended, heard)


async def _ended(heard: Subscription) -> None:
    with suppress(DriverError):
        await heard.unsubscribe()
