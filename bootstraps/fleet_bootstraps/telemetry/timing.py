"""How long things take, and how they end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Histogram

from fleet_bootstraps.telemetry.meters import Meters
from fleet_core.errors import Conflict, FleetError


@contextmanager
def timed(histogram: Histogram, *labels: str) -> Iterator[None]:
    """Observe how long the block takes, under those labels and its outcome.

    The outcome is `ok`, the code of a FleetError, `stopped` where it is cancelled, else `error`.
    """
    began, outcome = time.perf_counter(), "stopped"
    try:
        yield
        outcome = "ok"
    except FleetError as error:
        outcome = error.code
        raise
    except Exception:
        outcome = "error"
        raise
    finally:
        histogram.labels(*labels, outcome).observe(time.perf_counter() - began)


@contextmanager
def storing(meters: Meters, call: str) -> Iterator[None]:
    """Observe a call of the state store, and what it lost."""
    try:
        with timed(meters.storing, call):
            yield
    except Conflict as conflict:
        meters.conflicts.labels(conflict.key.partition("/")[0] or "unknown").inc()
        raise
