"""What is printed of kills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleet_features.kill.verdict import Kill, Left, disturbed

_HEADS = (
    "part",
    "points",
    "runs",
    "completed once",
    "calls",
    "extra",
    "in flight",
    "recovery",
    "slowest run",
    "holds",
)

_OF = {"asked": "the calls asked", "answered": "the calls answered", "events": "the events"}


@dataclass(slots=True)
class Row:
    """A part that was killed, and what that came to in all its runs.

    Attributes:
        name: of the part.
        kills: those that came about.
        runs: how many there were.
        deliberations: submitted.
        completed: of them, with exactly one `completed`.
        calls: that the model counted.
        extra: of them, beyond those of undisturbed runs.
        slowest_s: the run that took longest, from the first plan's approval to the last's end.
        faults: what does not hold.
    """

    name: str
    kills: list[Kill] = field(default_factory=list)
    runs: int = 0
    deliberations: int = 0
    completed: int = 0
    calls: int = 0
    extra: int = 0
    slowest_s: float = 0.0
    faults: list[str] = field(default_factory=list)

    def add(self, kills: Sequence[Kill], left: Left, wanted: Left, took_s: float) -> list[str]:
        """One more run; what does not hold of it."""
        faults = disturbed(left, wanted, kills)
        self.kills += [kill for kill in kills if kill.pid]
        self.runs += 1
        self.deliberations += len(wanted.tasks)
        self.completed += sum(left.completed.get(task) == 1 for task in wanted.tasks)
        self.calls += left.calls.total()
        self.extra += left.calls.total() - wanted.calls.total()
        self.slowest_s = max(self.slowest_s, took_s)
        self.faults += faults
        return faults

    @property
    def in_flight(self) -> int:
        """Calls in flight at the kills, in all."""
        return sum(len(kill.in_flight) for kill in self.kills)

    @property
    def recovery_s(self) -> float:
        """The longest time from a kill until all deliberations that ran then had advanced."""
        return max((kill.advanced_s for kill in self.kills), default=0.0)

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "part": self.name,
            "points": len(self.kills),
            "runs": self.runs,
            "deliberations": self.deliberations,
            "completed_once": self.completed,
            "calls": self.calls,
            "extra_calls": self.extra,
            "in_flight": self.in_flight,
            "worst_recovery_s": round(self.recovery_s, 1),
            "slowest_run_s": round(self.slowest_s, 1),
            "faults": len(self.faults),
        }


def told(name: str, kill: Kill, whole: tuple[int, int, int]) -> str:
    """One line of a kill."""
    head = f"{name}: at {kill.point.share:.2f} of {_OF[kill.point.by]}"
    if not kill.pid:
        return f"{head}: all was over before, nobody was killed"
    asked, answered, events = (f"{n}/{m}" for n, m in zip(kill.here, whole, strict=True))
    return (
        f"{head} (asked {asked}, answered {answered}, events {events}): process {kill.pid} with "
        f"{len(kill.in_flight)} calls in flight, {kill.answered} of them answered; "
        f"serves after {kill.served_s:.1f} s, all goes on after {kill.advanced_s:.1f} s"
    )


def table(rows: Sequence[Row]) -> Iterator[str]:
    """A table of all parts."""
    cells = [_HEADS, *(_cells(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(_HEADS))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        str(len(row.kills)),
        str(row.runs),
        f"{row.completed} of {row.deliberations}",
        str(row.calls),
        str(row.extra),
        str(row.in_flight),
        f"{row.recovery_s:.1f} s",
        f"{row.slowest_s:.1f} s",
        "no" if row.faults else "yes",
    )
