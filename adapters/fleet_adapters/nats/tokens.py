"""What agents are saying, live over NATS.

Pieces are joined for a moment and published, without an acknowledgement, on
`vllm.streaming.{task}.{agent}`; the stream VLLM_STREAMING keeps them for its ten minutes, within
its bytes, whether anybody listens or not. While there is no connection they are lost.

Who listens is told by the listeners: every process that has some says to which tasks, on a subject
of its own, at once and then again and again. So `heard` is answered from memory. It may lag by a
message's way, and a process that was killed is taken for a listener until its word has run out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from nats.aio.msg import Msg
from nats.errors import Error as DriverError

from fleet_adapters.backlog import Backlog
from fleet_adapters.nats._connecting import linked
from fleet_adapters.nats._errors import translate
from fleet_adapters.nats._link import Link
from fleet_adapters.nats._subjects import token
from fleet_adapters.nats.settings import NatsTokensSettings
from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.events import TOKENS, Event, decode, encode, token_subject
from fleet_core.errors import DecodeError, FleetError
from fleet_core.ports.clock import Clock
from fleet_core.ports.token_stream import TokenStream, Words
from fleet_plugins.api import FactoryContext

INTEREST = "fleet.tokens.interest"
ASKED = "fleet.tokens.who"
_ALL = "*"
_AGAIN_S, _HOLDS_S = 2.0, 5.0
_PIECE = 32 * 1024  # characters in a message; six bytes each at worst
_MOST = 1_000  # processes, and tasks of each, whose interest is remembered
_INBOX_BYTES, _INBOX_MESSAGES = 8 * 1024 * 1024, 4096


@asynccontextmanager
async def open_tokens(
    settings: NatsTokensSettings, ctx: FactoryContext
) -> AsyncIterator[NatsTokenStream]:
    """A token stream over a connection of its own."""
    async with linked(settings, ctx, "tokens") as link:
        stream = NatsTokenStream(link, settings, ctx.clock, ctx.log)
        async with stream.running():
            yield stream


@dataclass(frozen=True, slots=True)
class _Listening:
    """What a process says of its listeners: to which tasks, or `*` for all."""

    who: str
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Interest:
    tasks: frozenset[str]
    until: float


class NatsTokenStream(TokenStream):
    """Open it with `open_tokens`."""

    def __init__(
        self, link: Link, settings: NatsTokensSettings, clock: Clock, log: logging.Logger
    ) -> None:
        self._link, self._settings = link, settings
        self._clock, self._log = clock, log
        self._name = secrets.token_hex(8)
        self._said = Backlog(settings.max_chars)
        self._local: Counter[str] = Counter()
        self._remote: dict[str, _Interest] = {}
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Speak, and tell of our listeners, while this is held."""
        with translate("a subscription"):
            heard = await self._link.client.subscribe(INTEREST, cb=self._told)
            asked = await self._link.client.subscribe(ASKED, cb=self._was_asked)
        await self._link.tell(ASKED)
        done = self._link.on_return(self._changed.set)
        tasks = [asyncio.create_task(act()) for act in (self._speak, self._tell_interest)]
        try:
            yield
        finally:
            done()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            with suppress(DriverError):
                await heard.unsubscribe()
                await asked.unsubscribe()

    def say(self, words: Words) -> None:
        """Offer a piece; it is on its way within `flush_ms`."""
        if words.text:
            self._said.hear(words)

    @asynccontextmanager
    async def listen(self, task: str = _ALL) -> AsyncIterator[AsyncIterator[Words]]:
        """Pieces from now on; see the port. An outage only silences them."""
        backlog = Backlog(self._settings.max_chars)

        async def hear(msg: Msg) -> None:
            try:
                words = from_data(Words, decode(msg.data, source=msg.subject).data)
            except DecodeError as error:
                self._log.debug("no words: %s", error)
                return
            if task in (_ALL, words.task):
                backlog.hear(words)

        subject = f"{TOKENS}.>" if task == _ALL else f"{TOKENS}.{token(task)}.>"
        with translate("a subscription"):
            heard = await self._link.client.subscribe(
                subject,
                cb=hear,
                pending_msgs_limit=_INBOX_MESSAGES,
                pending_bytes_limit=_INBOX_BYTES,
            )
        self._local[task] += 1
        self._changed.set()
        await self._link.flush()
        try:
            yield backlog
        finally:
            self._local[task] -= 1
            self._local += Counter()  # forgets those at zero
            self._changed.set()
            with suppress(DriverError):
                await heard.unsubscribe()

    def heard(self, task: str) -> bool:
        """Whether anybody listens to that task, or to all, as far as is known here."""
        if self._local[task] or self._local[_ALL]:
            return True
        now = self._loop.time()
        return any(
            interest.until > now and (task in interest.tasks or _ALL in interest.tasks)
            for interest in self._remote.values()
        )

    async def _speak(self) -> None:
        while True:
            await self._said.wait()
            while (words := self._said.take()) is not None:
                for begin in range(0, len(words.text), _PIECE):
                    await self._publish(words, begin)
            await asyncio.sleep(self._settings.flush_ms / 1000)

    async def _publish(self, words: Words, begin: int) -> None:
        offset = words.offset + begin
        piece = Words(
            words.deliberation_id,
            words.task,
            words.agent_id,
            words.job_id,
            offset,
            words.text[begin : begin + _PIECE],
        )
        subject = token_subject(token(words.task), token(words.agent_id))
        said = Event(f"{words.job_id}:{offset}", subject, to_data(piece), self._clock())
        if not self._link.reached.is_set():
            return  # what would be sent later is no longer live
        try:
            await self._link.tell(subject, encode(said))
        except FleetError as error:
            self._log.debug("words lost: %s", error)

    async def _tell_interest(self) -> None:
        told = False
        while True:
            self._changed.clear()
            tasks = tuple(sorted(self._local)[:_MOST])
            if (tasks or told) and self._link.reached.is_set():
                said = json.dumps(to_data(_Listening(self._name, tasks)))
                with suppress(FleetError):
                    await self._link.tell(INTEREST, said.encode())
                told = bool(tasks)
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_S):
                    await self._changed.wait()

    async def _was_asked(self, _: Msg) -> None:
        self._changed.set()

    async def _told(self, msg: Msg) -> None:
        now = self._loop.time()
        self._remote = {who: known for who, known in self._remote.items() if known.until > now}
        try:
            said = from_data(_Listening, json.loads(msg.data))
        except (DecodeError, ValueError, RecursionError) as error:
            self._log.debug("no word of listeners: %s", error)
            return
        who, tasks = said.who, frozenset(said.tasks[:_MOST])
        if not tasks:
            self._remote.pop(who, None)
        elif who != self._name and (who in self._remote or len(self._remote) < _MOST):
            self._remote[who] = _Interest(tasks, now + _HOLDS_S)
