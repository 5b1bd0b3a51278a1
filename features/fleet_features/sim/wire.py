"""The way from a process to a server and back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fleet_core.errors import Unavailable
from fleet_features.sim.adversary import Adversary, Fate
from fleet_features.sim.loop import Lane, SimulatedLoop
from fleet_features.sim.trace import Trace

T = TypeVar("T")
Act = Callable[[], Awaitable[T]]
CALL_S = 5.0
"""For so long a process waits for another process, which may be dead or busy."""


class Wire:
    """Requests travel, are lost, and have their effect even where nobody lives to hear of it.

    Attributes:
        servers: the lane in which bus and stores run; it never dies.
    """

    def __init__(self, loop: SimulatedLoop, adversary: Adversary, trace: Trace) -> None:
        self.loop = loop
        self.adversary = adversary
        self.trace = trace
        self.servers = Lane("servers")

    async def ask(
        self, who: Lane, server: str, what: str, act: Act[T], *, writes: bool = False
    ) -> T:
        """Have a server of the `servers` lane do something; `act` must not wait for anything."""
        fate = self.adversary.request(server, writes=writes)
        answer: asyncio.Future[T] = self.loop.create_future()

        def serve() -> None:
            if fate.outcome == "refused" or server in self.adversary.down:
                self.trace.note(who.name, f"{what}: refused")
                self._tell(fate.back_s, answer, error=Unavailable(f"{server} is away"))
                return
            try:
                result = at_once(act)
            except Exception as error:  # noqa: BLE001 -- it is the caller's
                self.trace.note(who.name, f"{what}: {type(error).__name__}")
                self._answer(fate, answer, error=error)
            else:
                if writes or what.startswith("get"):
                    unheard = ": unheard" if fate.outcome != "answered" else ""
                    self.trace.note(who.name, f"{what}{unheard}")
                self._answer(fate, answer, result=result)

        self._send(who, what, fate, answer, serve)
        return await answer

    async def call(
        self, who: Lane, host: Lane, what: str, act: Act[T], *, repeats: bool = False
    ) -> T:
        """Have another process do something, in a task of its own; `repeats`: perhaps twice."""
        fate = self.adversary.request(host.name, writes=True)
        answer: asyncio.Future[T] = self.loop.create_future()

        def serve() -> None:
            if host.dead or fate.outcome == "refused":
                self.trace.note(who.name, f"{what}: {host.name} refused")
                self._tell(fate.back_s, answer, error=Unavailable(f"{host.name} is away"))
                return
            self.trace.note(who.name, f"{what} at {host.name}")
            times = 1 + (repeats and self.adversary.hits(self.adversary.temper.repeat))
            for _ in range(times):
                serving = self._served(fate, act, answer)
                self.loop.create_task(serving, context=host.context.copy())

        self._send(who, what, fate, answer, serve)
        self._tell(CALL_S, answer, error=Unavailable(f"{what}: no answer in {CALL_S} s"))
        return await answer

    async def _served(self, fate: Fate, act: Act[T], answer: asyncio.Future[T]) -> None:
        try:
            result = await act()
        except Exception as error:  # noqa: BLE001 -- it is the caller's
            self._answer(fate, answer, error=error)
        else:
            self._answer(fate, answer, result=result)

    def _send(
        self,
        who: Lane,
        what: str,
        fate: Fate,
        answer: asyncio.Future[Any],
        serve: Callable[[], None],
    ) -> None:
        context = self.servers.context
        if fate.outcome == "lost":
            self.trace.note(who.name, f"{what}: lost")
            self._tell(fate.there_s + fate.back_s, answer, error=Unavailable(f"{what}: no answer"))
            return
        if fate.back_s < 0:  # the sender is told first
            self._tell(fate.there_s / 2, answer, error=Unavailable(f"{what}: no answer"))
        elif fate.outcome == "unheard":
            after_s = fate.there_s + fate.back_s
            self._tell(after_s, answer, error=Unavailable(f"{what}: no answer"))
        self.loop.call_later(fate.there_s, serve, context=context)

    def _answer(
        self,
        fate: Fate,
        answer: asyncio.Future[T],
        *,
        result: T | None = None,
        error: Exception | None = None,
    ) -> None:
        if fate.outcome == "answered":
            self._tell(fate.back_s, answer, result=result, error=error)

    def _tell(
        self,
        after_s: float,
        answer: asyncio.Future[Any],
        *,
        result: object = None,
        error: Exception | None = None,
    ) -> None:
        def tell() -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        self.loop.call_later(max(0.0, after_s), tell, context=self.servers.context)


def at_once(act: Act[T]) -> T:
    """What an operation of the memory adapters gives; each is one step of the event loop."""
    waiting = act().__await__()
    try:
        waiting.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]  # a coroutine's value
    raise RuntimeError("an operation of a server waited for something")
