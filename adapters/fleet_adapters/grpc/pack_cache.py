"""Answers with packs, kept in the state store that the context services share.

A pack is the same for the same request and the same revision of its story. What is kept says of
which revision it is: it is answered with as long as that is the story's, and made anew after.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable

from fleet_adapters.grpc.proto.fleet.context.v1 import context_pb2 as pb
from fleet_core.domain.events import MAX_INLINE_BYTES
from fleet_core.errors import FleetError
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.state_store import Put, StateStore
from fleet_core.usecases import keys

_KEPT_MS = 3_600_000
_REVISION = 8  # bytes before the answer
_AT_ONCE = 64  # answers on their way into the store; others are not kept
_log = logging.getLogger("fleet.grpc")


class PackCache:
    """Keeps answers for an hour.

    Args:
        state: shared by the services.
        graph: knows the revision.
        made_by: tells what else a pack depends on: tokenizer, redactor, version of the program.
    """

    def __init__(self, state: StateStore, graph: ContextGraph, made_by: Callable[[], str]) -> None:
        self._state = state
        self._graph = graph
        self._made_by = made_by
        self._keeping: set[asyncio.Task[None]] = set()

    def key(self, request: pb.GetContextRequest) -> str:
        """The key of a request; another plan sent along, budget or role have another one."""
        whole = request.SerializeToString(deterministic=True)
        return keys.pack(hashlib.sha256(self._made_by().encode() + b"\0" + whole).hexdigest())

    async def kept(self, key: str, story: str) -> pb.GetContextResponse | None:
        """The answer of that key, if it is of the story as it is now."""
        (document,) = await self._state.get([key])
        if document is None:
            return None
        made_at = int.from_bytes(document.value[:_REVISION])
        if made_at != await self._graph.revision(story):
            return None
        return pb.GetContextResponse.FromString(document.value[_REVISION:])

    def keep(self, key: str, answer: pb.GetContextResponse) -> None:
        """Begin to keep an answer; nobody has to wait for it, and it may fail.

        A large one is not kept, nor is one that refers to a blob, which may go first.
        """
        if len(self._keeping) < _AT_ONCE:
            task = asyncio.create_task(self._keep(key, answer))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)

    async def kept_all(self) -> None:
        """Returns when what was begun has ended."""
        await asyncio.gather(*self._keeping)

    async def _keep(self, key: str, answer: pb.GetContextResponse) -> None:
        made = answer.SerializeToString()
        if len(made) > MAX_INLINE_BYTES or answer.pack.WhichOneof("form") != "pack":
            return
        made_at = answer.pack.pack.revision.to_bytes(_REVISION)
        try:
            await self._state.commit([Put(key, made_at + made, ttl_ms=_KEPT_MS)])
        except FleetError as error:
            _log.warning("a pack is not kept for those who ask again: %s", error)
