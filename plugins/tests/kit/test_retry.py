from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_core.errors import ModelError, ModelRefused, ModelUnavailable, RateLimited
from fleet_core.ports.model import CallBudget
from fleet_plugins.kit.retry import RetryPolicy, Spent, retrying, wait_ms


@given(st.integers(1, 60), st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_waits_at_least_what_the_server_asks_and_never_much_more(
    failed: int, asked: int, draw: float
) -> None:
    policy = RetryPolicy(base_ms=100, cap_ms=2_000)
    pause = wait_ms(policy, failed, asked, draw)
    assert asked <= pause <= asked + min(2_000, 100 * 2 ** (failed - 1))


async def _run(
    errors: list[ModelError], limits: CallBudget, *, cost: int = 0, worst: int = 0
) -> tuple[str, Spent]:
    spent = Spent()
    left = list(errors)

    async def attempt(_: float) -> str:
        spent.prompt_tokens += cost
        if left:
            raise left.pop(0)
        return "answer"

    text = await retrying(
        attempt,
        budget=limits,
        spent=spent,
        worst_tokens=lambda: worst,
        policy=RetryPolicy(max_attempts=3, base_ms=1),
    )
    return text, spent


@pytest.mark.anyio
async def test_gives_the_first_success() -> None:
    text, spent = await _run([ModelUnavailable("a"), RateLimited("b")], CallBudget(5_000, 100))
    assert (text, spent.attempts) == ("answer", 3)


@pytest.mark.anyio
async def test_the_error_carries_what_all_attempts_used() -> None:
    errors: list[ModelError] = [ModelUnavailable(n) for n in ("first", "second", "third")]
    with pytest.raises(ModelUnavailable, match="third") as caught:
        await _run(errors, CallBudget(5_000, 100), cost=7)
    assert (caught.value.attempts, caught.value.prompt_tokens) == (3, 21)


@pytest.mark.anyio
async def test_what_will_not_pass_is_not_tried_again() -> None:
    with pytest.raises(ModelRefused) as caught:
        await _run([ModelRefused("no")], CallBudget(5_000, 100))
    assert caught.value.attempts == 1


@pytest.mark.anyio
@pytest.mark.parametrize(("tokens", "attempts"), [(29, 1), (30, 2), (40, 3)])
async def test_an_attempt_that_might_exceed_the_tokens_is_not_made(
    tokens: int, attempts: int
) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await _run([ModelUnavailable("down")] * 3, CallBudget(5_000, tokens), cost=10, worst=20)
    assert caught.value.attempts == attempts


@pytest.mark.anyio
async def test_no_pause_reaches_beyond_the_deadline() -> None:
    clock = asyncio.get_running_loop().time
    start = clock()
    with pytest.raises(RateLimited) as caught:
        await _run([RateLimited("busy", retry_after_ms=60_000)], CallBudget(50_000, 100))
    assert caught.value.attempts == 1
    assert clock() - start < 10
