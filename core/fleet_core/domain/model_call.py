"""What is asked of a model and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Speaker(StrEnum):
    """The chat role of a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message."""

    speaker: Speaker
    text: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn.

    Attributes:
        temperature: 0.0 is greedy.
        top_p: nucleus mass in (0, 1].
        max_tokens: the longest answer, in tokens.
        seed: None leaves it to the server.
        stop: texts that end the answer.
    """

    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-dollars for a million tokens."""

    prompt: int = 0
    answer: int = 0

    def of(self, prompt_tokens: int, answer_tokens: int) -> int:
        """The cost in micro-dollars, rounded up."""
        return -(-(prompt_tokens * self.prompt + answer_tokens * self.answer) // 1_000_000)


@dataclass(frozen=True, slots=True)
class Binding:
    """Which model an agent speaks through.

    Attributes:
        name: the profile's binding: `default` is `[model]`, any other is `[models.NAME]`.
        model: the model's own name, as its server knows it.
        structured: whether answers are asked for by JSON schema.
        price: what its tokens cost.
    """

    name: str = "default"
    model: str = ""
    structured: bool = True
    price: Price = Price()


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One chat completion. `schema` is a JSON schema of an object, or None for free text."""

    binding: str
    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    schema: Mapping[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens billed over all attempts of a call, and what they cost."""

    prompt_tokens: int = 0
    answer_tokens: int = 0
    micro_usd: int = 0
    attempts: int = 0

    @property
    def tokens(self) -> int:
        """Prompt and answer together."""
        return self.prompt_tokens + self.answer_tokens


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's whole answer.

    Attributes:
        text: never empty.
        finish: `stop`, `length` or what else the server said.
        prompt_tokens, answer_tokens: over all attempts, as the server reports them; where it
            does not, an estimate, and `estimated` is true.
        attempts: calls it took, failed ones included.
    """

    text: str
    finish: str
    prompt_tokens: int
    answer_tokens: int
    estimated: bool = False
    attempts: int = 1


def estimate_tokens(text: str) -> int:
    """The stated estimate where no tokenizer is at hand: a token for every 3 bytes of UTF-8.

    On English and on code it is above what byte-pair tokenizers of the GPT-2 family count.
    """
    return -(-len(text.encode("utf-8", "surrogatepass")) // 3)


MESSAGE_TOKENS = 8  # the marks that a chat template sets around one message, at most


def estimate_prompt(messages: tuple[Message, ...]) -> int:
    """`estimate_tokens` over a chat prompt, with its template's marks."""
    return sum(estimate_tokens(m.text) + MESSAGE_TOKENS for m in messages)
