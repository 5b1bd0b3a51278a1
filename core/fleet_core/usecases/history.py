"""History: a story out of a graph and into another one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from fleet_core.domain import history
from fleet_core.domain.context import PlanRecord
from fleet_core.errors import DecodeError, NotFound
from fleet_core.ports.context_graph import ContextGraph


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


async def imported(graph: ContextGraph, lines: Iterable[str], source: str) -> Imported:
    """Record what the lines hold; what is known already stays as it is.

    Everything before a line that is wrong is recorded; running it again goes on from there.

    Raises:
        DecodeError: names the line and the field.
    """
    story, plans, decisions, revision = "", 0, 0, 0
    for number, text in enumerate(lines, 1):
        at = f"{source}:{number}"
        if not story:
            story = history.read_head(text, at)
            continue
        if not text.strip():
            continue
        record = history.read_line(text, story, at)
        if isinstance(record, PlanRecord):
            plans += 1
            revision = await graph.record_plan(record)
        else:
            decisions += 1
            revision = await graph.record_decision(record.decision, record.recorded_ms)
    if not story:
        raise DecodeError("is empty", "give a file that `fleet story export` wrote", source=source)
    return Imported(story, plans, decisions, revision)
