"""Time, as it enters from outside."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], int]
"""Now, in UTC milliseconds."""
