"""What agents are saying, handed on within this process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from fleet_core.ports.token_stream import TokenStream, Words

_ALL = "*"


@dataclass(slots=True)
class _Pending:
    """Adjacent pieces of one job that were not heard yet; `begin` is the first one's offset."""

    words: Words
    begin: int
    end: int
    parts: deque[str]


@dataclass(eq=False)
class _Listener(AsyncIterator[Words]):
    """One listener's backlog, in the order in which its jobs began to speak."""

    max_chars: int
    _queue: deque[_Pending] = field(default_factory=deque)
    _latest: dict[str, _Pending] = field(default_factory=dict)
    _chars: int = 0
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, words: Words) -> None:
        pending = self._latest.get(words.job_id)
        if pending is not None and pending.end == words.offset:
            pending.parts.append(words.text)
            pending.end += len(words.text)
        else:
            end = words.offset + len(words.text)
            pending = _Pending(words, words.offset, end, deque((words.text,)))
            self._queue.append(pending)
            self._latest[words.job_id] = pending
        self._chars += len(words.text)
        while self._chars > self.max_chars:
            self._lose_oldest()
        self._more.set()

    async def __anext__(self) -> Words:
        while not self._queue:
            self._more.clear()
            await self._more.wait()
        pending = self._queue.popleft()
        self._forget(pending)
        text = "".join(pending.parts)
        self._chars -= len(text)
        return replace(pending.words, offset=pending.begin, text=text)

    def _lose_oldest(self) -> None:
        oldest = self._queue[0]
        lost = oldest.parts.popleft()
        oldest.begin += len(lost)
        self._chars -= len(lost)
        if not oldest.parts:
            self._queue.popleft()
            self._forget(oldest)

    def _forget(self, pending: _Pending) -> None:
        if self._latest.get(pending.words.job_id) is pending:
            del self._latest[pending.words.job_id]


class InMemoryTokenStream(TokenStream):
    """Hands each piece to the listeners of this process.

    Args:
        max_chars: what a listener may have waiting, in characters; beyond it the oldest is lost.
    """

    def __init__(self, max_chars: int = 256 * 1024) -> None:
        self._max_chars = max_chars
        self._listeners: dict[str, list[_Listener]] = {}

    def say(self, words: Words) -> None:
        """Offer a piece; costs next to nothing where nobody listens."""
        if self._listeners and words.text:
            for listener in self._listeners.get(words.task, ()):
                listener.hear(words)
            for listener in self._listeners.get(_ALL, ()):
                listener.hear(words)

    @asynccontextmanager
    async def listen(self, task: str = _ALL) -> AsyncIterator[AsyncIterator[Words]]:
        """Pieces from now on; see the port."""
        listener = _Listener(self._max_chars)
        self._listeners.setdefault(task, []).append(listener)
        try:
            yield listener
        finally:
            self._listeners[task].remove(listener)
            if not self._listeners[task]:
                del self._listeners[task]

    def heard(self, task: str) -> bool:
        """Whether anybody listens to that task, or to all."""
        return task in self._listeners or _ALL in self._listeners
