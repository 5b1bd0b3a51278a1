"""The OpenAPI document against the server: what it says is so, and no input makes it fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from fleet_bootstraps.monitor.api import OPERATIONS
from fleet_core.domain.events import DEAD, Event

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
Staged = Callable[..., AbstractAsyncContextManager[Any]]
EXAMPLES = 25
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
ENDLESS = "/api/events"


def fuzzed(url: str) -> list[str]:
    """The operations that were called, each with so many examples, right ones and wrong ones."""
    schema = schemathesis.openapi.from_url(f"{url}/api/openapi.json")
    schema.config.generation.update(modes=list(GenerationMode))
    called = []
    for result in schema.exclude(path=ENDLESS).get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        called.append(str(operation.definition.raw["operationId"]))
        for mode in GenerationMode:
            if mode is GenerationMode.NEGATIVE and not _can_be_wrong(operation):
                continue
            strategy = operation.as_strategy(generation_mode=mode)

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=strategy)
            def test(case: Any) -> None:
                case.call_and_validate(checks=CHECKS, timeout=20)

            test()
    return called


def _can_be_wrong(operation: Any) -> bool:
    raw = operation.definition.raw
    return any(p["in"] == "query" for p in raw["parameters"]) or "requestBody" in raw


@pytest.mark.timeout(600)
async def test_no_input_makes_it_fail(staged: Staged) -> None:
    async with staged({"text": "x", "delay_ms": 30_000}, sets=["councils.DEV.size=1"]) as stage:
        await stage.approve()
        await stage.fleet.bus.publish([Event("l", f"{DEAD}.x", {"reason": "\u202e<b>"})])
        await stage.until(lambda: bool(stage.site.picture.letters))
        called = await asyncio.to_thread(fuzzed, stage.url)

    assert set(called) == {operation.name for operation in OPERATIONS} - {"events"}


async def test_every_route_is_described_and_nothing_else(staged: Staged) -> None:
    async with staged() as stage:
        described = await stage.get("/api/openapi.json")

    paths = {path: set(methods) for path, methods in described["paths"].items()}
    routed: dict[str, set[str]] = {}
    for operation in OPERATIONS:
        routed.setdefault(operation.path, set()).add(operation.method.lower())
    assert paths == routed
