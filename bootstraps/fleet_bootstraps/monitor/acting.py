"""What can be done from the monitor, by the use cases that the commands go through.

Each answers whether it was carried out. What was not carried out says why, and is no error of the
caller's: the deliberation may have ended in the meantime.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from fleet_bootstraps.answering import Answering
from fleet_bootstraps.dead_letters import DeadLetters, Letter
from fleet_bootstraps.plans import load_plan, parse_plan
from fleet_core.domain.council import Council
from fleet_core.domain.deliberation import FINAL, Phase
from fleet_core.domain.plan import Plan, plan_id
from fleet_core.errors import NotFound, PlanError
from fleet_core.ports.executor import Executor
from fleet_plugins.settings import close_matches

TEST_CASES = ("basic", "medium", "complex")


@dataclass(frozen=True, slots=True)
class Done:
    """How an action went; `said` is for a person."""

    carried_out: bool
    said: str
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Acting:
    """The actions.

    Attributes:
        own: the use cases, which leave the work to others.
        letters: the dead letters.
        councils: who sits for which role.
        protocols: those that a task may ask for.
        executor: runs the jobs; None where another process does, which cannot be asked.
        waits: what is to be said where no process may be there to work on a plan.
    """

    own: Answering
    letters: DeadLetters
    councils: Callable[[], Awaitable[dict[str, Council]]]
    protocols: tuple[str, ...]
    executor: Executor | None
    waits: str = ""

    async def submit_text(self, text: str, *, fresh: bool) -> Done:
        """Approve a plan given as YAML or JSON; PlanError names line and field."""
        roles = tuple(await self.councils())
        return await self._approved(parse_plan(_bytes(text), "plan", roles), fresh=fresh)

    async def submit_case(self, name: str, *, fresh: bool) -> Done:
        """Approve a built-in test case."""
        return await self._approved(load_plan(name, tuple(await self.councils())), fresh=fresh)

    async def _approved(self, plan: Plan, *, fresh: bool) -> Done:
        for index, task in enumerate(plan.tasks):
            if task.protocol and task.protocol not in self.protocols:
                raise PlanError(
                    f"there is no protocol {task.protocol!r}",
                    close_matches(task.protocol, self.protocols),
                    source="plan",
                    field=f"tasks[{index}].protocol",
                )
        identity = plan_id(plan)
        before = await self.own.plans.approve(plan, fresh=fresh)
        attempt = before.attempt if before is not None else 0
        more = {"plan_id": identity, "attempt": attempt}
        if before is not None and not before.settled:
            return Done(False, f"attempt {attempt} is under way already, and goes on", more)
        if before is not None and before.decided and not fresh:
            said = "it is decided already, and no call is made; fresh deliberates anew"
            return Done(False, said, more)
        said = f"submitted as attempt {attempt + 1}"
        said = f"{said}; {self.waits}" if self.waits else said
        return Done(True, said, {**more, "attempt": attempt + 1})

    async def cancel(self, deliberation_id: str, reason: str) -> Done:
        """End a deliberation. NotFound where it is not kept."""
        before = await self.own.deliberate.get(deliberation_id)
        if before.phase in FINAL:
            return Done(False, f"it has ended already: it is {before.phase}")
        after = await self.own.deliberate.cancel(deliberation_id, reason)
        if after.phase is not Phase.CANCELLED:
            return Done(False, f"it ended before it could be cancelled: it is {after.phase}")
        return Done(True, "cancelled")

    async def extend(self, deliberation_id: str, tokens: int, micro_usd: int, ms: int) -> Done:
        """Raise a lease: more tokens, more money, a later deadline."""
        before = await self.own.deliberate.get(deliberation_id)
        if before.phase in FINAL:
            return Done(False, f"it has ended already: it is {before.phase}")
        deadline = before.lease.deadline_ms + ms if ms else 0
        after = await self.own.deliberate.extend(
            deliberation_id, tokens=tokens, micro_usd=micro_usd, deadline_ms=deadline
        )
        if after.phase in FINAL:
            return Done(False, f"it ended before its lease could be raised: it is {after.phase}")
        now, then = after.lease, before.lease
        raised = (
            now.tokens > then.tokens,
            now.micro_usd > then.micro_usd,
            now.deadline_ms > then.deadline_ms,
        )
        if not any(raised):
            return Done(False, "nothing was raised: its money is without a limit")
        return Done(True, f"the lease is {now.tokens} tokens now", {"deadline_ms": now.deadline_ms})

    async def kill(self, deliberation_id: str, job_id: str) -> Done:
        """Stop one job; it ends `cancelled`."""
        if self.executor is None:
            return Done(False, "its executor is in the process that runs the plan; cancel it there")
        hit = await self.executor.cancel(deliberation_id, (job_id,))
        if not hit:
            return Done(False, "the executor has no such job under way: it has ended, or never was")
        return Done(True, "the job is stopped")

    async def replay(self, position: int, *, again: bool) -> Done:
        """Hand the event of a dead letter out once more."""
        (replayed,) = await self.letters.replay([await self._letter(position)], again=again)
        if replayed.refused:
            return Done(False, replayed.refused)
        return Done(True, f"handed out as {replayed.event_id}", {"event_id": replayed.event_id})

    async def discard(self, position: int, reason: str) -> Done:
        """Take a dead letter off the list."""
        letter = await self._letter(position)
        if letter.settled:
            return Done(False, f"it was {letter.became.fate.value} already")
        await self.letters.discard([letter], reason)
        return Done(True, "discarded; the log keeps it until it ages out")

    async def _letter(self, position: int) -> Letter:
        for letter in await self.letters.all():
            if letter.position == position:
                return letter
        raise NotFound("there is no dead letter at that position")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
