"""What agents are saying, handed on within this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleet_adapters.backlog import Backlog
from fleet_core.ports.token_stream import TokenStream, Words

_ALL = "*"


class InMemoryTokenStream(TokenStream):
    """Hands each piece to the listeners of this process.

    Args:
        max_chars: what a listener may have waiting, in characters; beyond it the oldest is lost.
    """

    def __init__(self, max_chars: int = 256 * 1024) -> None:
        self._max_chars = max_chars
        self._listeners: dict[str, list[Backlog]] = {}

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
        listener = Backlog(self._max_chars)
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
