"""Whether a service is ready, and why not, for whoever asks over HTTP."""

from __future__ import annotations

from collections.abc import Mapping

STARTING, STOPPING = {"service": "starting"}, {"service": "stopping"}


class Readiness:
    """Not ready until it is told otherwise; once it stops, never again."""

    def __init__(self) -> None:
        self._reasons: Mapping[str, str] = STARTING
        self._stopping = False

    @property
    def reasons(self) -> Mapping[str, str]:
        """What is away, by name, and how; empty while the service is ready."""
        return STOPPING if self._stopping else self._reasons

    def tell(self, reasons: Mapping[str, str]) -> None:
        """What is away now."""
        self._reasons = dict(reasons)

    def stop(self) -> None:
        """No new work is to be sent here."""
        self._stopping = True
