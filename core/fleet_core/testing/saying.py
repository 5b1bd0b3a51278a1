"""A model and a check that do as a test tells them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fleet_core.domain.job import CheckRequest, Evidence, Standing
from fleet_core.domain.model_call import Completion, ModelRequest, estimate_tokens
from fleet_core.errors import CheckRefused, ModelUnavailable, StoreError
from fleet_core.ports.check import Check
from fleet_core.ports.model import CallBudget, Model, ModelHealth, OnText


class ObedientModel(Model):
    """Answers `a b c` for 5 and 3 tokens.

    Attributes:
        go: calls go on once it is set; it is, unless a test clears it.
        fail: calls raise instead, having used 7 tokens in 2 attempts.
        tokens_each: of every text that is counted; 0 for the stated estimate.
        begun, stopped: calls that were made, and that were cancelled.
    """

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.fail = False
        self.tokens_each = 0
        self.begun = 0
        self.stopped = 0

    async def complete(
        self,
        request: ModelRequest,  # noqa: ARG002 -- the port's
        budget: CallBudget,  # noqa: ARG002 -- the port's
        on_text: OnText | None = None,
    ) -> Completion:
        """See the port."""
        self.begun += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        if self.fail:
            error = ModelUnavailable("it was told to")
            error.prompt_tokens, error.attempts = 7, 2
            raise error
        for piece in ("a ", "b ", "c"):
            if on_text is not None:
                on_text(piece)
        return Completion("a b c", "stop", 5, 3)

    async def count(self, texts: Sequence[str]) -> Sequence[int]:
        """See the port."""
        return [self.tokens_each or estimate_tokens(text) for text in texts]

    def tokenizer(self) -> str:
        """See the port."""
        return "obedient" if self.tokens_each else "estimate"

    async def health(self) -> ModelHealth:
        """See the port."""
        return ModelHealth(ready=True, detail="obedient")


class ObedientCheck(Check):
    """Does what the proposal says: `pass`, `fail`, `refuse` or `break`."""

    def kinds(self) -> tuple[str, ...]:
        """See the port."""
        return ("python",)

    async def run(
        self,
        request: CheckRequest,
        *,
        timeout_ms: int,  # noqa: ARG002 -- the port's
    ) -> Evidence:
        """See the port."""
        if request.proposal == "refuse":
            raise CheckRefused("it was told to")
        if request.proposal == "break":
            raise StoreError("it was told to")
        good = request.proposal == "pass"
        standing = Standing.PASSED if good else Standing.FAILED
        return Evidence("another name", standing, "as told", score=float(good))

    async def available(self) -> str:
        """See the port."""
        return ""
