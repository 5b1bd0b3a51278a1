"""One connection to NATS: requests that outlast a reconnection, and errors that say what it was."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nats.aio.msg import Msg
from nats.errors import Error as DriverError

from fleet_adapters.nats._client import HoldingClient, heeded
from fleet_adapters.nats._errors import Refused, forbidden, translate
from fleet_adapters.nats.settings import NatsSettings
from fleet_core.errors import FleetError, StoreError, Unavailable

_PATIENCE_S = 0.05  # between requests that nobody was there to answer
_FLUSH_S = 2
_NOBODY = "503"


@dataclass(frozen=True, slots=True)
class Question:
    """A message that is to be answered."""

    subject: str
    payload: bytes = b""
    headers: Mapping[str, str] | None = None


class _Lost:
    """In the place of an answer: the connection broke, the question may never have arrived."""


_Answer = Msg | _Lost | FleetError


@dataclass(slots=True)
class _Asked:
    number: str
    subject: str
    answer: asyncio.Future[_Answer]


class Link:
    """A connection that comes back by itself; open it with `_connecting.linked`.

    Attributes:
        client: the driver's, for subscriptions and for messages that nobody answers.
        reached: set while there is a connection.
        started: whether there has ever been one.
    """

    def __init__(self, client: HoldingClient, settings: NatsSettings, log: logging.Logger) -> None:
        self.client = client
        self.log = log
        self.reached = asyncio.Event()
        self.started = False
        self._answer_s = settings.answer_ms / 1000
        self._named = ", ".join(settings.servers)
        self._asked: dict[str, _Asked] = {}
        self._numbers = itertools.count(1)
        self._inbox = ""
        self._forbidden = ""  # what the server said last
        self._returns: list[Callable[[], None]] = []
        self._said = ""

    async def start(self) -> None:
        """Begin to listen for answers."""
        self._inbox = self.client.new_inbox()
        await self.client.subscribe(f"{self._inbox}.*", cb=self._answered)
        self.started = True
        self.reached.set()

    def on_return(self, act: Callable[[], None]) -> Callable[[], None]:
        """Call `act` after every reconnection; the returned function ends that."""
        self._returns.append(act)
        return lambda: self._returns.remove(act)

    async def api(self, call: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer of the JetStream API, asked again while it is away.

        Raises:
            Refused: the API answers with an error.
            Unavailable: no answer in time.
            StoreError: this user may not ask that.
        """
        question = Question(f"$JS.API.{call}", json.dumps(body).encode() if body else b"")
        (answer,) = await self.ask([question])
        said = json.loads(answer.data)
        if "error" in said:
            raise Refused(said["error"], call)
        return dict(said)

    async def ask(self, questions: Sequence[Question], within_s: float = 0.0) -> list[Msg]:
        """The answers, in the order of the questions, which are sent together.

        Questions that a broken connection swallowed, or that nobody was there to answer, are asked
        again: what is asked must be idempotent.

        Raises:
            Unavailable: not all were answered in time; what was asked may have been done.
            StoreError: the server forbids a question.
        """
        answers: list[Msg | None] = [None] * len(questions)
        limit_s = within_s or self._answer_s
        why = "no answer"
        try:
            async with asyncio.timeout(limit_s):
                while None in answers:
                    await self.reached.wait()
                    missing = [i for i, answer in enumerate(answers) if answer is None]
                    asked = await self._post([questions[i] for i in missing])
                    nobody = False
                    try:
                        for i, one in zip(missing, asked, strict=True):
                            answer = await one.answer
                            if isinstance(answer, FleetError):
                                raise answer
                            if isinstance(answer, _Lost):
                                continue
                            if _away(answer):
                                nobody, why = True, f"nothing serves {one.subject}"
                                continue
                            answers[i] = answer
                    finally:
                        self._drop(asked)
                    if nobody:
                        await asyncio.sleep(_PATIENCE_S)
        except TimeoutError:
            said = f"; the server said: {self._forbidden}" if self._forbidden else ""
            why = why if self.reached.is_set() else "no connection"
            raise Unavailable(
                f"NATS at {self._named}: {why} in {limit_s:g} s{said}",
                "see that the server runs with JetStream, and what it logs",
            ) from None
        return [answer for answer in answers if answer is not None]

    async def tell(self, subject: str, payload: bytes = b"") -> None:
        """Send what nobody answers; kept, within limits, while there is no connection.

        Raises:
            Unavailable: it cannot be kept.
        """
        with translate(subject), heeded():
            await self.client.publish(subject, payload)

    async def flush(self) -> None:
        """Return once the server has seen all that was sent, or does not answer."""
        if self.client.is_connected:
            with suppress(DriverError):
                await self.client.flush(_FLUSH_S)

    async def _post(self, questions: Sequence[Question]) -> list[_Asked]:
        loop = asyncio.get_running_loop()
        asked = []
        for question in questions:
            number = str(next(self._numbers))
            one = self._asked[number] = _Asked(number, question.subject, loop.create_future())
            asked.append(one)
            try:
                with translate(question.subject), heeded():
                    await self.client.publish(
                        question.subject,
                        question.payload,
                        f"{self._inbox}.{number}",
                        dict(question.headers) if question.headers else None,
                    )
            except BaseException:
                self._drop(asked)
                raise
        return asked

    def _drop(self, asked: Sequence[_Asked]) -> None:
        for one in asked:
            del self._asked[one.number]

    async def _answered(self, msg: Msg) -> None:
        one = self._asked.get(msg.subject.rpartition(".")[2])
        if one is not None and not one.answer.done():
            one.answer.set_result(msg)

    async def disconnected(self) -> None:
        """The driver's callback."""
        self.reached.clear()
        for one in list(self._asked.values()):
            if not one.answer.done():
                one.answer.set_result(_Lost())

    async def reconnected(self) -> None:
        """The driver's callback."""
        self.log.info("connected to NATS again")
        self._said = ""
        self.reached.set()
        for act in list(self._returns):
            act()

    async def failed(self, error: Exception) -> None:
        """The driver's callback for what it tells nobody else."""
        said = str(error) or type(error).__name__
        if said != self._said:  # a server that is away is reported once, not ten times a second
            self._said = said
            self.log.warning("NATS at %s: %s", self._named, said)
        violation = forbidden(error)
        if violation is None:
            return
        self._forbidden = said.removeprefix("nats: ")
        for one in list(self._asked.values()):
            if one.subject.lower() == violation[1] and not one.answer.done():
                one.answer.set_result(
                    StoreError(
                        f"this user may not publish to {one.subject}",
                        "give the user that right in the server's configuration",
                    )
                )


def _away(msg: Msg) -> bool:
    """Whether nobody was there to answer, or JetStream is not ready to."""
    if not msg.data:
        return (msg.headers or {}).get("Status") == _NOBODY
    return b'"code":503' in msg.data and json.loads(msg.data).get("error", {}).get("code") == 503
