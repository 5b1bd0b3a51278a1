"""A fleet in this process with scripted answers, and its monitor on a port of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, Page, async_playwright

from fleet_bootstraps.fleet import Fleet, opened_ports, running_fleet, system_clock
from fleet_bootstraps.layers import layered
from fleet_bootstraps.monitor.access import Access
from fleet_bootstraps.monitor.opening import fleet_site
from fleet_bootstraps.monitor.serving import served_monitor
from fleet_bootstraps.monitor.site import Site
from fleet_bootstraps.plans import parse_plan
from fleet_bootstraps.profile import bound
from fleet_bootstraps.secrets import secrets_from
from fleet_bootstraps.settings import ServiceSettings
from fleet_bootstraps.telemetry.readiness import Readiness
from fleet_core.domain.plan import plan_id
from fleet_core.domain.plan_run import PlanRun
from fleet_core.errors import NotFound
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.registry import Registry

TASK: Mapping[str, Any] = {"id": "a", "title": "Do a", "role": "DEV"}
ANSWERS: tuple[Mapping[str, Any], ...] = (
    {"step": "propose", "agent": 1, "text": "first\nsame"},
    {"step": "propose", "agent": 2, "text": "second, with a MARK\nsame"},
    {"step": "propose", "agent": 3, "text": "third\nsame"},
    {"step": "revise", "agent": 1, "text": "first, revised\nsame"},
    {"step": "revise", "agent": 2, "text": "second, with a MARK, revised\nsame"},
    {"step": "revise", "agent": 3, "text": "third, revised\nsame"},
    {"step": "critique", "prefer": ["MARK"]},
    {"step": "judge", "prefer": ["MARK"]},
)


@dataclass(frozen=True)
class Stage:
    """A fleet and its monitor."""

    fleet: Fleet
    site: Site
    url: str
    http: aiohttp.ClientSession
    ports: Mapping[PortName, Any]

    async def get(self, path: str, status: int = 200, **more: Any) -> Any:
        async with self.http.get(f"{self.url}{path}", **more) as response:
            assert response.status == status, await response.text()
            return await response.json()

    async def post(self, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        async with self.http.post(f"{self.url}{path}", json=body or {}, **more) as response:
            assert response.status == status, await response.text()
            return await response.json()

    async def run(self, *tasks: Mapping[str, Any], story: str = "s") -> PlanRun:
        """Take a plan to its end, and the monitor's picture with it."""
        found = await self.approve(*tasks, story=story)
        await _until(lambda: self._settled(found))
        run = await self.fleet.plans.get(found)
        await self.until(lambda: self._seen(run))
        return run

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that the picture shows."""
        await _until(lambda: asyncio.sleep(0, holds()))

    async def approve(self, *tasks: Mapping[str, Any], story: str = "s") -> str:
        """Approve a plan; its id."""
        document = {"story": story, "title": "The plan", "tasks": list(tasks or (TASK,))}
        plan = parse_plan(json.dumps(document).encode(), "plan", ("DEV", "QA", "ARCHITECT"))
        await self.fleet.plans.approve(plan)
        return plan_id(plan)

    async def _settled(self, identity: str) -> bool:
        try:
            return (await self.fleet.plans.get(identity)).settled
        except NotFound:
            return False

    def _seen(self, run: PlanRun) -> bool:
        planned = self.site.picture.plans.get(run.plan_id)
        return planned is not None and planned.run.settled


async def _until(holds: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Wait for something that has no event of its own."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0.01)


Staged = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Staged:
    """Opens a stage: `staged(*answers, access=..., sets=..., profile=...)`."""
    monkeypatch.chdir(tmp_path)  # pages show the script's path; pictures of them should not be ours

    @asynccontextmanager
    async def opened(
        *answers: Mapping[str, Any],
        access: Access | None = None,
        sets: Sequence[str] = (),
        profile: str = "embedded",
    ) -> AsyncIterator[Stage]:
        script = json.dumps({"answers": list(answers or ANSWERS)})
        (tmp_path / "answers.json").write_text(script)
        own = ["model.script=answers.json"]
        if profile != "scripted":
            own.append("model.use=scripted")
        found = bound(profile, layered(profile, {}, [*own, *sets]), Registry.discovered())
        context = FactoryContext(system_clock, secrets_from({}), tmp_path / "project" / ".fleet")
        readiness = Readiness()
        readiness.tell({})
        async with (
            opened_ports(found, context) as ports,
            running_fleet(found, context.clock, ports) as fleet,
            fleet_site(
                found, context, ports, access or Access(), executor=ports[PortName.EXECUTOR]
            ) as site,
            served_monitor(site, ServiceSettings(), readiness, listen="127.0.0.1:0") as address,
            aiohttp.ClientSession() as http,
        ):
            await site.feed.caught_up.wait()
            yield Stage(fleet, site, f"http://{address}", http, ports)

    return opened


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Debian's chromium."""
    path = shutil.which("chromium")
    if path is None:
        reason = "no chromium on this machine (make browser): the monitor's pages were not tested"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    async with async_playwright() as driver:
        args = ["--no-sandbox"]  # as root in a container there is none
        launched = await driver.chromium.launch(executable_path=path, args=args)
        yield launched
        await launched.close()


@pytest.fixture
def seen(browser: Browser) -> Callable[..., AbstractAsyncContextManager[Page]]:
    """Opens a page: `seen(stage, where, width=..., scheme=...)`; a complaint of it is a failure."""

    @asynccontextmanager
    async def opened(
        stage: Stage, where: str = "", *, width: int = 1280, scheme: Any = "light"
    ) -> AsyncIterator[Page]:
        context = await browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        page = await context.new_page()
        page.set_default_timeout(20_000)
        said: list[str] = []
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda told: said.append(told.text) if told.type == "error" else None)
        page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
        await page.goto(f"{stage.url}/#/{where}")
        yield page
        # A refusal that a test asks for is told by the browser too.
        assert [one for one in said if "responded with a status of 4" not in one] == []
        await context.close()

    return opened
