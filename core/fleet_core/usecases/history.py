"""History: a story out of a graph and into another one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from fleet_core.domain import history
from fleet_core.domain.context import PlanRecord
from fleet_core.domain.evolve import evolve
from fleet_core.domain.told import NO_REDACTOR, Redactor, as_recorded, told_by
from fleet_core.errors import DecodeError, NotFound
from fleet_core.ports.context_graph import ContextGraph

_AT_ONCE, _CHARACTERS = 200, 4_000_000


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import found: records by kind, whether they were new or known."""

    story: str
    plans: int
    decisions: int
    revision: int


async def exported(graph: ContextGraph, story: str) -> AsyncIterator[str]:
    """The lines of a story, without their ends; see `domain/history`.

    Raises:
        NotFound: nothing is known of it.
    """
    after = ""
    while page := await graph.records(story, after=after):
        if not after:
            yield history.head(story)
        for recorded in page:
            yield history.line(recorded.record)
        after = page[-1].place
    if not after:
        raise NotFound(
            f"nothing is known of story {story!r}", "fleet story list names those there are"
        )


async def imported(
    graph: ContextGraph, lines: Iterable[str], source: str, redactor: Redactor = NO_REDACTOR
) -> Imported:
    """Record what the lines hold; what is known already stays as it is.

    Everything before a line that is wrong is recorded; running it again goes on from there.

    Args:
        graph: it is recorded in.
        lines: of an export.
        source: their file, for messages.
        redactor: takes secrets out of what is told of the decisions.

    Raises:
        DecodeError: names the line and the field.
    """
    found = _Import(graph, redactor)
    try:
        for number, text in enumerate(lines, 1):
            at = f"{source}:{number}"
            if not found.story:
                found.story = history.read_head(text, at)
            elif text.strip():
                await found.take(history.read_line(text, found.story, at), len(text))
    except DecodeError:
        await found.keep()
        raise
    await found.keep()
    if not found.story:
        raise DecodeError("is empty", "give a file that `fleet story export` wrote", source=source)
    return Imported(found.story, found.plans, found.decisions, found.revision)


class _Import:
    """Records that are kept some at a time."""

    def __init__(self, graph: ContextGraph, redactor: Redactor) -> None:
        self.story, self.plans, self.decisions, self.revision = "", 0, 0, 0
        self._graph = graph
        self._redactor = redactor
        self._taken: list[history.Record] = []
        self._size = 0

    async def take(self, record: history.Record, size: int) -> None:
        if isinstance(record, PlanRecord):
            self.plans += 1
        else:
            self.decisions += 1
        self._taken.append(record)
        self._size += size
        if len(self._taken) == _AT_ONCE or self._size > _CHARACTERS:
            await self.keep()

    async def keep(self) -> None:
        if not self._taken:
            return
        plain = [as_recorded(r.decision) for r in self._taken if not isinstance(r, PlanRecord)]
        told = iter(await told_by(self._redactor, plain))
        records = [
            record if isinstance(record, PlanRecord) else evolve(record, told=next(told))
            for record in self._taken
        ]
        self.revision = await self._graph.restore(records)
        self._taken, self._size = [], 0
