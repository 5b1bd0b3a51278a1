"""What a listener has not heard yet: adjacent pieces of a job joined, and no more than it may be.

Not an adapter: token streams of this process and of a network both keep such backlogs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from fleet_core.ports.token_stream import Words


@dataclass(slots=True)
class _Pending:
    """Adjacent pieces of one job that were not heard yet; `begin` is the first one's offset."""

    words: Words
    begin: int
    end: int
    parts: deque[str]


@dataclass(eq=False)
class Backlog(AsyncIterator[Words]):
    """One listener's backlog, in the order in which its jobs began to speak.

    Attributes:
        max_chars: what it may hold, in characters; beyond it the oldest is lost.
    """

    max_chars: int
    _queue: deque[_Pending] = field(default_factory=deque)
    _latest: dict[str, _Pending] = field(default_factory=dict)
    _chars: int = 0
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, words: Words) -> None:
        """Add a piece; joined to the one before it where it goes on from there."""
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

    def take(self) -> Words | None:
        """The oldest pieces of a job, joined; None where there is nothing."""
        if not self._queue:
            return None
        pending = self._queue.popleft()
        self._forget(pending)
        text = "".join(pending.parts)
        self._chars -= len(text)
        return replace(pending.words, offset=pending.begin, text=text)

    async def wait(self) -> None:
        """Until there is something to take."""
        while not self._queue:
            self._more.clear()
            await self._more.wait()

    async def __anext__(self) -> Words:
        """The oldest pieces of a job; waits for them."""
        while (words := self.take()) is None:
            await self.wait()
        return words

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
