"""What happened in a run, line by line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

_IDENTITY = re.compile(r"[0-9a-f]{32}")


def short(text: str) -> str:
    """A key or an id with content ids cut to eight digits; of jobs, the first four are shared."""
    return _IDENTITY.sub(lambda found: found.group()[:4] + found.group()[8:12], text)


class Trace:
    """Lines of virtual time, who, and what."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.lines: list[tuple[float, str, str]] = []

    def note(self, who: str, what: str) -> None:
        """Somebody did something now."""
        self.lines.append((self._now(), who, what))

    def text(self) -> str:
        """For a person."""
        return "\n".join(f"{at:10.4f}  {who:<14} {what}" for at, who, what in self.lines)

    def digest(self) -> str:
        """The same for two runs only where they did the same at the same times."""
        return hashlib.sha256(repr(self.lines).encode()).hexdigest()
