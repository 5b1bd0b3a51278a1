"""What agents say, for those who look at a deliberation: listened to only while somebody does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from fleet_core.errors import FleetError
from fleet_core.ports.token_stream import TokenStream, Words

_log = logging.getLogger("fleet.monitor")
_MOST = 64 * 1024  # characters that a reader may leave lying, of one job


@dataclass(slots=True, eq=False)
class Hearing:
    """The words that one client has not taken: adjacent pieces of a job joined, the oldest lost."""

    wake: asyncio.Event
    _pieces: dict[str, Words] = field(default_factory=dict)

    def hear(self, words: Words) -> None:
        """A piece was said."""
        held = self._pieces.get(words.job_id)
        if held is not None and held.offset + len(held.text) == words.offset:
            text = held.text + words.text
            cut = max(0, len(text) - _MOST)
            words = Words(
                words.deliberation_id,
                words.task,
                words.agent_id,
                words.job_id,
                held.offset + cut,
                text[cut:],
            )
        self._pieces[words.job_id] = words
        self.wake.set()

    def take(self) -> list[dict[str, Any]]:
        """What was said since."""
        pieces, self._pieces = self._pieces, {}
        return [
            {
                "deliberation_id": w.deliberation_id,
                "agent": w.agent_id,
                "job_id": w.job_id,
                "offset": w.offset,
                "text": w.text,
            }
            for w in pieces.values()
        ]


class Speaking:
    """Listens to the tasks that somebody looks at.

    Args:
        tokens: where agents speak; None where nobody can be heard, as in a replay.
        token_of: the task token of a deliberation; empty while it is not known.
    """

    def __init__(self, tokens: TokenStream | None, token_of: Callable[[str], str]) -> None:
        self._tokens, self._token_of = tokens, token_of
        self._hearers: dict[str, set[Hearing]] = {}
        self._listening: dict[str, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def heard(self, deliberation_id: str, wake: asyncio.Event) -> AsyncIterator[Hearing]:
        """The words of a deliberation while held; none where it is empty or not known."""
        hearing = Hearing(wake)
        token = self._token_of(deliberation_id) if deliberation_id else ""
        if self._tokens is None or not token:
            yield hearing
            return
        hearers = self._hearers.setdefault(token, set())
        hearers.add(hearing)
        listening = self._listening.get(token)
        if listening is None or listening.done():  # it ends where it could not go on
            self._listening[token] = asyncio.create_task(self._listen(self._tokens, token))
        try:
            yield hearing
        finally:
            hearers.discard(hearing)
            if not hearers:
                self._hearers.pop(token, None)
                last = self._listening.pop(token, None)
                if last is not None:
                    last.cancel()
                    with suppress(asyncio.CancelledError):
                        await last

    async def _listen(self, tokens: TokenStream, token: str) -> None:
        try:
            async with tokens.listen(token) as heard:
                async for words in heard:
                    for hearing in self._hearers.get(token, ()):
                        hearing.hear(words)
        except FleetError as error:  # words are lossy: whoever looks sees the texts in the end
            _log.warning("the words of %s are not heard: %s", token[:80], error)
