"""Without a sandbox a check is refused: nothing an agent wrote runs bare."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from fleet_adapters.sandbox.check import open_sandbox
from fleet_adapters.sandbox.plugin import check as plugin
from fleet_adapters.sandbox.settings import SandboxSettings
from fleet_core.domain.job import CheckRequest
from fleet_core.errors import CheckRefused, ProfileError

pytestmark = pytest.mark.anyio


async def _refusal(settings: SandboxSettings, tmp_path: Path) -> str:
    trace = tmp_path / "ran"
    code = f"open({str(trace)!r}, 'w')\ndef f(): pass"
    request = CheckRequest("python", code, {"entry": "f", "examples": [{"returns": None}]})
    async with open_sandbox(settings, logging.getLogger("fleet")) as check:
        reason = await check.available()
        with pytest.raises(CheckRefused) as refused:
            await check.run(request, timeout_ms=5_000)
    assert not trace.exists()
    assert str(refused.value) == reason
    return reason


async def test_a_missing_bubblewrap_is_named_with_the_way_out(tmp_path: Path) -> None:
    reason = await _refusal(SandboxSettings(bwrap="no-such-bwrap"), tmp_path)
    assert "no-such-bwrap" in reason
    assert "install bubblewrap" in reason


@pytest.mark.parametrize(
    "script",
    ["exit 1", "echo bwrap: No permissions to create new namespace >&2; exit 1", "exec sleep 0"],
)
async def test_a_bubblewrap_that_makes_no_sandbox_is_refused(tmp_path: Path, script: str) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    reason = await _refusal(SandboxSettings(bwrap=str(fake)), tmp_path)
    assert "does not start" in reason
    assert "namespace" in reason


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/true"])
async def test_an_unusable_interpreter_is_named(tmp_path: Path, python: str) -> None:
    settings = SandboxSettings(python=python, bwrap=sys.executable)
    assert python in await _refusal(settings, tmp_path)


async def test_a_limit_that_lets_nothing_run_is_a_profile_error() -> None:
    with pytest.raises(ProfileError, match=r"check\.memory_mb"):
        async with open_sandbox(SandboxSettings(memory_mb=1), logging.getLogger("fleet")):
            pass


def test_the_plugin_registers_the_check() -> None:
    adapter = plugin.fleet_adapter()
    assert (adapter.port, adapter.name) == ("check", "sandbox")
