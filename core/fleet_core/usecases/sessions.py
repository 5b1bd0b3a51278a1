"""Sessions: the packs of one task for several roles, made at once and kept for a while.

Whoever asks again under the same id is told the very same, whatever was recorded meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from fleet_core.domain.context import ContextPack, PackRequest
from fleet_core.errors import AlreadyExists, Conflict
from fleet_core.ports.clock import Clock
from fleet_core.ports.hydrator import Hydrator
from fleet_core.ports.state_store import Put, StateStore
from fleet_core.usecases import keys
from fleet_core.usecases.documents import dump_object, load_object

HOUR_MS = 3_600_000
LONGEST_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the packs of a session are of.

    Attributes:
        roles: each once, in their kept form and in the order of the packs.
        phase: as it was asked for; empty for the task's own.
        budget: tokens of each pack.
    """

    plan_id: str
    task_id: str
    roles: tuple[str, ...]
    phase: str
    budget: int


@dataclass(frozen=True, slots=True)
class Session:
    """Packs that are kept until `expires_ms` (UTC milliseconds)."""

    wanted: Wanted
    packs: tuple[ContextPack, ...]
    expires_ms: int


class Sessions:
    """Reads and writes `session/{id}`.

    Args:
        hydrator: makes the packs.
        state: keeps them.
        clock: UTC milliseconds.
    """

    def __init__(self, hydrator: Hydrator, state: StateStore, clock: Clock) -> None:
        self._hydrator = hydrator
        self._state = state
        self._clock = clock

    async def kept(self, session_id: str) -> Session | None:
        """What is kept under an id; None where nothing is, or no longer."""
        (document,) = await self._state.get([keys.session(session_id)])
        return load_object(Session, document) if document is not None else None

    async def packs(
        self,
        session_id: str,
        wanted: Wanted,
        requests: Callable[[], Awaitable[Sequence[PackRequest]]],
        ttl_ms: int,
    ) -> Session:
        """What is kept under an id, made now where nothing is; of several at once, one makes it.

        Args:
            session_id: letters, digits, _ and -.
            wanted: what the packs are of.
            requests: one for each role, in their order; called only where packs are to be made.
            ttl_ms: milliseconds for which what is made now is kept.

        Raises:
            AlreadyExists: other packs are kept under the id.
            InputError: a pack is refused, as by `Hydrator.pack`.
            Unavailable: graph or store are away.
        """
        while True:
            found = await self.kept(session_id)
            if found is not None:
                if found.wanted != wanted:
                    raise AlreadyExists(
                        f"session {session_id} holds the packs of another request",
                        "choose another session id, or ask for what it holds by the id alone",
                    )
                return found
            made = [await self._hydrator.pack(request) for request in await requests()]
            session = Session(wanted, tuple(made), self._clock() + ttl_ms)
            put = Put(keys.session(session_id), dump_object(session), expect=0, ttl_ms=ttl_ms)
            try:
                await self._state.commit([put])
            except Conflict:
                continue  # another was faster, and has been told its own packs
            return session
