"""Bounded retries of a model call, with full jitter, within a `CallBudget`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from fleet_core.errors import ModelError, RateLimited
from fleet_core.ports.model import CallBudget

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how long to wait between attempts.

    Attributes:
        max_attempts: attempts in all, from 1.
        base_ms: the longest wait before the second attempt; it doubles with each further one.
        cap_ms: the longest wait; a server's own `Retry-After` is not shortened by it.
    """

    max_attempts: int = 4
    base_ms: int = 200
    cap_ms: int = 10_000


@dataclass(slots=True)
class Spent:
    """What the attempts of one call have used so far; an attempt adds to it as it learns."""

    prompt_tokens: int = 0
    answer_tokens: int = 0
    attempts: int = 0
    estimated: bool = False

    @property
    def tokens(self) -> int:
        """Prompt and answer together."""
        return self.prompt_tokens + self.answer_tokens


def wait_ms(policy: RetryPolicy, failed: int, retry_after_ms: int, draw: float) -> int:
    """Before the next attempt, after `failed` of them; `draw` is uniform in [0, 1).

    Full jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015); where the
    server named a time, at least that, and the jitter on top, so that callers do not return in
    one wave.
    """
    ceiling = min(policy.cap_ms, policy.base_ms * 2 ** min(failed - 1, 20))
    return retry_after_ms + int(draw * ceiling)


async def retrying(
    attempt: Callable[[float], Awaitable[T]],
    *,
    budget: CallBudget,
    spent: Spent,
    worst_tokens: Callable[[], int],
    policy: RetryPolicy,
    draw: Callable[[], float] = random.random,
) -> T:
    """The result of the first attempt that succeeds.

    Args:
        attempt: one call; gets the loop time at which the whole call must be over, and keeps it.
        budget: over all attempts.
        spent: filled by `attempt`; its `attempts` is counted here.
        worst_tokens: what one more attempt may use at most; asked only after a failure.
        policy: how often, and how long to wait.
        draw: uniform in [0, 1).

    Raises:
        ModelError: of the last attempt made, with what all of them used.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + budget.timeout_ms / 1000
    while True:
        spent.attempts += 1
        try:
            return await attempt(deadline)
        except ModelError as error:
            error.prompt_tokens = spent.prompt_tokens
            error.answer_tokens = spent.answer_tokens
            error.attempts = spent.attempts
            if not error.retryable or spent.attempts >= policy.max_attempts:
                raise
            if spent.tokens + worst_tokens() > budget.tokens:
                raise
            asked = error.retry_after_ms if isinstance(error, RateLimited) else 0
            pause = wait_ms(policy, spent.attempts, asked, draw()) / 1000
            if clock() + pause >= deadline:
                raise
            await asyncio.sleep(pause)
