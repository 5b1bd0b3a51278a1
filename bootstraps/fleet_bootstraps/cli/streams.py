"""`fleet streams`: the streams of a bus on NATS, beside what the fleet wants of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import emit, line
from fleet_bootstraps.cli.session import Session
from fleet_core.errors import ProfileError
from fleet_plugins.api import PortName
from fleet_plugins.registry import Binding

if TYPE_CHECKING:
    from fleet_adapters.nats.settings import NatsSettings
    from fleet_adapters.nats.streams import Difference


async def show_differences(opened: Session, *, as_json: bool) -> Exit:
    """What `apply` would change."""
    settings = _settings(opened)
    from fleet_adapters.nats.streams import diff_at  # noqa: PLC0415 -- brings the driver

    found = await diff_at(settings, opened.context)
    _tell(found, as_json=as_json, none="nothing differs")
    return Exit.UNDECIDED if found else Exit.DONE


async def apply(opened: Session, *, as_json: bool) -> Exit:
    """Create and change streams."""
    settings = _settings(opened)
    from fleet_adapters.nats.streams import apply_at  # noqa: PLC0415 -- brings the driver

    _tell(await apply_at(settings, opened.context), as_json=as_json, none="nothing to change")
    return Exit.DONE


def _settings(opened: Session) -> NatsSettings:
    bus = opened.profile.bindings[PortName.BUS]
    assert isinstance(bus, Binding)
    if bus.adapter.name != "nats":
        use = opened.profile.tables.get("bus", {}).get("use")
        raise ProfileError(
            f"the bus {bus.adapter.name} keeps no streams",
            "name a profile whose bus is nats: --profile fleet",
            source=use.source if use is not None else opened.profile.name,
            field="bus.use",
        )
    settings: NatsSettings = bus.settings
    return settings


def _tell(found: Sequence[Difference], *, as_json: bool, none: str) -> None:
    if as_json:
        emit([asdict(difference) for difference in found])
        return
    for difference in found:
        line(str(difference))
    if not found:
        line(none)
