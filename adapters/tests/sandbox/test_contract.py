from __future__ import annotations

from dataclasses import replace

import pytest

from fleet_core.domain.job import CheckRequest
from fleet_plugins.contracts.check import CheckContract

GOOD = "Here you are:\n```python\ndef double(n):\n    return 2 * n\n```\nIt doubles."
WRONG = "```python\ndef double(n):\n    return n * n\n```"
ENDLESS = "```python\ndef double(n):\n    while True:\n        pass\n```"
SPEC = {"entry": "double", "examples": [{"args": [2], "returns": 4}, {"args": [3], "returns": 6}]}


@pytest.mark.connected
class TestPython(CheckContract):
    @pytest.fixture
    def passing(self) -> CheckRequest:
        return CheckRequest("python", GOOD, SPEC)

    @pytest.fixture
    def failing(self) -> CheckRequest:
        return CheckRequest("python", WRONG, SPEC)

    @pytest.fixture
    def hanging(self) -> CheckRequest:
        return CheckRequest("python", ENDLESS, {**SPEC, "time_ms": 100_000})

    @pytest.fixture
    def malformed(self) -> CheckRequest:
        return CheckRequest("python", GOOD, {"entry": "double", "examples": [{"args": 2}]})


@pytest.mark.connected
class TestPythonTests(TestPython):
    @pytest.fixture
    def passing(self) -> CheckRequest:
        return CheckRequest("python", GOOD, {"tests": "assert double(3) == 6"})

    @pytest.fixture
    def failing(self) -> CheckRequest:
        return CheckRequest("python", WRONG, {"tests": "assert double(3) == 6"})

    @pytest.fixture
    def hanging(self) -> CheckRequest:
        spec = {"tests": "assert double(3) == 6", "time_ms": 100_000}
        return CheckRequest("python", ENDLESS, spec)

    @pytest.fixture
    def malformed(self) -> CheckRequest:
        return CheckRequest("python", GOOD, {"tests": "assert double(3 =="})


@pytest.mark.connected
class TestCommand(CheckContract):
    @pytest.fixture
    def passing(self) -> CheckRequest:
        spec = {
            "files": {
                "t/test.py": "import sys\nsys.path.append('.')\nimport d\nassert d.double(3) == 6"
            },
            "command": ["python3", "t/test.py"],
            "apply": "d.py",
        }
        return CheckRequest("command", GOOD, spec)

    @pytest.fixture
    def failing(self, passing: CheckRequest) -> CheckRequest:
        return replace(passing, proposal=WRONG)

    @pytest.fixture
    def hanging(self, passing: CheckRequest) -> CheckRequest:
        return replace(passing, proposal=ENDLESS)

    @pytest.fixture
    def malformed(self, passing: CheckRequest) -> CheckRequest:
        return replace(passing, spec={**passing.spec, "apply": "../d.py"})
