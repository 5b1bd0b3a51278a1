"""One call on its way: what is sent, what was heard, what it has cost so far."""

from __future__ import annotations

from dataclasses import dataclass

from multidict import CIMultiDict

from fleet_adapters.chat_http.wire_answer import StreamedAnswer, WireAnswer
from fleet_core.domain.model_call import ModelRequest, estimate_prompt, estimate_tokens
from fleet_core.ports.model import OnText
from fleet_plugins.kit.retry import Spent


@dataclass(slots=True)
class Call:
    """Over all its attempts.

    Attributes:
        on_text: None where the answer is not streamed.
        heard: whether any attempt has given text to `on_text`.
        streamed: what the attempt under way has received, once it streams.
    """

    request: ModelRequest
    body: bytes
    headers: CIMultiDict[str]
    on_text: OnText | None
    spent: Spent
    heard: bool = False
    streamed: StreamedAnswer | None = None
    prompt_tokens: int = -1

    def worst_tokens(self) -> int:
        """What one more attempt may use at most."""
        return self._prompt() + self.request.sampling.max_tokens

    def charge(self, answer: WireAnswer) -> None:
        """Count an answer, as the server does; by estimate where it did not say."""
        spent = self.spent
        prompt, said = answer.prompt_tokens, answer.answer_tokens
        if prompt is None or said is None:
            spent.estimated = True
        if prompt is not None:
            self.prompt_tokens = prompt
        spent.prompt_tokens += self._prompt()
        spent.answer_tokens += estimate_tokens(answer.text) if said is None else said

    def charge_unknown(self) -> None:
        """Count an attempt that ended in a way that leaves its cost open.

        What was streamed is known; what would have come in one piece may have been the longest.
        """
        spent = self.spent
        spent.estimated = True
        spent.prompt_tokens += self._prompt()
        if self.streamed is not None:
            spent.answer_tokens += estimate_tokens(self.streamed.finished().text)
        elif self.on_text is None:
            spent.answer_tokens += self.request.sampling.max_tokens

    def _prompt(self) -> int:
        if self.prompt_tokens < 0:
            self.prompt_tokens = estimate_prompt(self.request.messages)
        return self.prompt_tokens
