"""What is printed of kills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fleet_features.kill.verdict import Kill, Left

_HEADS = ("part", "kills", "completed", "calls", "extra", "in flight", "recovery", "holds")


@dataclass(frozen=True, slots=True)
class Row:
    """A part that was killed, and what that came to.

    Attributes:
        name: of the part.
        kills: at each point.
        left: what the run left.
        extra: calls beyond those of an undisturbed run.
        faults: what does not hold.
    """

    name: str
    kills: Sequence[Kill]
    left: Left
    extra: int
    faults: Sequence[str]

    @property
    def points(self) -> int:
        """How often it was killed."""
        return sum(kill.pid > 0 for kill in self.kills)

    @property
    def in_flight(self) -> int:
        """Calls in flight at the kills, in all."""
        return sum(len(kill.in_flight) for kill in self.kills)

    @property
    def recovery_s(self) -> float:
        """The longest time from a kill until a deliberation advanced with the part there again."""
        return max((kill.advanced_s for kill in self.kills), default=0.0)

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "part": self.name,
            "points": self.points,
            "deliberations": len(self.left.tasks),
            "completed_once": sum(n == 1 for n in self.left.completed.values()),
            "extra_calls": self.extra,
            "in_flight": self.in_flight,
            "worst_recovery_s": round(self.recovery_s, 1),
            "faults": len(self.faults),
        }


def told(name: str, number: int, of: int, kill: Kill, whole: tuple[int, int, int]) -> str:
    """One line of a kill."""
    head = f"{name} {number}/{of}: at {kill.point.share:.2f} of what is {kill.point.by}"
    if not kill.pid:
        return f"{head}: all was over before"
    asked, answered, events = (f"{n}/{m}" for n, m in zip(kill.here, whole, strict=True))
    return (
        f"{head} (asked {asked}, answered {answered}, events {events}): process {kill.pid} with "
        f"{len(kill.in_flight)} calls in flight, {kill.answered} of them answered; "
        f"serves after {kill.served_s:.1f} s, goes on after {kill.advanced_s:.1f} s"
    )


def table(rows: Sequence[Row]) -> Iterator[str]:
    """A table of all parts."""
    cells = [_HEADS, *(_cells(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(_HEADS))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    once = sum(n == 1 for n in row.left.completed.values())
    return (
        row.name,
        str(row.points),
        f"{once} of {len(row.left.tasks)}",
        str(row.left.calls.total()),
        str(row.extra),
        str(row.in_flight),
        f"{row.recovery_s:.1f} s",
        "no" if row.faults else "yes",
    )
