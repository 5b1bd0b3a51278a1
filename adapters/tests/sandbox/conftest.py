from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator

import pytest

from fleet_adapters.sandbox.check import open_sandbox
from fleet_adapters.sandbox.settings import SandboxSettings
from fleet_core.ports.check import Check


@pytest.fixture
def settings() -> SandboxSettings:
    return SandboxSettings()


@pytest.fixture
async def check(settings: SandboxSettings) -> AsyncIterator[Check]:
    async with open_sandbox(settings, logging.getLogger("fleet")) as opened:
        if reason := await opened.available():
            if os.environ.get("CI") == "true":
                pytest.fail(f"CI needs the sandbox: {reason}")
            pytest.skip(reason)
        yield opened
