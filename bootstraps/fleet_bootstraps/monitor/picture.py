"""The picture: everything that is known of a fleet, folded from its log.

It is bounded: of deliberations whose state is not asked for and that were not touched lately only
the row is kept, and of rows the newest. What was let go of is in the log still.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from fleet_bootstraps.monitor import planning
from fleet_bootstraps.monitor.folding import Strategies, carries_input
from fleet_bootstraps.monitor.planning import Planned
from fleet_bootstraps.monitor.tracked import Tracked
from fleet_core.domain.council import Council
from fleet_core.domain.events import (
    COMPLETED,
    CONTEXT_UPDATED,
    DEAD,
    DELIBERATION,
    PLAN_APPROVED,
    PLAN_CANCELLED,
    Event,
)
from fleet_core.errors import FleetError

SUBJECTS = ("planning.>", "orchestration.>", "context.>", "dead.>")
STATES_HELD = 512
ROWS_HELD = 20_000
PLANS_HELD = 2_000
_ID_LENGTH = 200
_LOOKED_AT = 64  # for one that has ended, before an open one is let go of
_OF_PLANS = {CONTEXT_UPDATED: planning.recorded, PLAN_CANCELLED: planning.cancelled}
Key = tuple[str, str]
"""What changed: `deliberation`, `plan` or `letters`, and its id."""
LETTERS: Key = ("letters", "")


class Picture:
    """Folds events; see the module.

    Attributes:
        deliberations, plans: by id, those touched last at the end.
        position: of the newest event that was taken.
        events: how many were taken.
        unreadable: how many of them were not what their subject says, and why the last was not.
        letters: how many dead letters there are in the log.
        open_letters: how many of them are not settled, as far as that was asked.
    """

    def __init__(
        self,
        strategies: Strategies,
        *,
        states_held: int = STATES_HELD,
        rows_held: int = ROWS_HELD,
        plans_held: int = PLANS_HELD,
    ) -> None:
        self._strategies = strategies
        self._states_held, self._rows_held = states_held, rows_held
        self._plans_held = plans_held
        self._with_state: dict[str, None] = {}
        self.deliberations: dict[str, Tracked] = {}
        self.plans: dict[str, Planned] = {}
        self.councils: dict[str, Council] = {}
        self.position = self.events = self.letters = self.letters_position = self.let_go = 0
        self.unreadable, self.last_unreadable = 0, ""
        self.open_letters = 0

    def take(self, event: Event, position: int, *, lost: str = "") -> list[Key]:
        """Take an event; what it changed.

        An event that is not what its subject says is counted, and changes nothing.

        Args:
            event: with what travelled by reference fetched.
            position: where it stands in the log.
            lost: why what travelled by reference could not be fetched.
        """
        before, self.position = self.position, position
        self.events += 1
        try:
            return self._taken(event, position, before, lost)
        except FleetError as error:
            self.note(str(error))
            return []

    def note(self, reason: str) -> None:
        """An event could not be read."""
        self.unreadable += 1
        self.last_unreadable = reason[:500]

    def _taken(self, event: Event, position: int, before: int, lost: str) -> list[Key]:
        if event.subject.startswith(f"{DELIBERATION}."):
            return self._deliberation(event, position, before, lost)
        if lost:
            self.note(lost)
            return []
        if event.subject == PLAN_APPROVED:
            return self._approval(event, position)
        if event.subject in _OF_PLANS:
            planned = self.plans.get(_text(event.data, "plan_id"))
            if planned is None:
                return []
            run = _OF_PLANS[event.subject](planned.run, event.data, event)
            return self._moved(planned, run, position)
        if event.subject.startswith(f"{DEAD}."):
            return self._letter(event, position)
        return []

    def _deliberation(self, event: Event, position: int, before: int, lost: str) -> list[Key]:
        data = event.data
        identity = _text(data, "deliberation_id")
        if not identity:
            self.note(f"event {event.event_id[:120]} names no deliberation")
            return []
        plan_id, task_id = _text(data, "plan_id"), _text(data, "task_id")
        attempt = data.get("attempt")
        tracked = self.deliberations.pop(identity, None)
        if tracked is None:
            number = attempt if isinstance(attempt, int) else 0
            tracked = Tracked(identity, plan_id, task_id, number, before, event.time_ms)
        self.deliberations[identity] = tracked
        if lost and carries_input(event):
            tracked.fail(lost)
        phase = tracked.phase
        tracked.take(event, position, self._strategies)
        if tracked.state is not None:
            self._with_state.pop(identity, None)
            self._with_state[identity] = None
            council = tracked.state.council
            self.councils[council.role] = council
        self._bound()
        keys: list[Key] = [("deliberation", identity)]
        planned = self.plans.get(plan_id)
        if planned is not None:
            run = planning.begun(planned.run, task_id, identity, tracked.attempt)
            if event.subject == COMPLETED:
                run = planning.ended(run, data, event)
            if run != planned.run or phase != tracked.phase:
                keys += self._moved(planned, run, position)
        return keys

    def _approval(self, event: Event, position: int) -> list[Key]:
        identity = _text(event.data, "plan_id")
        known = self.plans.get(identity)
        run = planning.approved(known.run if known is not None else None, event.data, event)
        planned = self.plans.pop(identity, None) or Planned(run, position, event.event_id)
        planned.approval_id, planned.refused = event.event_id, ""
        self.plans[identity] = planned
        while len(self.plans) > self._plans_held:
            del self.plans[next(iter(self.plans))]
            self.let_go += 1
        return self._moved(planned, run, position)

    def _letter(self, event: Event, position: int) -> list[Key]:
        self.letters += 1
        self.letters_position = position
        keys = [LETTERS]
        buried = event.data.get("event")
        if isinstance(buried, Mapping) and buried.get("type") == PLAN_APPROVED:
            for planned in self.plans.values():
                if planned.approval_id == buried.get("id"):
                    planned.refused = str(event.data.get("reason", ""))[:2_000] or "no reason given"
                    planned.position = position
                    keys.append(("plan", planned.run.plan_id))
        return keys

    def _moved(self, planned: Planned, run: Any, position: int) -> list[Key]:
        planned.run, planned.position = run, position
        return [("plan", run.plan_id)]

    def _bound(self) -> None:
        while len(self._with_state) > self._states_held:
            oldest = self._to_let_go()
            del self._with_state[oldest]
            if (tracked := self.deliberations.get(oldest)) is not None:
                tracked.release()
        while len(self.deliberations) > self._rows_held:
            oldest = next(iter(self.deliberations))
            del self.deliberations[oldest]
            self._with_state.pop(oldest, None)
            self.let_go += 1

    def _to_let_go(self) -> str:
        """The one that has ended and was not touched for the longest time; else the oldest."""
        for name in islice(self._with_state, _LOOKED_AT):
            tracked = self.deliberations.get(name)
            if tracked is None or not tracked.open:
                return name
        return next(iter(self._with_state))


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) and len(value) <= _ID_LENGTH else ""
