"""What every check must do, whatever its kind."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fleet_core.domain.job import CheckRequest, Evidence, Standing
from fleet_core.errors import CheckRefused
from fleet_core.ports.check import Check

TIMEOUT_MS = 20_000
OUTPUT_BYTES = 4096
PATIENCE_SECONDS = 60  # a limit that only a hang reaches


class CheckContract:
    """Subclass it, and give the fixtures.

    `check` is an open check that can run here. `passing` and `failing` are requests whose evidence
    is passed and failed; `hanging` one whose proposal never ends by itself; `malformed` one whose
    `spec` is wrong.
    """

    pytestmark = pytest.mark.anyio

    async def test_it_can_run_here(self, check: Check) -> None:
        assert await check.available() == ""

    async def test_it_names_the_kinds_it_takes(self, check: Check, passing: CheckRequest) -> None:
        assert passing.check in check.kinds()
        assert len(set(check.kinds())) == len(check.kinds())

    async def test_a_good_proposal_passes(self, check: Check, passing: CheckRequest) -> None:
        evidence = await check.run(passing, timeout_ms=TIMEOUT_MS)
        assert (evidence.standing, evidence.score) == (Standing.PASSED, 1.0), evidence
        self._well_formed(evidence, passing)

    async def test_a_bad_proposal_fails(self, check: Check, failing: CheckRequest) -> None:
        evidence = await check.run(failing, timeout_ms=TIMEOUT_MS)
        assert evidence.standing is Standing.FAILED, evidence
        self._well_formed(evidence, failing)

    async def test_the_same_request_gives_the_same_evidence(
        self, check: Check, failing: CheckRequest
    ) -> None:
        first = await check.run(failing, timeout_ms=TIMEOUT_MS)
        assert await check.run(failing, timeout_ms=TIMEOUT_MS) == first

    async def test_a_proposal_that_hangs_fails_in_time(
        self, check: Check, hanging: CheckRequest
    ) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            evidence = await check.run(hanging, timeout_ms=500)
        assert evidence.standing is Standing.FAILED, evidence
        self._well_formed(evidence, hanging)

    async def test_a_malformed_spec_is_refused(self, check: Check, malformed: CheckRequest) -> None:
        with pytest.raises(CheckRefused) as refused:
            await check.run(malformed, timeout_ms=TIMEOUT_MS)
        assert refused.value.message.strip()

    async def test_an_unknown_kind_is_refused(self, check: Check, passing: CheckRequest) -> None:
        with pytest.raises(CheckRefused):
            await check.run(replace(passing, check="no-such-kind"), timeout_ms=TIMEOUT_MS)

    async def test_checks_at_once_do_not_mix(
        self, check: Check, passing: CheckRequest, failing: CheckRequest
    ) -> None:
        requests = [passing, failing] * 3
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(check.run(r, timeout_ms=TIMEOUT_MS)) for r in requests]
        standings = [run.result().standing for run in runs]
        assert standings == [Standing.PASSED, Standing.FAILED] * 3

    async def test_a_cancelled_check_ends_and_leaves_the_check_usable(
        self, check: Check, passing: CheckRequest, hanging: CheckRequest
    ) -> None:
        run = asyncio.ensure_future(check.run(hanging, timeout_ms=PATIENCE_SECONDS * 1000))
        await asyncio.wait([run], timeout=0.2)
        run.cancel()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.wait([run])
        assert run.cancelled() or run.result().standing is Standing.FAILED
        evidence = await check.run(passing, timeout_ms=TIMEOUT_MS)
        assert evidence.standing is Standing.PASSED

    @pytest.mark.parametrize(
        "text",
        ["", " \n", "\0", "\ud800", "```", "```python\n```", "(" * 100_000, "x" * 2_000_000],
        ids=["empty", "blank", "nul", "surrogate", "fence", "no-code", "nested", "huge"],
    )
    async def test_no_text_breaks_it(self, check: Check, passing: CheckRequest, text: str) -> None:
        evidence = await check.run(replace(passing, proposal=text), timeout_ms=TIMEOUT_MS)
        assert evidence.standing is Standing.FAILED, evidence
        self._well_formed(evidence, passing)

    def _well_formed(self, evidence: Evidence, request: CheckRequest) -> None:
        assert evidence.kind == request.check
        assert evidence.summary.strip()
        assert "\n" not in evidence.summary
        assert len(evidence.output.encode()) <= OUTPUT_BYTES
        assert 0.0 <= evidence.score <= 1.0
        assert evidence.standing is Standing.PASSED or evidence.score < 1.0
