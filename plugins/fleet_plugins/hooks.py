"""The hook specifications of the pluggy project `fleet`."""

from __future__ import annotations

from collections.abc import Mapping

from fleet_plugins.api import Adapter, hookspec


@hookspec(firstresult=True)
def fleet_adapter() -> Adapter | None:
    """The adapter behind this entry point."""


@hookspec
def fleet_observe(event: str, detail: Mapping[str, str]) -> None:
    """Something happened in the process's life; for logs and metrics.

    It cannot change the outcome: what it raises is logged and listed, and nobody waits for it
    but the caller's thread, so it must not block.

    Args:
        event: `port.opened`, `port.failed` or `port.closed`; later versions add further ones.
        detail: `adapter` (`<port>.<name>`), `binding`, and for a failure `reason`.
    """
