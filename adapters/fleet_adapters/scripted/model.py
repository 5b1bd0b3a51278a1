"""The scripted model, called directly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fleet_adapters.scripted.answering import Answers, Asked, NoAnswer, Reply, ScriptedAnswers
from fleet_adapters.scripted.plugin import ScriptedSettings
from fleet_adapters.scripted.script import Fail, load_script
from fleet_core.domain.job_header import JOB_HEADER
from fleet_core.domain.model_call import Completion, ModelRequest, estimate_tokens
from fleet_core.errors import (
    EmptyAnswer,
    ModelRefused,
    ModelUnavailable,
    ProfileError,
    RateLimited,
    StreamCut,
)
from fleet_core.ports.model import CallBudget, Model, ModelHealth, OnText
from fleet_plugins.api import FactoryContext
from fleet_plugins.kit.retry import RetryPolicy, Spent, retrying
from fleet_plugins.kit.structured import parse_structured

PIECE = 16  # characters in one piece of a streamed answer


class ScriptedModel(Model):
    """Behaves as `openai` would against the scripted server, without a connection."""

    def __init__(self, answers: Answers, detail: str, policy: RetryPolicy | None = None) -> None:
        self._answers = answers
        self._detail = detail
        self._policy = policy or RetryPolicy(base_ms=20)

    async def complete(
        self, request: ModelRequest, budget: CallBudget, on_text: OnText | None = None
    ) -> Completion:
        """See `Model.complete`; what to answer is found by the header `x-fleet-job`."""
        asked = Asked(
            budget.headers.get(JOB_HEADER, ""),
            tuple((m.speaker.value, m.text) for m in request.messages),
            request.schema,
            {"seed": request.sampling.seed, "temperature": request.sampling.temperature},
        )
        spent = Spent()
        worst = 0
        heard = False

        def say(text: str) -> None:
            nonlocal heard
            heard = True
            if on_text is not None:
                for start in range(0, len(text), PIECE):
                    on_text(text[start : start + PIECE])

        async def attempt(deadline: float) -> str:
            nonlocal worst
            reply = self._reply(asked)
            worst = reply.prompt_tokens + request.sampling.max_tokens
            if heard and on_text is not None:
                on_text("")
            try:
                async with asyncio.timeout_at(deadline):
                    await _deliver(reply, spent, say)
            except TimeoutError:
                raise ModelUnavailable(
                    f"{self._detail} did not answer within {budget.timeout_ms} ms"
                ) from None
            if request.schema is not None:
                parse_structured(reply.text, request.schema)
            return reply.text

        text = await retrying(
            attempt,
            budget=budget,
            spent=spent,
            worst_tokens=lambda: worst,
            policy=self._policy,
        )
        return Completion(
            text, "stop", spent.prompt_tokens, spent.answer_tokens, attempts=spent.attempts
        )

    async def count(self, texts: Sequence[str]) -> Sequence[int]:
        """See `Model.count`; always the estimate."""
        return [estimate_tokens(text) for text in texts]

    def tokenizer(self) -> str:
        """See `Model.tokenizer`."""
        return "estimate"

    async def health(self) -> ModelHealth:
        """Always ready."""
        return ModelHealth(ready=True, detail=self._detail)

    def _reply(self, asked: Asked) -> Reply:
        try:
            return self._answers.reply(asked)
        except NoAnswer as error:
            raise ModelRefused(f"{self._detail}: {error}", "add an entry to the script") from None


async def _deliver(reply: Reply, spent: Spent, say: OnText) -> None:
    """Give the answer, or fail in the way that the script says."""
    fail = reply.fail or Fail()
    if reply.delay_ms:
        await asyncio.sleep(reply.delay_ms / 1000)
    if fail.status:
        raise _of_status(fail)
    spent.prompt_tokens += reply.prompt_tokens
    if fail.cut >= 0:
        cut = reply.text[: fail.cut]
        spent.answer_tokens += estimate_tokens(cut)
        say(cut)
    if fail.hang:
        await asyncio.get_running_loop().create_future()
    if fail.cut >= 0:
        raise StreamCut(f"the script cuts this answer after {fail.cut} characters")
    spent.answer_tokens += reply.answer_tokens
    if not reply.text:
        raise EmptyAnswer("the script answers with no text")
    say(reply.text)


def _of_status(fail: Fail) -> RateLimited | ModelUnavailable | ModelRefused:
    said = f"the script answers {fail.status}"
    if fail.status == 429:
        return RateLimited(said, retry_after_ms=round(fail.retry_after * 1000))
    return ModelUnavailable(said) if fail.status >= 500 else ModelRefused(said)


@asynccontextmanager
async def open_model(
    settings: ScriptedSettings,
    ctx: FactoryContext,  # noqa: ARG001 -- every factory is given one
) -> AsyncIterator[ScriptedModel]:
    """The model of a script file.

    Raises:
        ProfileError: no script is named.
        InputError: it cannot be read, or is not a script.
    """
    if not settings.script:
        raise ProfileError(
            "is empty",
            "name a script: --set model.script=FILE",
            source="model.scripted",
            field="script",
        )
    path = Path(settings.script)
    script = load_script(path)
    policy = RetryPolicy(max_attempts=settings.max_attempts, base_ms=settings.backoff_ms)
    detail = f"script {path} ({len(script.answers)} answers)"
    yield ScriptedModel(ScriptedAnswers(script), detail, policy)
