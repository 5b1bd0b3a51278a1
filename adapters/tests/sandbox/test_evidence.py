"""What honest proposals get, and how a failure is told."""

from __future__ import annotations

from typing import Any

import pytest

from fleet_core.domain.job import CheckRequest, Evidence, Standing
from fleet_core.errors import CheckRefused
from fleet_core.ports.check import Check

pytestmark = [pytest.mark.anyio, pytest.mark.connected]

CACHE = """
class Missing(KeyError):
    pass

class Cache:
    def __init__(self, size):
        self.size, self.items = size, {}
    def put(self, key, value):
        self.items[key] = value
    def get(self, key):
        if key not in self.items:
            raise Missing(key)
        return self.items[key]
    def __len__(self):
        return len(self.items)
    def __contains__(self, key):
        return key in self.items
    def __getitem__(self, key):
        return self.items[key]

def sort(items):
    items.sort()

def upto(n):
    yield from range(n)

def apply(function, value):
    return function(value)

def pair():
    return (1, {"a": {1, 2}})
"""


async def run(check: Check, proposal: str, **spec: Any) -> Evidence:
    return await check.run(CheckRequest("python", proposal, spec), timeout_ms=20_000)


async def test_a_share_that_passes_is_counted_and_the_failures_shown(check: Check) -> None:
    examples = [{"args": [n], "returns": n == 2} for n in (1, 2, 3, 4)]
    evidence = await run(check, "def f(n):\n    return n % 2 == 0", entry="f", examples=examples)
    assert (evidence.standing, evidence.score) == (Standing.FAILED, 0.75)
    assert evidence.summary == "3 of 4 examples passed"
    assert evidence.output == "f(4): expected False, got True"


async def test_an_exception_is_told_with_its_text_and_an_expected_one_passes(check: Check) -> None:
    code = "class Odd(ValueError): pass\ndef f(n):\n    raise Odd(f'{n} is odd')"
    examples = [{"args": [1], "raises": "ValueError"}, {"args": [3], "returns": 3}]
    evidence = await run(check, code, entry="f", examples=examples)
    assert evidence.summary == "1 of 2 examples passed"
    assert evidence.output == "f(3): expected 3, got Odd: 3 is odd"


async def test_what_it_printed_is_kept(check: Check) -> None:
    code = "def f():\n    print('thinking')\n    return 1"
    evidence = await run(check, code, entry="f", examples=[{"returns": 2}])
    assert evidence.output == "f(): expected 2, got 1\nprinted:\nthinking"


async def test_prose_is_no_code(check: Check) -> None:
    for text in ("Yes, four is even.", "```js\nlet a\n```"):
        evidence = await run(check, text, entry="f", examples=[{"returns": 1}])
        assert evidence.summary == "no Python code in the proposal"


async def test_each_example_starts_afresh(check: Check) -> None:
    code = "seen = []\ndef f():\n    seen.append(1)\n    return len(seen)"
    evidence = await run(check, code, entry="f", examples=[{"returns": 1}] * 3)
    assert evidence.standing is Standing.PASSED


async def test_a_slow_example_does_not_take_the_others_along(check: Check) -> None:
    code = "def f(n):\n    while n == 1: pass\n    return n"
    examples = [{"args": [n], "returns": n} for n in (1, 2)]
    evidence = await run(check, code, entry="f", examples=examples, time_ms=300)
    assert evidence.summary == "1 of 2 examples passed"
    assert "did not end within 300 ms" in evidence.output


async def test_tests_use_the_proposal_as_if_it_were_in_their_process(check: Check) -> None:
    tests = """
from solution import Cache as Imported

def test_objects():
    cache = Cache(2)
    cache.put("a", 1)
    assert cache.get("a") == 1 and cache["a"] == 1 and "a" in cache and len(cache) == 1
    assert cache.size == 2
    assert isinstance(cache, Cache) and isinstance(cache, Imported)

def test_exceptions():
    with raises(Missing):
        Cache(1).get("b")
    try:
        Cache(1).get("b")
    except KeyError as error:
        assert type(error).__name__ == "Missing"

def test_changed_arguments():
    items = [3, 1, 2]
    sort(items)
    assert items == [1, 2, 3]

def test_generators():
    assert list(upto(3)) == [0, 1, 2]

def test_callbacks():
    assert apply(lambda x: x + 1, 2) == 3

def test_types():
    assert pair() == (1, {"a": {1, 2}})
"""
    evidence = await run(check, CACHE, tests=tests)
    assert evidence.standing is Standing.PASSED, evidence
    assert evidence.summary == "6 of 6 tests passed"


async def test_a_failed_test_shows_its_line_and_the_last_call(check: Check) -> None:
    tests = "def test_a():\n    assert f(1) == 2\n\ndef test_b():\n    assert f(2) == 2\n"
    evidence = await run(check, "def f(n):\n    return n", tests=tests)
    assert evidence.summary == "1 of 2 tests passed"
    line = "test_a: line 2: assert f(1) == 2: AssertionError (last call: f(1) -> 1)"
    assert evidence.output == line


async def test_a_callback_gives_no_way_into_the_tests(check: Check) -> None:
    code = (
        "def f(callback):\n    try: callback.__globals__['f'] = 1\n"
        "    except Exception as e: return type(e).__name__\n    return 'in'"
    )
    evidence = await run(check, code, tests="assert f(lambda: 1) == 'KeyError'")
    assert evidence.standing is Standing.PASSED, evidence


@pytest.mark.parametrize(
    "tests",
    [
        "async def test_a():\n    assert False",
        "def test_a():\n    yield",
        "def test_a(x):\n    pass",
    ],
)
async def test_tests_that_would_not_really_run_are_refused(check: Check, tests: str) -> None:
    with pytest.raises(CheckRefused, match=r"spec\.tests: test_a should be a plain function"):
        await run(check, "def f(): pass", tests=tests)


async def test_a_command_that_cannot_start_is_refused(check: Check) -> None:
    spec = {"command": ["no-such-program"], "apply": "x.py"}
    with pytest.raises(CheckRefused, match=r"spec\.command: cannot be started"):
        await check.run(CheckRequest("command", "text", spec), timeout_ms=9_000)


async def test_a_command_takes_code_of_any_language_and_its_output_is_kept(check: Check) -> None:
    spec = {"command": ["sh", "src/run.sh"], "apply": "src/run.sh"}
    text = "```sh\nyes | head -c 60000\nexit 3\n```"
    evidence = await check.run(CheckRequest("command", text, spec), timeout_ms=9_000)
    assert (evidence.standing, evidence.summary) == (Standing.FAILED, "sh src/run.sh: exit code 3")
    assert 4000 < len(evidence.output) <= 4096
