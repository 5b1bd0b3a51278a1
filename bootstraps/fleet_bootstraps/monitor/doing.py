"""The operations that act: 200 where it was carried out, 409 where it was not, with the reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from fleet_bootstraps.monitor.acting import Acting, Done
from fleet_bootstraps.monitor.guard import answer
from fleet_bootstraps.monitor.operations import Call
from fleet_core.errors import NotFound


def _action(
    act: Callable[[Call, Acting], Awaitable[Done]],
) -> Callable[[Call], Awaitable[web.Response]]:
    """An action, answered; where nothing can be done here, that is the answer."""

    async def handle(call: Call) -> web.Response:
        acting = call.site.acting
        done = await act(call, acting) if acting is not None else Done(False, call.site.why_not)
        data = {"carried_out": done.carried_out, "said": done.said, **done.more}
        return answer(data, 200 if done.carried_out else 409)

    return handle


@_action
async def submit(call: Call, acting: Acting) -> Done:
    """Approve a plan."""
    return await acting.submit_text(call.body["plan"], fresh=call.body.get("fresh", False))


@_action
async def test_case(call: Call, acting: Acting) -> Done:
    """Approve a built-in test case."""
    return await acting.submit_case(call.query["test_case"], fresh=call.query.get("fresh", False))


@_action
async def cancel(call: Call, acting: Acting) -> Done:
    """End a deliberation."""
    reason = call.body.get("reason") or "cancelled from the monitor"
    return await acting.cancel(_deliberation(call), reason)


@_action
async def extend(call: Call, acting: Acting) -> Done:
    """Raise a lease."""
    tokens, micro_usd, ms = (call.body.get(name, 0) for name in ("tokens", "micro_usd", "ms"))
    return await acting.extend(_deliberation(call), tokens, micro_usd, ms)


@_action
async def kill(call: Call, acting: Acting) -> Done:
    """Stop one job."""
    return await acting.kill(_deliberation(call), call.path["job_id"])


@_action
async def replay(call: Call, acting: Acting) -> Done:
    """Hand a dead letter's event out again."""
    done = await acting.replay(_position(call), again=call.body.get("again", False))
    await call.site.feed.recount()
    return done


@_action
async def discard(call: Call, acting: Acting) -> Done:
    """Take a dead letter off the list."""
    done = await acting.discard(_position(call), call.body.get("reason", ""))
    await call.site.feed.recount()
    return done


def _deliberation(call: Call) -> str:
    """The whole id: an action is never guessed from a beginning."""
    return call.path["deliberation_id"]


def _position(call: Call) -> int:
    given = call.path["position"]
    if not (given.isascii() and given.isdigit() and len(given) <= 100):
        raise NotFound("there is no dead letter at that position")
    return int(given)
