"""GraphHistory: what a context graph has kept of each story, page by page; part of ContextGraph."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from fleet_core.domain.history import Record, Recorded


class GraphHistory(Protocol):
    """Everything that was recorded, superseded decisions too."""

    @abstractmethod
    async def stories(self, *, after: str = "", limit: int = 1000) -> Sequence[str]:
        """Names of stories above `after`, in an order that stays the same."""

    @abstractmethod
    async def records(self, story: str, *, after: str = "", limit: int = 200) -> Sequence[Recorded]:
        """A story's records beyond a place (empty: from the beginning), at most `limit`.

        Plans come first, then decisions in the order in which they were recorded, each with those
        it superseded. A decision that is recorded between two pages is on a later one. An unknown
        story has none.

        Raises:
            InputError: `after` is no place.
        """

    @abstractmethod
    async def restore(self, records: Sequence[Record]) -> int:
        """Keep records of one story, in their order; all of them or, where one is refused, none.

        It is as if each was recorded alone: what is known already stays as it is, and each of the
        others raises the revision. A few hundred at a time are a good measure.

        Returns:
            The story's revision that holds them; 0 where there are none.

        Raises:
            InputError: they are of several stories.
            PlanError: as by `record_plan`.
        """

    @abstractmethod
    async def prune(self, story: str, before_ms: int) -> int:
        """Drop superseded decisions that were recorded before that; no pack changes by it.

        Returns:
            How many were dropped.
        """
