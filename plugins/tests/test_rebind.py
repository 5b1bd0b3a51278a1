from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from fleet_core.errors import PluginError, ProfileError
from fleet_plugins.api import Adapter, AdapterPlugin, Bound, FactoryContext, PortName
from fleet_plugins.rebind import described, installed_version, rebound
from fleet_plugins.registry import Registry


@dataclass(frozen=True, slots=True)
class Tape:
    label: str = "a"
    sides: tuple[int, ...] = ()


@asynccontextmanager
async def opened(settings: Tape, _ctx: FactoryContext) -> AsyncIterator[Tape]:
    yield settings


def installed(distribution: str = "pytest") -> Registry:
    registry = Registry()
    plugin = AdapterPlugin(Adapter(PortName.MODEL, "tape", Tape, opened))
    registry.register("model.tape", plugin, distribution=distribution)
    return registry


def test_what_is_described_here_is_bound_again_there() -> None:
    binding = installed().bind("model", "tape", {"label": "b", "sides": [1, 2]})
    data = described({"default": binding, "small": installed().bind("model", "tape")})
    assert data["default"] == Bound(
        "tape", {"label": "b", "sides": [1, 2]}, "pytest", installed_version("pytest")
    )
    assert data["small"].settings == {}
    again = rebound({PortName.MODEL: data}, installed())[PortName.MODEL]
    assert again["default"].settings == Tape("b", (1, 2))
    assert again["small"].settings == Tape()
    assert described(binding) == {"default": data["default"]}


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        (Bound("reel", {}, "fleet-reel", "3"), r"model\.reel is not installed .*fleet-reel 3"),
        (Bound("tape", {}, "pytest", "0.1"), r"of pytest 0\.1 here and of pytest \d"),
        (Bound("tape", {}), r"of nothing installed here and of pytest \d"),
    ],
)
def test_another_version_or_none_is_refused_naming_both(bound: Bound, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        rebound({PortName.MODEL: {"default": bound}}, installed())


def test_settings_that_the_adapter_there_does_not_take_are_refused() -> None:
    bound = Bound("tape", {"colour": "red"}, "pytest", installed_version("pytest"))
    with pytest.raises(ProfileError, match=r"model\.colour: unknown key"):
        rebound({PortName.MODEL: {"default": bound}}, installed())
