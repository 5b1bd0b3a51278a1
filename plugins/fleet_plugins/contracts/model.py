"""What every `Model` does.

An author subclasses `ModelContract` and provides a fixture `model`: the adapter, opened. Where a
peer can be told to misbehave, `ModelFailureContract` says what must come of it: its peer answers
from `CONTRACT_SCRIPT` (the scripted server can), and the fixture `model` is connected to it.
The tests are marked for anyio's pytest plugin.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from fleet_core.domain.job_header import JOB_HEADER
from fleet_core.domain.model_call import (
    Completion,
    Message,
    ModelRequest,
    Sampling,
    Speaker,
    estimate_tokens,
)
from fleet_core.errors import (
    EmptyAnswer,
    MalformedAnswer,
    ModelError,
    ModelRefused,
    ModelUnavailable,
    RateLimited,
    StreamCut,
)
from fleet_core.ports.model import CallBudget, Model
from fleet_plugins.kit.structured import schema_check

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 40},
        "ranking": {
            "type": "array",
            "items": {"type": "string", "enum": ["A", "B", "C"]},
            "minItems": 3,
            "maxItems": 3,
        },
    },
    "required": ["title", "ranking"],
    "additionalProperties": False,
}
_ANSWER = "An answer of several words, long enough to come in pieces, and plain to read."

CONTRACT_SCRIPT: Mapping[str, Any] = {
    "answers": [
        {"text": _ANSWER},
        {"task": "structured", "json": {"title": "three", "ranking": ["C", "A", "B"]}},
        {"task": "slow", "text": _ANSWER, "delay_ms": 150},
        {"task": "down-once", "text": _ANSWER, "fail": {"status": 503}, "times": 1},
        {"task": "down", "fail": {"status": 500}},
        {"task": "busy-once", "text": _ANSWER, "fail": {"status": 429}, "times": 1},
        {"task": "busy-long", "fail": {"status": 429, "retry_after": 3600}},
        {"task": "refused", "fail": {"status": 400}},
        {"task": "cut-once", "text": _ANSWER, "fail": {"cut": 33}, "times": 1},
        {"task": "cut", "text": _ANSWER, "fail": {"cut": 33}},
        {"task": "empty", "fail": {"empty": True}},
        {"task": "malformed", "fail": {"malformed": True}},
        {"task": "hang", "fail": {"hang": True}},
    ]
}


def asked(text: str = "Say something short.", *, max_tokens: int = 48, schema: Any = None) -> Any:
    """A request for the default binding."""
    return ModelRequest(
        "default",
        "",
        (Message(Speaker.SYSTEM, "Be brief."), Message(Speaker.USER, text)),
        Sampling(temperature=0.0, max_tokens=max_tokens, seed=1),
        schema,
    )


def budget(task: str = "any", *, timeout_ms: int = 90_000, tokens: int = 100_000) -> CallBudget:
    """A budget whose job header names `task`."""
    job = {"task": task, "role": "DEV", "agent": 1, "step": "propose", "round": 1, "sample": 0}
    return CallBudget(timeout_ms, tokens, {JOB_HEADER: json.dumps(job)})


class ModelContract:
    """What holds of every model that serves.

    Attributes:
        counts_exactly: whether `count` asks a tokenizer.
    """

    pytestmark: ClassVar[Any] = pytest.mark.anyio
    counts_exactly: ClassVar[bool] = False

    async def test_answers_with_text_and_what_it_used(self, model: Model) -> None:
        answer = await model.complete(asked(), budget())
        assert answer.text.strip()
        assert answer.finish in ("stop", "length")
        assert answer.prompt_tokens > 0
        assert 0 < answer.answer_tokens <= 48
        assert answer.attempts == 1

    async def test_streams_the_same_answer_in_order(self, model: Model) -> None:
        pieces: list[str] = []
        answer = await model.complete(asked(), budget(), pieces.append)
        assert "".join(pieces) == answer.text
        assert "" not in pieces
        assert answer.answer_tokens > 0

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_a_structured_answer_is_of_its_schema(
        self, model: Model, *, streamed: bool
    ) -> None:
        request = asked("Rank A, B and C.", max_tokens=256, schema=SCHEMA)
        on_text = (lambda _: None) if streamed else None
        answer = await model.complete(request, budget("structured"), on_text)
        assert schema_check(SCHEMA)(json.loads(answer.text)) == ""

    async def test_takes_several_calls_at_once(self, model: Model) -> None:
        async with asyncio.TaskGroup() as group:
            calls = [
                group.create_task(model.complete(asked(f"Say {n}.", max_tokens=8), budget()))
                for n in range(6)
            ]
        assert all(call.result().text for call in calls)

    async def test_a_cancelled_call_leaves_the_model_usable(self, model: Model) -> None:
        call = asyncio.create_task(model.complete(asked(max_tokens=400), budget("slow")))
        await asyncio.sleep(0)  # let it begin
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await model.complete(asked(max_tokens=8), budget())).text

    async def test_counts_each_text(self, model: Model) -> None:
        texts = ["", "one", "one two three four five six", "def f(x):\n    return x\n", "né — ok"]
        counts = list(await model.count(texts))
        assert len(counts) == len(texts)
        assert counts[0] == 0
        assert 0 < counts[1] < counts[2]
        estimates = [estimate_tokens(text) for text in texts]
        assert (counts == estimates) is not self.counts_exactly
        assert list(await model.count([])) == []

    async def test_counts_do_not_depend_on_the_batch(self, model: Model) -> None:
        texts = [f"text number {n} " * n for n in range(80)]
        together = list(await model.count(texts))
        for n in (0, 1, 40, 79):
            assert list(await model.count([texts[n]])) == [together[n]]

    async def test_names_its_tokenizer(self, model: Model) -> None:
        assert (model.tokenizer() == "estimate") is not self.counts_exactly
        assert model.tokenizer()

    async def test_says_that_it_is_ready(self, model: Model) -> None:
        health = await model.health()
        assert health.ready, health.detail
        assert health.detail


class ModelFailureContract:
    """What a model makes of a peer that answers from `CONTRACT_SCRIPT`, badly."""

    pytestmark: ClassVar[Any] = pytest.mark.anyio

    @pytest.mark.parametrize("task", ["down-once", "busy-once"])
    async def test_tries_again_what_may_pass(self, model: Model, task: str) -> None:
        answer = await model.complete(asked(), budget(task))
        assert answer.text == _ANSWER
        assert answer.attempts == 2

    async def test_gives_up_on_a_server_that_stays_down(self, model: Model) -> None:
        error = await _failure(model, "down", ModelUnavailable)
        assert error.attempts > 1

    async def test_asks_once_where_the_server_refuses(self, model: Model) -> None:
        error = await _failure(model, "refused", ModelRefused)
        assert error.attempts == 1

    async def test_does_not_wait_beyond_its_budget(self, model: Model) -> None:
        error = await _failure(model, "busy-long", RateLimited)
        assert isinstance(error, RateLimited)
        assert error.retry_after_ms == 3_600_000
        assert error.attempts == 1

    async def test_a_cut_stream_begins_anew(self, model: Model) -> None:
        pieces: list[str] = []
        answer = await model.complete(asked(), budget("cut-once"), pieces.append)
        assert answer.text == _ANSWER
        restart = pieces.index("")
        assert _ANSWER.startswith("".join(pieces[:restart]))
        assert "".join(pieces[restart:]) == _ANSWER
        whole = await model.complete(asked(), budget())
        assert answer.prompt_tokens + answer.answer_tokens > _used(whole)

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_a_cut_answer_is_never_taken_for_a_whole_one(
        self, model: Model, *, streamed: bool
    ) -> None:
        on_text = (lambda _: None) if streamed else None
        error = await _failure(model, "cut", StreamCut, on_text=on_text)
        assert error.prompt_tokens > 0

    async def test_does_not_retry_beyond_its_tokens(self, model: Model) -> None:
        whole = _used(await model.complete(asked(), budget()))
        limits = budget("cut", tokens=whole + 48)
        error = await _failure(model, limits, StreamCut, on_text=lambda _: None)
        assert error.attempts == 1
        assert error.prompt_tokens + error.answer_tokens <= whole + 48

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_nothing_is_not_an_answer(self, model: Model, *, streamed: bool) -> None:
        await _failure(model, "empty", EmptyAnswer, on_text=(lambda _: None) if streamed else None)

    async def test_broken_json_is_not_an_answer(self, model: Model) -> None:
        await _failure(model, "malformed", MalformedAnswer, schema=SCHEMA)

    async def test_ends_with_its_budget(self, model: Model) -> None:
        await _failure(model, budget("hang", timeout_ms=200), ModelUnavailable)

    async def test_no_answer_is_made_up(self, model: Model) -> None:
        await _failure(model, CallBudget(5_000, 100_000), ModelRefused)


async def _failure(
    model: Model,
    limits: CallBudget | str,
    kind: type[ModelError],
    *,
    schema: Any = None,
    on_text: Any = None,
) -> ModelError:
    """The error that a call ends in, which says something and is of exactly that kind."""
    if isinstance(limits, str):
        limits = budget(limits)
    with pytest.raises(ModelError) as caught:
        await model.complete(asked(schema=schema), limits, on_text)
    assert type(caught.value) is kind, caught.value
    assert caught.value.message
    return caught.value


def _used(answer: Completion) -> int:
    return answer.prompt_tokens + answer.answer_tokens
