"""TokenStream: what agents are saying, live."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Words:
    """A piece of an answer; `offset` is where it begins, in characters of that job's answer."""

    deliberation_id: str
    task: str
    agent_id: str
    job_id: str
    offset: int
    text: str


class TokenStream(Protocol):
    """Lossy, coalesced, never waited for, not in the log."""

    @abstractmethod
    def say(self, words: Words) -> None:
        """Offer a piece to whoever listens; never blocks, never fails, may drop."""

    @abstractmethod
    def listen(self, task: str = "*") -> AbstractAsyncContextManager[AsyncIterator[Words]]:
        """Pieces from now on, of one task (`ids.task_token`) or of all.

        A listener that falls behind gets adjacent pieces of one job joined, then loses the oldest.
        """

    @abstractmethod
    def heard(self, task: str) -> bool:
        """Whether anybody listens to that task now."""
