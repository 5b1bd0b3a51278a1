"""The sandbox check: kinds `python` and `command`.

What agents wrote runs in a bubblewrap sandbox and nowhere else; without one a check is refused.
What was expected never enters the sandbox of the proposal: examples are compared on the host, and
tests run in a second sandbox that only calls into the first. So a proposal can return values, and
has no other way to pass.

A `command` is different in kind: its exit code is trusted, so a command that loads the proposal
into its own process trusts the proposal. Prefer `python` where it will do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fleet_adapters.sandbox import verdict
from fleet_adapters.sandbox.box import GONE, Box, Report, open_box
from fleet_adapters.sandbox.bubblewrap import OPTIONAL, Walls
from fleet_adapters.sandbox.extract import Code, any_code, python_code
from fleet_adapters.sandbox.inside import wire
from fleet_adapters.sandbox.interpreter import find_interpreter
from fleet_adapters.sandbox.settings import SandboxSettings
from fleet_adapters.sandbox.spec import SPECS, CommandSpec, PythonSpec, SpecError
from fleet_adapters.sandbox.userns import prepared_namespace
from fleet_adapters.sandbox.verdict import failed
from fleet_core.domain.job import CheckRequest, Evidence, Standing
from fleet_core.errors import CheckRefused, ProfileError
from fleet_core.ports.check import Check

NO_CODE = "no Python code in the proposal"
_SURROGATE = re.compile("[\ud800-\udfff]")
_INSTALL = "install bubblewrap (e.g. apt-get install bubblewrap)"
_HINT = "allow unprivileged user namespaces, or run where bubblewrap works"
_PROBE_MS = 10_000
_GRACE_SECONDS = 0.5
_SMALLEST = {
    "timeout_ms": 100,
    "memory_mb": 64,
    "processes": 1,
    "output_bytes": 1,
    "disk_mb": 1,
    "parallel": 0,
}
_HELP_SECONDS = 10
MAX_PROPOSAL = 512 * 1024


@asynccontextmanager
async def open_sandbox(settings: SandboxSettings, log: logging.Logger) -> AsyncIterator[Check]:
    """The check, whether or not it can run here; `available` tells.

    Raises:
        ProfileError: a limit is too small to run anything.
    """
    for name, least in _SMALLEST.items():
        if getattr(settings, name) < least:
            raise ProfileError("is too small", f"at least {least}", field=f"check.{name}")
    async with prepared_namespace() as namespace:
        check = SandboxCheck(settings, namespace)
        if reason := await check.available():
            log.warning("checks will not run: %s", reason)
        yield check


class SandboxCheck:
    """Runs checks under bubblewrap.

    Args:
        settings: programs and limits.
        namespace: see `userns.prepared_namespace`; the caller keeps it open.
    """

    def __init__(self, settings: SandboxSettings, namespace: int | None = None) -> None:
        self._settings = settings
        self._namespace = namespace
        self._walls: Walls | None = None
        self._finding = asyncio.Lock()
        self._slots = asyncio.Semaphore(settings.parallel or os.cpu_count() or 1)

    def kinds(self) -> tuple[str, ...]:
        """`python` and `command`."""
        return tuple(SPECS)

    async def available(self) -> str:
        """Empty where a sandbox has really been started here and kept its limits."""
        try:
            await self._ready()
        except CheckRefused as error:
            return str(error)
        return ""

    async def run(self, request: CheckRequest, *, timeout_ms: int) -> Evidence:
        """Evidence from running it; waiting for a free place is not counted.

        Raises:
            CheckRefused: no sandbox here, or a wrong spec.
        """
        spec = _spec(request)
        walls = await self._ready()
        code = (
            python_code(request.proposal, spec.entry)
            if isinstance(spec, PythonSpec)
            else any_code(request.proposal)
        )
        if code is None:
            none = NO_CODE if isinstance(spec, PythonSpec) else "the proposal is empty"
            return failed(request.check, none)
        if _SURROGATE.search(code.text):
            return failed(request.check, "the code holds half a character, which is no text")
        if len(code.text) > MAX_PROPOSAL:
            return failed(request.check, f"the code is longer than {MAX_PROPOSAL} characters")
        allowed = min(timeout_ms, self._settings.timeout_ms)
        async with self._slots:
            try:
                if isinstance(spec, PythonSpec):
                    return await self._python(walls, spec, code, allowed)
                return await self._command(walls, spec, code, allowed)
            except TimeoutError:
                return failed(request.check, f"did not end within {allowed} ms")

    async def _python(self, walls: Walls, spec: PythonSpec, code: Code, allowed: int) -> Evidence:
        async with AsyncExitStack() as stack:
            ours, theirs = socket.socketpair() if spec.tests.strip() else (None, None)
            box = await stack.enter_async_context(open_box(walls, self._limits(), ours))
            tester = None
            if theirs is not None:
                tester = await stack.enter_async_context(open_box(walls, self._limits(), theirs))
                await tester.ready()
            await box.ready()
            async with asyncio.timeout(allowed / 1000):
                reports = await _examples(box, spec, code)
                told = None
                if tester is not None:
                    told, served = await _tests(box, tester, spec, code, allowed)
                    reports.append(served)
        if not code.fenced and any(verdict.is_no_python(report) for report in reports):
            return failed("python", NO_CODE)
        items = [
            verdict.example_item(spec.entry, example, report)
            for example, report in zip(spec.examples, reports, strict=False)
        ]
        noun = "examples" if told is None else "examples and tests" if items else "tests"
        if told is not None:
            try:
                items += verdict.test_items(told, reports[-1])
            except ValueError as error:
                raise CheckRefused(f"spec.tests: {error}", "correct the task's tests") from None
        printed = next((report.output for report in reports if report.output.strip()), "")
        return verdict.evidence("python", items, noun, printed)

    async def _command(self, walls: Walls, spec: CommandSpec, code: Code, allowed: int) -> Evidence:
        files = {**spec.files, spec.apply: code.text}
        ask = {"op": "command", "files": files, "command": list(spec.command), "time_ms": allowed}
        async with open_box(walls, self._limits()) as box:
            await box.ready()
            async with asyncio.timeout(allowed / 1000 + _GRACE_SECONDS):
                report = await box.ask(ask)
        for frame in report.frames:
            if "broken" in frame:
                raise CheckRefused(f"spec.command: cannot be started: {frame['broken']}")
        name = " ".join(spec.command)[:80]
        if report.end != "done":
            return failed("command", f"{name}: {report.detail}", report.output)
        if report.code != 0:
            return failed("command", f"{name}: exit code {report.code}", report.output)
        output = verdict.shortened(report.output)
        return Evidence("command", Standing.PASSED, f"{name}: exit code 0", output, 1.0)

    def _limits(self) -> dict[str, int]:
        return {
            "memory_mb": self._settings.memory_mb,
            "processes": self._settings.processes,
            "output_bytes": self._settings.output_bytes,
            "disk_mb": self._settings.disk_mb,
        }

    async def _ready(self) -> Walls:
        async with self._finding:
            if self._walls is None:
                self._walls = await self._find()
            return self._walls

    async def _find(self) -> Walls:
        bwrap = shutil.which(self._settings.bwrap)
        if bwrap is None:
            raise CheckRefused(f"there is no {self._settings.bwrap!r} on this machine", _INSTALL)
        interpreter = await find_interpreter(self._settings.python or sys.executable)
        options = await _known_options(bwrap)
        walls = Walls(bwrap, interpreter, options, self._namespace, self._settings.disk_mb)
        await self._probe(walls)
        return walls

    async def _probe(self, walls: Walls) -> None:
        """Start a sandbox and see that it holds."""
        try:
            async with asyncio.timeout(_PROBE_MS / 1000), open_box(walls, self._limits()) as box:
                await box.ready()
                report = await box.ask({"op": "probe", "time_ms": _PROBE_MS})
        except TimeoutError:
            raise CheckRefused("the sandbox starts and does not answer", _HINT) from None
        except CheckRefused as error:
            raise CheckRefused(error.message, error.hint or _HINT) from None
        started = [frame["started"] for frame in report.frames if "started" in frame]
        if report.end != "done" or not started or started[0] > self._settings.processes:
            raise CheckRefused(
                "the sandbox does not limit the number of processes here",
                "run the fleet as an ordinary user instead of root",
            )


def _spec(request: CheckRequest) -> PythonSpec | CommandSpec:
    parse = SPECS.get(request.check)
    if parse is None:
        raise CheckRefused(f"no check of kind {request.check!r} here", f"kinds: {', '.join(SPECS)}")
    try:
        return parse(request.spec)
    except SpecError as error:
        raise CheckRefused(f"spec.{error.field}: {error.message}", error.hint) from None


async def _examples(box: Box, spec: PythonSpec, code: Code) -> list[Report]:
    reports: list[Report] = []
    for example in spec.examples:
        ask = {
            "op": "example",
            "code": code.text,
            "entry": spec.entry,
            "args": wire.pack(list(example.args), _no_data),
            "kwargs": wire.pack(dict(example.kwargs), _no_data),
            "time_ms": spec.time_ms,
        }
        reports.append(GONE if GONE in reports else await box.ask(ask))
    return reports


def _no_data(value: object) -> Any:
    raise CheckRefused(f"spec.examples: {wire.shown(value, 60)} is no plain data")


async def _tests(
    box: Box, tester: Box, spec: PythonSpec, code: Code, allowed: int
) -> tuple[Report, Report]:
    """What the tests' sandbox told, and what became of the proposal that served them."""
    serve = {"op": "serve", "code": code.text, "time_ms": allowed}
    test = {"op": "tests", "tests": spec.tests, "test_ms": spec.time_ms, "time_ms": allowed}
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(box.ask(serve))
        told = await tester.ask(test)
        # The tests hang up at their end; a proposal that still runs then is not waited for.
        done, _ = await asyncio.wait([serving], timeout=_GRACE_SECONDS)
        if not done:
            serving.cancel()
    still = Report(detail="still ran when the tests had ended")
    return told, serving.result() if done else still


async def _known_options(bwrap: str) -> frozenset[str]:
    try:
        process = await asyncio.create_subprocess_exec(
            bwrap, "--help", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(_HELP_SECONDS):
            said, _ = await process.communicate()
    except (OSError, TimeoutError) as error:
        raise CheckRefused(f"{bwrap} does not run: {error}", _INSTALL) from None
    text = said.decode("utf-8", "replace")
    return frozenset(option for option in OPTIONAL if option in text)
