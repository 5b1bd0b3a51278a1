"""Model: a chat completion."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fleet_core.domain.model_call import Completion, ModelRequest

OnText = Callable[[str], None]
"""Receives pieces of an answer as they arrive, in order; must not block.

A retry after a cut stream begins the answer anew; the adapter signals it with a call of ``""``.
"""


@dataclass(frozen=True, slots=True)
class CallBudget:
    """What one call may take, over all its retries.

    Attributes:
        timeout_ms: from the call to its end, all retries included.
        tokens: prompt and answer of all attempts together; a retry that might exceed it is not
            made.
        headers: sent along where the transport has headers (`x-fleet-job`, `traceparent`).
    """

    timeout_ms: int
    tokens: int
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """Whether the endpoint serves now; `detail` names endpoint and model for a person."""

    ready: bool
    detail: str


class Model(Protocol):
    """Any chat model. Adapters retry what is retryable within the budget, then raise."""

    @abstractmethod
    async def complete(
        self, request: ModelRequest, budget: CallBudget, on_text: OnText | None = None
    ) -> Completion:
        """One whole answer. With `on_text` it is streamed; the result is the same.

        With a schema the text is JSON of that schema. `Completion` counts tokens over all
        attempts. Cancelling the awaiting task stops the call at the server too.

        Raises:
            ModelError: one of its subclasses; never another text in place of an answer.
        """

    @abstractmethod
    async def count(self, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text by this model's tokenizer; the stated estimate where it has none.

        Raises:
            ModelUnavailable: the tokenizer's server does not answer.
        """

    @abstractmethod
    def tokenizer(self) -> str:
        """The name under which counts are cached and shown; `estimate` where there is none."""

    @abstractmethod
    async def health(self) -> ModelHealth:
        """Ask the endpoint; never raises ModelError."""
