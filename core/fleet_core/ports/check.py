"""Check: evidence for a proposal."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from fleet_core.domain.job import CheckRequest, Evidence


class Check(Protocol):
    """Runs one or several kinds of check."""

    @abstractmethod
    def kinds(self) -> tuple[str, ...]:
        """The values of `CheckRequest.check` it takes, e.g. `python`."""

    @abstractmethod
    async def run(self, request: CheckRequest, *, timeout_ms: int) -> Evidence:
        """Evidence from really running it; a timeout of the proposal's own code is `failed`.

        Raises:
            CheckRefused: it cannot be run safely here, or its `spec` is wrong; becomes `not run`.
        """

    @abstractmethod
    async def available(self) -> str:
        """Empty where checks can run here; otherwise why not, and the way out."""
