"""The hook specifications of the pluggy project `fleet`."""

from __future__ import annotations

from fleet_plugins.api import Adapter, hookspec


@hookspec(firstresult=True)
def fleet_adapter() -> Adapter | None:  # type: ignore[empty-body]  # a specification has no body
    """The adapter behind this entry point."""
