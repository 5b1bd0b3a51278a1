"""`fleet dead`: events that could not be handled, with the reason, and what to do about them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from fleet_bootstraps.cli.kept import require_home
from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import emit, line, table
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.dead_letters import DeadLetters, Letter, Replayed
from fleet_bootstraps.report.data import stamp
from fleet_core.errors import InputError, NotFound
from fleet_plugins.api import PortName


async def list_dead(opened: Session, *, every: bool, as_json: bool) -> Exit:
    """Print dead letters, oldest first: those that are open, or `every` one."""
    async with _letters(opened) as dead:
        letters = [one for one in await dead.all() if every or not one.settled]
    rows = [_row(letter) for letter in letters]
    if as_json:
        emit(rows)
    elif not rows:
        line("there are no dead letters")
    else:
        shown = [{k: v for k, v in row.items() if k not in _WIDE} for row in rows]
        table(tuple(shown[0]), (tuple(row.values()) for row in shown), limit=120)
    return Exit.DONE


async def show_dead(opened: Session, name: str, *, as_json: bool) -> Exit:
    """Print letters whole, with the event in them."""
    async with _letters(opened) as dead:
        letters = _named(await dead.all(), [name])
    whole = [{**_row(letter), "content": dict(letter.envelope)} for letter in letters]
    if as_json:
        emit(whole)
        return Exit.DONE
    for one in whole:
        for key, value in one.items():
            if key != "content":
                line(f"{key}: {value}")
        emit(one["content"])
    return Exit.DONE


async def replay_dead(
    opened: Session,
    names: Sequence[str],
    *,
    every: bool,
    again: bool,
    wait_s: float,
    as_json: bool,
) -> Exit:
    """Hand events out again, and say what became of each within `wait_s`."""
    async with _letters(opened) as dead:
        letters = await dead.all()
        chosen = _chosen(letters, names, every=every)
        newest = max((letter.position for letter in letters), default=0)
        replays = await dead.replay(chosen, again=again)
        back = await _came_back(dead, newest, replays, wait_s)
    rows = [_outcome(one, back.get(one.event_id, ""), wait_s) for one in replays]
    if as_json:
        emit(rows)
    elif not rows:
        line("there is nothing to replay")
    for row in () if as_json else rows:
        line(f"{row['event']}: {row['state']}{_detail(row)}")
    return Exit.DONE if all(row["state"] == "replayed" for row in rows) else Exit.UNDECIDED


async def discard_dead(
    opened: Session, names: Sequence[str], reason: str, *, every: bool, as_json: bool
) -> Exit:
    """Take letters off the list."""
    async with _letters(opened) as dead:
        chosen = _chosen(await dead.all(), names, every=every)
        await dead.discard(chosen, reason)
    if as_json:
        emit([{"position": one.position, "event": one.event_id} for one in chosen])
    elif not chosen:
        line("there is nothing to discard")
    for letter in () if as_json else chosen:
        line(f"{letter.event_id}: discarded; it ages out of the log by itself")
    return Exit.DONE


_WIDE = ("letter", "durable", "replayed_as")


@asynccontextmanager
async def _letters(opened: Session) -> AsyncIterator[DeadLetters]:
    require_home(opened)
    async with opened.ports(PortName.BUS, PortName.STATE) as ports:
        yield DeadLetters(ports[PortName.BUS], ports[PortName.STATE], opened.context.clock)


def _row(letter: Letter) -> dict[str, Any]:
    return {
        "position": letter.position,
        "time": stamp(letter.time_ms),
        "subject": letter.subject,
        "event": letter.event_id,
        "attempts": letter.attempts,
        "state": letter.became.fate.value,
        "letter": letter.letter_id,
        "durable": letter.durable,
        "replayed_as": letter.became.event_id,
        "reason": letter.reason,
    }


def _chosen(letters: Sequence[Letter], names: Sequence[str], *, every: bool) -> list[Letter]:
    if bool(names) == every:
        raise InputError("name letters, or give --all", "`fleet dead list` shows them")
    if every:
        return [letter for letter in letters if not letter.settled]
    return _named(letters, names)


def _named(letters: Sequence[Letter], names: Sequence[str]) -> list[Letter]:
    """The letters of those positions, of those events, or with those ids of their own.

    Raises:
        NotFound: names the first for which there is none.
    """
    found: dict[str, Letter] = {}
    for name in names:
        own = [one for one in letters if name in {str(one.position), one.letter_id, one.event_id}]
        if not own:
            raise NotFound(
                f"there is no dead letter {name}", "give a position or an event's id of the list"
            )
        found |= {letter.letter_id: letter for letter in own}
    return list(found.values())


async def _came_back(
    dead: DeadLetters, after: int, replays: Sequence[Replayed], wait_s: float
) -> dict[str, str]:
    """By event id, why it is among the dead letters once more."""
    waited = {one.event_id for one in replays if one.event_id}
    back: dict[str, str] = {}
    if not waited or wait_s <= 0:
        return back
    try:
        async with (
            asyncio.timeout(wait_s),
            aclosing(dead.came_back(after, tuple(waited))) as arriving,
        ):
            async for letter in arriving:
                back[letter.event_id] = letter.reason
                if back.keys() == waited:
                    break
    except TimeoutError:
        pass  # the others did not come back so far
    return back


def _outcome(one: Replayed, back: str, wait_s: float) -> dict[str, Any]:
    event = one.letters[0].event_id
    if one.refused:
        state, detail = "refused", one.refused
    elif back:
        state, detail = "dead again", back
    else:
        state, detail = "replayed", f"not given up within {wait_s:g} s" if wait_s > 0 else ""
    return {
        "event": event,
        "positions": [letter.position for letter in one.letters],
        "state": state,
        "replayed_as": one.event_id,
        "detail": detail,
    }


def _detail(row: dict[str, Any]) -> str:
    said = [f"as {row['replayed_as']}" if row["replayed_as"] else "", row["detail"]]
    return "".join(f", {text}" for text in said if text)
