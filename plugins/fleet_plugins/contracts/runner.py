"""What every Runner must do.

Subclass `RunnerContract` in your adapter's tests and give it a fixture `runner`, made from the
suite's fixtures `models` (by binding name) and `checks` (by kind). Where the runner runs jobs in
another process, these are what the suite's fakes are built from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from fleet_core.domain.job import CheckRequest, Outcome, Standing
from fleet_core.ports.check import Check
from fleet_core.ports.model import Model
from fleet_core.ports.runner import Runner
from fleet_core.testing.jobs import a_job
from fleet_core.testing.playing import REFERENCE_CALL
from fleet_core.testing.saying import ObedientCheck, ObedientModel

_LIMIT_S = 10


@pytest.mark.anyio
class RunnerContract:
    """A failed call is a failed result; cancelling stops the call; nothing exceeds its slice."""

    @pytest.fixture
    def model(self) -> ObedientModel:
        """Bound as `default`."""
        return ObedientModel()

    @pytest.fixture
    def models(self, model: ObedientModel) -> Mapping[str, Model]:
        """By binding name."""
        return {"default": model}

    @pytest.fixture
    def checks(self) -> Mapping[str, Check]:
        """By kind."""
        return {"python": ObedientCheck()}

    @pytest.fixture
    def runner(self) -> Runner:
        """The runner under test."""
        raise NotImplementedError("give your subclass a fixture `runner`")

    async def test_a_call_ends_in_the_models_answer(self, runner: Runner) -> None:
        """With what it used, and its price."""
        job = a_job()
        result = await runner.run(job)
        assert (result.outcome, result.text, result.finish) == (Outcome.OK, "a b c", "stop")
        assert (result.job_id, result.key, result.task) == (job.job_id, job.key, job.task)
        assert (result.usage.prompt_tokens, result.usage.answer_tokens) == (5, 3)
        assert result.usage.attempts == 1
        assert result.usage.micro_usd == 1

    async def test_what_is_heard_is_what_is_answered(self, runner: Runner) -> None:
        """Piece by piece, in order."""
        heard: list[str] = []
        result = await runner.run(a_job(), heard.append)
        assert "".join(heard) == result.text
        assert len(heard) > 1

    async def test_a_failed_call_is_a_failed_result(
        self, runner: Runner, model: ObedientModel
    ) -> None:
        """With the error's code, its reason and what the attempts used; no text in its place."""
        model.fail = True
        result = await runner.run(a_job())
        assert (result.outcome, result.text) == (Outcome.FAILED, "")
        assert result.failure is not None
        assert result.failure.code == "model_unavailable"
        assert "told to" in result.failure.reason
        assert (result.usage.prompt_tokens, result.usage.attempts) == (7, 2)

    async def test_an_unknown_binding_is_a_failed_result(self, runner: Runner) -> None:
        """It names the bindings there are."""
        request = replace(REFERENCE_CALL.request, binding="nobody")
        result = await runner.run(a_job(work=replace(REFERENCE_CALL, request=request)))
        assert result.failure is not None
        assert "nobody" in result.failure.reason
        assert "default" in result.failure.reason

    async def test_a_prompt_beyond_its_slice_is_not_sent(
        self, runner: Runner, model: ObedientModel
    ) -> None:
        """By the model's own tokenizer."""
        model.tokens_each = 10_000
        result = await runner.run(a_job())
        assert result.failure is not None
        assert result.failure.code == "lease_exceeded"
        assert model.begun == 0

    async def test_a_job_whose_deadline_has_passed_makes_no_call(
        self, runner: Runner, model: ObedientModel
    ) -> None:
        """It fails, and says so."""
        result = await runner.run(a_job(deadline_ms=1))
        assert result.failure is not None
        assert result.failure.code == "deadline"
        assert model.begun == 0

    async def test_cancelling_stops_the_call(self, runner: Runner, model: ObedientModel) -> None:
        """Where it runs."""
        model.go.clear()
        task = asyncio.create_task(runner.run(a_job()))
        await _until(lambda: model.begun == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _until(lambda: model.stopped == 1)
        assert (await runner.stats()).running == 0

    async def test_stats_are_measured(self, runner: Runner, model: ObedientModel) -> None:
        """While jobs run, and after; more jobs than slots wait their turn, and all end."""
        slots = (await runner.stats()).slots
        number = min(slots, 200) + 3
        model.go.clear()
        async with asyncio.TaskGroup() as tasks:
            runs = [tasks.create_task(runner.run(a_job(n + 1))) for n in range(number)]
            async with asyncio.timeout(_LIMIT_S):
                while (s := await runner.stats()).running + s.waiting < number:  # noqa: ASYNC110 -- nobody tells
                    await asyncio.sleep(0.01)
            assert s.running <= slots
            model.go.set()
        assert {run.result().outcome for run in runs} == {Outcome.OK}
        stats = await runner.stats()
        assert (stats.running, stats.waiting) == (0, 0)

    @pytest.mark.parametrize(
        ("proposal", "standing"),
        [("pass", Standing.PASSED), ("fail", Standing.FAILED), ("refuse", Standing.NOT_RUN)],
    )
    async def test_a_check_ends_in_evidence(
        self, runner: Runner, proposal: str, standing: Standing
    ) -> None:
        """Also where it cannot be run: that is evidence which says why, and passes nothing."""
        result = await runner.run(a_job(work=CheckRequest("python", proposal)))
        assert result.outcome is Outcome.OK
        assert result.evidence is not None
        assert (result.evidence.kind, result.evidence.standing) == ("python", standing)
        assert result.evidence.summary

    async def test_an_unknown_check_was_not_run(self, runner: Runner) -> None:
        """And says which there are."""
        result = await runner.run(a_job(work=CheckRequest("rust", "pass")))
        assert result.evidence is not None
        assert result.evidence.standing is Standing.NOT_RUN
        assert "python" in result.evidence.summary

    async def test_a_check_that_breaks_is_a_failed_result(self, runner: Runner) -> None:
        """With the error's code."""
        result = await runner.run(a_job(work=CheckRequest("python", "break")))
        assert result.outcome is Outcome.FAILED
        assert result.failure is not None
        assert result.failure.code == "store"


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(_LIMIT_S):
        while not true():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
