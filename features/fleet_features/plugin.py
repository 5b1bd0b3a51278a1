"""The pytest plugin of the features: options, what is applicable, the world of a scenario."""

from __future__ import annotations

import inspect
import os
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from pytest_bdd.steps import step_function_context_registry

from fleet_bootstraps.profile import Profile
from fleet_core.errors import FleetError
from fleet_features.applicability import TAGS, lacking
from fleet_features.as_services import Services
from fleet_features.comparing import came_to, compare, write_down
from fleet_features.in_process import InProcess
from fleet_features.interpreters import described_orchestrator
from fleet_features.place import Place
from fleet_features.profiles import ProfileSource, seeds_of
from fleet_features.world import World

pytest_plugins = (
    "fleet_features.steps.bad_input",
    "fleet_features.steps.chain",
    "fleet_features.steps.command_line",
    "fleet_features.steps.context",
    "fleet_features.steps.council",
    "fleet_features.steps.dashboard",
    "fleet_features.steps.live",
    "fleet_features.steps.outcome",
    "fleet_features.steps.plan",
    "fleet_features.steps.restart",
)

_PROFILE = pytest.StashKey[ProfileSource]()
_HELD = pytest.StashKey[bool]()
_NOT_APPLICABLE = pytest.StashKey[dict[str, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--profile`, and `--set` over it."""
    group = parser.getgroup("fleet")
    group.addoption(
        "--profile",
        default="embedded",
        help="the profile the features run against: a built-in name or a TOML file",
    )
    group.addoption(
        "--set",
        dest="profile_sets",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="a setting laid over the profile; may be repeated",
    )

    group.addoption(
        "--write-logs",
        type=Path,
        metavar="FOLDER",
        help="write down what each scenario came to: winners and event log",
    )
    group.addoption(
        "--same-as",
        type=Path,
        metavar="FOLDER",
        help="hold each scenario to what --write-logs wrote on another profile",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the tags; check the profile once, before anything is run."""
    for tag, meaning in TAGS.items():
        config.addinivalue_line("markers", f"{tag}: {meaning}")
    source = ProfileSource(config.getoption("profile"), tuple(config.getoption("profile_sets")))
    try:
        source.plain()
        if source.services:
            described_orchestrator()
    except FleetError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_PROFILE] = source
    config.stash[_NOT_APPLICABLE] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse steps that pytest-bdd would not await; set aside what the profile lacks."""
    refuse_async_steps()
    profile: Profile = config.stash[_PROFILE].plain()
    aside = []
    for item in items:
        tags = {marker.name for marker in item.iter_markers()} & TAGS.keys()
        if "live" in tags:
            item.add_marker(pytest.mark.slow)
        if not tags:
            raise pytest.UsageError(f"{item.name} carries none of the tags {', '.join(TAGS)}")
        reason = lacking(profile, tags)
        if reason:
            config.stash[_NOT_APPLICABLE][item.name] = reason
            aside.append(item)
    if aside:
        config.hook.pytest_deselected(items=aside)
        items[:] = [item for item in items if item not in aside]


def refuse_async_steps() -> None:
    """Every step is a plain function.

    pytest-bdd does not await what a step returns: an assertion in an `async def` step never runs,
    and one after a `yield` neither.

    Raises:
        UsageError: names the steps that are something else.
    """
    kinds = (
        inspect.iscoroutinefunction,
        inspect.isasyncgenfunction,
        inspect.isgeneratorfunction,
    )
    wrong = sorted(
        f"{context.step_func.__module__}.{context.step_func.__qualname__}"
        for context in step_function_context_registry.values()
        if any(is_kind(inspect.unwrap(context.step_func)) for is_kind in kinds)
    )
    if wrong:
        raise pytest.UsageError(
            f"steps must be plain functions, pytest-bdd awaits nothing: {', '.join(wrong)}"
        )


def pytest_report_header(config: pytest.Config) -> str:
    """The profile, and what it binds."""
    source = config.stash[_PROFILE]
    apart = f"\n{described_orchestrator()}" if source.services else ""
    return f"profile: {source.described()}{apart}"


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """What the profile was not held to, and why."""
    aside = config.stash[_NOT_APPLICABLE]
    name = config.stash[_PROFILE].name
    terminalreporter.write_line(f"not applicable to profile {name}: {len(aside)}")
    for reason, count in sorted(Counter(aside.values()).items()):
        terminalreporter.write_line(f"  {count}: {reason}")


@pytest.fixture(scope="session")
def profile_source(request: pytest.FixtureRequest) -> ProfileSource:
    """The profile that was asked for."""
    return request.config.stash[_PROFILE]


@pytest.fixture(scope="session")
def services(
    profile_source: ProfileSource, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    """The session's deployment; it is started when a scenario first needs it."""
    with Services(profile_source, tmp_path_factory.mktemp("deployment")) as opened:
        yield opened


@pytest.fixture
def place(request: pytest.FixtureRequest, profile_source: ProfileSource) -> Iterator[Place]:
    """Where the scenario's fleet runs."""
    if profile_source.services:
        services: Services = request.getfixturevalue("services")
        yield services.place()
    else:
        with start_blocking_portal() as portal:
            yield InProcess(profile_source, portal)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether the scenario held: only then is it compared."""
    report = yield
    if call.when == "call":
        item.stash[_HELD] = report.passed
    return report


@pytest.fixture
def world(
    request: pytest.FixtureRequest, profile_source: ProfileSource, place: Place, tmp_path: Path
) -> Iterator[World]:
    """The world of a scenario: its plan, its script, its fleet."""
    name = request.node.name
    with World.opened(profile_source, place, tmp_path, dict(os.environ)) as opened:
        opened.terms |= seeds_of(name)
        yield opened
        writes, same_as = (request.config.getoption(o) for o in ("write_logs", "same_as"))
        if (writes or same_as) and opened.ran and request.node.stash.get(_HELD, False):
            found = opened.look(came_to)
            if writes:
                write_down(writes, name, found)
            if same_as:
                clock = request.node.get_closest_marker("clock") is not None
                compare(same_as, name, found, by_the_clock=clock)
