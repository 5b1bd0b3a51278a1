"""Which executor calls for which job, and whether it may."""

from __future__ import annotations

from collections.abc import Callable

from fleet_core.ports.state_store import Put
from fleet_features.sim.loop import Lane
from fleet_features.sim.trace import short


class Calls:
    """Counts calls by job, and knows claims and journal as the store does.

    Attributes:
        journal: when each job was journaled first.
        made: how often each job was called for.
        crossed: jobs of which one executor took another's claim; see `claimed`.
    """

    def __init__(self, now: Callable[[], float], report: Callable[[str, str], None]) -> None:
        self.journal: dict[str, float] = {}
        self.made: dict[str, int] = {}
        self.crossed: set[str] = set()
        self._now = now
        self._holder: dict[str, bytes] = {}
        self._report = report
        self._granted: dict[tuple[Lane, str], float] = {}
        self._running: dict[str, dict[Lane, float]] = {}
        self._in_hand: dict[str, tuple[Lane, float]] = {}
        self._disturbed: dict[Lane, float] = {}
        self._all_disturbed = -1.0

    def journaled(self, job_id: str) -> None:
        """The store has a result of the job."""
        if job_id in self.journal:
            self._report("journaled once", f"job {short(job_id)} was journaled again")
        self.journal.setdefault(job_id, self._now())

    def claimed(self, lane: Lane, job_id: str, write: Put) -> None:
        """The store has given a claim, or renewed it.

        Versions of a key that has expired start at 1 again. So an executor that takes its own
        claim anew by its version may, where that ran out on the way and another one's took its
        place, take the other one's: the port gives it no means to tell. Such calls are counted.
        """
        if write.expect is not None:
            self._granted[lane, job_id] = self._now()
        if write.expect and self._holder.get(job_id) != write.value:
            self.crossed.add(job_id)
        self._holder[job_id] = write.value

    def disturbed(self, lane: Lane | None = None) -> None:
        """A process (or every one) may have lost its claims through no fault of its own."""
        if lane is None:
            self._all_disturbed = self._now()
        else:
            self._disturbed[lane] = self._now()

    def begins(self, lane: Lane, job_id: str) -> None:
        """An executor calls a model, or runs a check.

        A journaled job may be called for only under a claim that was given before it was
        journaled: the answer about the claim was under way then, and a claim that lapses cannot
        keep the one that had it before from journaling.
        """
        self.made[job_id] = self.made.get(job_id, 0) + 1
        granted = self._granted.pop((lane, job_id), None)
        journaled = self.journal.get(job_id)
        if journaled is not None and (granted is None or granted >= journaled):
            self._report("paid once", f"{lane.name} calls for {short(job_id)}, which is journaled")
        under_way = self._running.setdefault(job_id, {})
        for other, began in under_way.items():
            if self._calm(other, began) and job_id not in self.crossed:
                how = f"{lane.name} calls for {short(job_id)}, and so does {other.name}"
                self._report("claims hold", how)
        holder, began = self._in_hand.get(job_id, (lane, -1.0))
        if began >= 0 and self._calm(holder, began) and job_id not in self.journal:
            how = f"{lane.name} calls for {short(job_id)}, of which {holder.name} has the answer"
            self._report("paid once", how)
        under_way[lane] = self._now()

    def _calm(self, lane: Lane, since: float) -> bool:
        """Whether a process lives, and nothing kept it from renewing its claims since then."""
        disturbed = max(self._disturbed.get(lane, -1.0), self._all_disturbed)
        return not lane.dead and disturbed < since

    def ends(self, lane: Lane, job_id: str, *, in_hand: bool) -> None:
        """That call is over; `in_hand`: the executor was given its result."""
        began = self._running.get(job_id, {}).pop(lane, None)
        if in_hand and began is not None:
            self._in_hand[job_id] = (lane, began)
