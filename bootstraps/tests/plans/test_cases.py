"""The built-in plans' checks can be passed: a known good answer to each passes its own check."""

from __future__ import annotations

import logging
import os

import pytest

from fleet_adapters.sandbox.check import open_sandbox
from fleet_adapters.sandbox.settings import SandboxSettings
from fleet_bootstraps.plans import builtin_plans, load_plan
from fleet_core.domain.council import DEFAULT_ROLES
from fleet_core.domain.job import CheckRequest, Standing
from fleet_core.domain.plan import CheckSpec

ANSWERS = {
    "last": "def last(items):\n    return items[-1]",
    "average": "def average(numbers):\n    return sum(numbers) / len(numbers)",
    "state-token": (
        "import hmac\ndef check_state(a, b):\n"
        "    return bool(a) and bool(b) and hmac.compare_digest(a.encode(), b.encode())"
    ),
    "apply": (
        "def apply(text, edits):\n    for at, gone, new in edits:\n"
        "        if not 0 <= at <= at + gone <= len(text):\n            raise ValueError(at)\n"
        "        text = text[:at] + new + text[at + gone:]\n    return text"
    ),
    "roman": (
        "PARTS = list(zip((1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),\n"
        "    'M CM D CD C XC L XL X IX V IV I'.split()))\n"
        "def to_roman(n):\n    if not 0 < n < 4000:\n        raise ValueError(n)\n    out = ''\n"
        "    for value, part in PARTS:\n        out += part * (n // value)\n        n %= value\n"
        "    return out"
    ),
    "merge": (
        "def merge(intervals):\n    out = []\n    for start, end in sorted(intervals):\n"
        "        if out and start <= out[-1][1]:\n            out[-1][1] = max(out[-1][1], end)\n"
        "        else:\n            out.append([start, end])\n    return out"
    ),
    "lru": (
        "class LRU:\n    def __init__(self, capacity):\n        if capacity < 1:\n"
        "            raise ValueError(capacity)\n        self.capacity, self.items = capacity, {}\n"
        "    def get(self, key):\n        if key not in self.items:\n            return None\n"
        "        self.items[key] = value = self.items.pop(key)\n        return value\n"
        "    def put(self, key, value):\n        self.items.pop(key, None)\n"
        "        self.items[key] = value\n        if len(self.items) > self.capacity:\n"
        "            del self.items[next(iter(self.items))]\n"
        "    def __len__(self):\n        return len(self.items)"
    ),
}
ANSWERS["from-roman"] = ANSWERS["roman"] + (
    "\ndef from_roman(text):\n    for n in range(1, 4000):\n        if to_roman(n) == text:\n"
    "            return n\n    raise ValueError(text)"
)
CHECKS = {
    f"{name}.{task.task_id}": (ANSWERS[task.task_id], check)
    for name in builtin_plans()
    for task in load_plan(name, DEFAULT_ROLES).tasks
    for check in task.checks
}


@pytest.mark.connected
@pytest.mark.anyio
@pytest.mark.parametrize("name", CHECKS)
async def test_a_good_answer_passes_and_an_empty_one_does_not(name: str) -> None:
    answer, spec = CHECKS[name]
    async with open_sandbox(SandboxSettings(), logging.getLogger("fleet")) as check:
        if reason := await check.available():
            if os.environ.get("CI") == "true":
                pytest.fail(f"CI needs the sandbox: {reason}")
            pytest.skip(reason)

        async def standing(proposal: str, spec: CheckSpec) -> Standing:
            request = CheckRequest(spec.kind, proposal, spec.spec)
            return (await check.run(request, timeout_ms=30_000)).standing

        assert await standing(f"```python\n{answer}\n```", spec) is Standing.PASSED
        assert await standing("```python\npass\n```", spec) is Standing.FAILED


def test_the_cases_have_the_roles_they_promise() -> None:
    roles = {n: {t.role for t in load_plan(n, DEFAULT_ROLES).tasks} for n in builtin_plans()}
    assert roles["basic"] == {"DEV", "QA"}
    assert roles["medium"] == {"ARCHITECT", "DEV", "QA"}
    assert roles["complex"] == {"ARCHITECT", "DEV", "QA", "DEVOPS"}
    assert roles["code"] == {"DEV", "QA"}
    first = load_plan("first", DEFAULT_ROLES).tasks
    assert len(first) == 2
    assert first[1].depends_on == (first[0].task_id,)
    assert first[0].checks
