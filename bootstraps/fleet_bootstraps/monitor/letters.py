"""Dead letters as JSON data."""

from __future__ import annotations

from typing import Any

from fleet_bootstraps.dead_letters import Letter, read_letter
from fleet_bootstraps.monitor.log import Log
from fleet_core.domain.events import DEAD


async def letters_of(log: Log) -> list[Letter]:
    """The letters in a log, oldest first; what became of them is not in it."""
    return [read_letter(s.position, s.event) async for s in log.replay([f"{DEAD}.>"])]


def letter_data(letter: Letter) -> dict[str, Any]:
    """A letter with the event in it; positions are text, they may be larger than 2^53."""
    return {
        "position": str(letter.position),
        "time_ms": letter.time_ms,
        "subject": letter.subject,
        "event_id": letter.event_id,
        "durable": letter.durable,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "envelope": letter.envelope,
        "unreadable": letter.unreadable,
        "fate": letter.became.fate.value,
        "became": letter.became.event_id or letter.became.reason,
        "settled": letter.settled,
    }
