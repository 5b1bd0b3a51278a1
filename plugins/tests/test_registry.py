from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from fleet_core.errors import PluginError, ProfileError
from fleet_plugins.api import Adapter, AdapterPlugin, Capability, FactoryContext, PortName, hookimpl
from fleet_plugins.discovery import Discovery, Found, Malformed
from fleet_plugins.registry import AVAILABLE, QUARANTINED, Registry


@dataclass(frozen=True, slots=True)
class Settings:
    width: int = 8


@dataclass
class Thawed:
    width: int = 8


@dataclass(frozen=True)
class Undecodable:
    hook: Callable[[], None]


@asynccontextmanager
async def opening(settings: Settings, ctx: FactoryContext) -> AsyncIterator[object]:
    yield object()


TAPE = Adapter(
    PortName.BLOBS,
    "tape",
    Settings,
    opening,
    capabilities=frozenset({Capability.DURABLE}),
    extra="tape",
    summary="blobs on a tape",
)


class Loads:
    """An entry's object, and how often it was asked for."""

    def __init__(self, outcome: object) -> None:
        self.outcome = outcome
        self.times = 0

    def __call__(self) -> object:
        self.times += 1
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


def registry_of(**entries: object) -> tuple[Registry, dict[str, Loads]]:
    """Entries by name, with `__` for the dot."""
    loads = {name.replace("__", "."): Loads(outcome) for name, outcome in entries.items()}
    found = tuple(
        Found(name.partition(".")[0], name.partition(".")[2], load, "fleet-tape", "1.2")
        for name, load in loads.items()
    )
    return Registry(Discovery(found)), loads


def test_nothing_is_loaded_until_it_is_bound_and_then_once() -> None:
    registry, loads = registry_of(blobs__tape=AdapterPlugin(TAPE), state__tape=ImportError("x"))
    assert registry.names("blobs") == ("tape",)
    (blobs, _state) = registry.listing()
    assert (blobs.distribution, blobs.version, blobs.status) == ("fleet-tape", "1.2", AVAILABLE)
    assert loads["blobs.tape"].times == 0
    assert registry.load("blobs", "tape") is TAPE
    assert registry.load("blobs", "tape") is TAPE
    assert loads["blobs.tape"].times == 1
    assert loads["state.tape"].times == 0


def test_a_binding_carries_decoded_settings_and_what_installed_the_adapter() -> None:
    registry, _ = registry_of(blobs__tape=AdapterPlugin(TAPE))
    binding = registry.bind("blobs", "tape", {"width": 4}, source="my.toml")
    assert binding.settings == Settings(4)
    assert binding.distribution == "fleet-tape"
    assert registry.binding(TAPE, Settings(4)) == binding
    assert registry.bind("blobs", "tape").settings == Settings()
    with pytest.raises(ProfileError, match=r"my\.toml: blobs\.widths: .*did you mean width"):
        registry.bind("blobs", "tape", {"widths": 4}, source="my.toml")


def test_unknown_names_and_ports_are_answered_with_close_matches() -> None:
    registry, loads = registry_of(blobs__tape=AdapterPlugin(TAPE))
    with pytest.raises(ProfileError, match=r"blobs\.use: .*'taep'.*did you mean tape"):
        registry.load("blobs", "taep")
    with pytest.raises(ProfileError, match=r"'blob'.*did you mean blobs"):
        registry.load("blob", "tape")
    assert loads["blobs.tape"].times == 0


class Mistaken:
    @hookimpl
    def fleet_adaptor(self) -> Adapter:
        return TAPE


class Demanding:
    @hookimpl
    def fleet_adapter(self, profile: str) -> Adapter:
        raise AssertionError(profile)


class Raising:
    @hookimpl
    def fleet_adapter(self) -> Adapter:
        raise RuntimeError("no\nluck")


class Returning:
    @hookimpl
    def fleet_adapter(self) -> Any:
        return {"port": "blobs"}


BROKEN = {
    "import": (ModuleNotFoundError("x", name="tapelib"), "needs the module tapelib"),
    "exit": (SystemExit(3), "SystemExit: 3"),
    "plain": (object(), "implements no fleet_adapter"),
    "hook": (Mistaken(), "fleet_adaptor"),
    "arguments": (Demanding(), "profile"),
    "raises": (Raising(), "RuntimeError: no luck"),
    "record": (Returning(), "return a fleet_plugins.api.Adapter"),
    "version": (AdapterPlugin(replace(TAPE, api_version=2)), "speaks plugin API 2"),
    "name": (AdapterPlugin(replace(TAPE, name="reel")), "registers blobs.reel under the entry"),
    "thawed": (AdapterPlugin(replace(TAPE, settings=Thawed)), "Thawed are not frozen"),
    "dict": (AdapterPlugin(replace(TAPE, settings=dict)), "no dataclass"),
    "data": (AdapterPlugin(replace(TAPE, settings=Undecodable)), "more than data"),
    "requires": (
        AdapterPlugin(replace(TAPE, requires=("blob",))),  # type: ignore[arg-type]  # as a stranger might
        "'blob' is not a valid PortName",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_quarantined_and_an_error_only_to_who_needs_it(case: str) -> None:
    outcome, reason = BROKEN[case]
    registry, loads = registry_of(
        blobs__tape=outcome, blobs__good=AdapterPlugin(replace(TAPE, name="good"))
    )
    good, bad = registry.listing(load=True)
    assert (good.status, good.summary) == (AVAILABLE, "blobs on a tape")
    assert (good.extra, good.capabilities) == ("tape", ("durable",))
    assert bad.status == QUARANTINED
    assert reason in bad.reason
    assert "\n" not in bad.reason
    assert registry.load("blobs", "good").name == "good"
    for _ in range(2):
        with pytest.raises(PluginError) as caught:
            registry.load("blobs", "tape")
        assert "blobs.tape of fleet-tape 1.2" in caught.value.message
        assert reason in caught.value.message
        assert caught.value.hint
    assert loads["blobs.tape"].times == 1


def test_a_malformed_entry_is_listed_with_its_reason() -> None:
    bad = Malformed("blobtape", "should be named <port>.<name>", "fleet-tape", "1.2")
    (line,) = Registry(Discovery(malformed=(bad,))).listing()
    assert (line.name, line.status, line.reason) == (bad.name, QUARANTINED, bad.reason)


def test_a_plugin_of_this_process_comes_in_by_the_same_door() -> None:
    registry = Registry()
    registry.register("blobs.tape", AdapterPlugin(TAPE))
    assert registry.load("blobs", "tape") is TAPE
    with pytest.raises(PluginError, match="registered twice"):
        registry.register("blobs.tape", AdapterPlugin(TAPE))
    with pytest.raises(PluginError, match="is no port"):
        registry.register("blob.tape", AdapterPlugin(TAPE))
    registry.register("blobs.reel", AdapterPlugin(TAPE))
    with pytest.raises(PluginError, match="under the entry"):
        registry.load("blobs", "reel")


class Watching:
    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []

    @hookimpl
    def fleet_observe(self, event: str, detail: Mapping[str, str]) -> None:
        self.seen.append((event, dict(detail)))


class Failing:
    @hookimpl
    def fleet_observe(self, event: str, detail: Mapping[str, str]) -> None:
        raise RuntimeError(event)


def test_observers_are_told_and_one_that_fails_spoils_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watching = Watching()
    registry, _ = registry_of(
        observer__failing=Failing(), observer__watching=watching, observer__broken=object()
    )
    registry.observe("port.opened", {})
    assert watching.seen == []
    registry.load_observers()
    assert "observer.broken" in caplog.text
    registry.observe("port.opened", {"adapter": "blobs.tape"})
    assert watching.seen == [("port.opened", {"adapter": "blobs.tape"})]
    assert "RuntimeError: port.opened" in caplog.text
    by_name = {line.name: line for line in registry.listing()}
    assert "failed on port.opened" in by_name["failing"].reason
    assert by_name["failing"].status == AVAILABLE
    assert by_name["broken"].status == QUARANTINED


def test_every_adapter_of_this_environment_is_named_and_listing_imports_none() -> None:
    before = set(sys.modules)
    lines = Registry.discovered().listing()
    assert {"bus.sqlite", "model.openai", "check.sandbox"} <= {
        f"{line.port}.{line.name}" for line in lines
    }
    fresh = {name for name in set(sys.modules) - before if name.startswith("fleet_adapters.")}
    assert fresh == set()
