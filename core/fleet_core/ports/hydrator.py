"""Hydrator: context packs in, decisions recorded."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from fleet_core.domain.context import ContextPack, PackRequest
from fleet_core.domain.decision import Decision


class Hydrator(Protocol):
    """What Deliberate asks of Hydrate."""

    @abstractmethod
    async def pack(self, request: PackRequest) -> ContextPack:
        """The pack for one task and role; same graph revision and request, same bytes.

        Raises:
            InputError: the anchors alone do not fit the budget (both numbers in the message).
            Unavailable: the graph is away.
        """

    @abstractmethod
    async def record(self, decision: Decision) -> int:
        """Write a decision to the graph, then publish `context.updated`; idempotent.

        Returns:
            The story's revision that holds it.
        """
