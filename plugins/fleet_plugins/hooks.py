"""The hook specifications of the pluggy project `fleet`."""

from __future__ import annotations

from fleet_plugins.api import Adapter, hookspec


@hookspec(firstresult=True)
def fleet_adapter() -> Adapter | None:
    """The adapter behind this entry point."""
