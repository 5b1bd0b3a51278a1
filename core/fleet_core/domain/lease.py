"""A deliberation's budget, and the slices of it that travel with its jobs.

The lease is part of the deliberation's state: issuing a job reserves a slice, reducing the job's
result settles it once. No other process holds a balance.
"""

from __future__ import annotations

from dataclasses import dataclass

from fleet_core.domain.evolve import evolve
from fleet_core.domain.model_call import Usage


@dataclass(frozen=True, slots=True)
class Slice:
    """What one job may use, over all its retries.

    Attributes:
        prompt_tokens: the reserved size of the prompt.
        answer_tokens: the longest answer.
        micro_usd: money for all its tokens.
        deadline_ms: absolute UTC milliseconds; a job without one has passed it.
        spare_tokens: room to make a call once more that was cut, and is billed all the same.
    """

    prompt_tokens: int = 0
    answer_tokens: int = 0
    micro_usd: int = 0
    deadline_ms: int = 0
    spare_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Prompt, answer and spare together."""
        return self.prompt_tokens + self.answer_tokens + self.spare_tokens

    def repeatable(self) -> Slice:
        """A slice that has none to spare, with room for the same call once more."""
        return evolve(self, spare_tokens=self.tokens, micro_usd=2 * self.micro_usd)


@dataclass(frozen=True, slots=True)
class Lease:
    """Tokens, micro-dollars and a deadline; what is reserved and what is spent of them.

    `micro_usd` 0 means that money is not limited; `tokens` and `deadline_ms` always are.
    `overrun_tokens` counts what a server billed beyond a job's slice: it is shown, not hidden.
    """

    tokens: int
    deadline_ms: int
    micro_usd: int = 0
    reserved_tokens: int = 0
    reserved_micro_usd: int = 0
    spent_tokens: int = 0
    spent_micro_usd: int = 0
    overrun_tokens: int = 0

    @property
    def free_tokens(self) -> int:
        """Tokens that can still be reserved; never below 0."""
        return max(0, self.tokens - self.reserved_tokens - self.spent_tokens)

    @property
    def free_micro_usd(self) -> int:
        """Money that can still be reserved; meaningless where money is not limited."""
        return max(0, self.micro_usd - self.reserved_micro_usd - self.spent_micro_usd)

    def covers(self, slices: tuple[Slice, ...]) -> bool:
        """Whether all of `slices` can be reserved together."""
        tokens = sum(s.tokens for s in slices)
        money = sum(s.micro_usd for s in slices)
        return tokens <= self.free_tokens and (not self.micro_usd or money <= self.free_micro_usd)

    def reserve(self, part: Slice) -> Lease:
        """The lease with a slice handed out; ValueError if it does not cover it."""
        if not self.covers((part,)):
            raise ValueError(f"a slice of {part.tokens} tokens of a lease with {self.free_tokens}")
        return evolve(
            self,
            reserved_tokens=self.reserved_tokens + part.tokens,
            reserved_micro_usd=self.reserved_micro_usd + part.micro_usd,
        )

    def settle(self, part: Slice, usage: Usage) -> Lease:
        """The lease with a slice come back and what was used of it spent."""
        return evolve(
            self,
            reserved_tokens=self.reserved_tokens - part.tokens,
            reserved_micro_usd=self.reserved_micro_usd - part.micro_usd,
            spent_tokens=self.spent_tokens + usage.tokens,
            spent_micro_usd=self.spent_micro_usd + usage.micro_usd,
            overrun_tokens=self.overrun_tokens + max(0, usage.tokens - part.tokens),
        )
