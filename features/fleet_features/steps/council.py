"""Steps: what the agents answer, and on what terms they are asked."""

from __future__ import annotations

from pytest_bdd import given, parsers

from fleet_features.profiles import SEATS
from fleet_features.world import World

PLAIN = "A plain answer"


@given(parsers.parse('agent {seat:d} proposes "{text}"'))
def proposes(world: World, seat: int, text: str) -> None:
    """Give an agent its proposal for every task."""
    world.book.proposes(seat, text)


@given(parsers.parse('agent {seat:d} proposes "{text}" for task {task}'))
def proposes_for(world: World, seat: int, text: str, task: str) -> None:
    """Give an agent its proposal for one task."""
    world.book.proposes(seat, text, task)


@given(parsers.parse("agent {seat:d} proposes the code"))
def proposes_code(world: World, seat: int, docstring: str) -> None:
    """Give an agent a Python proposal."""
    world.book.proposes(seat, f"```python\n{docstring}\n```")


@given("everybody else proposes the code")
def everybody_else_proposes_code(world: World, docstring: str) -> None:
    """Give all agents one Python proposal each, told apart by a comment; overridden by others."""
    for seat in range(1, SEATS + 1):
        world.book.proposes(seat, f"```python\n{docstring}\n# by seat {seat}\n```")


@given(parsers.parse('the better proposal comes from seat {seat:d} and says "{marker}"'))
def plants(world: World, seat: int, marker: str) -> None:
    """Plant a proposal with a marker in one seat; the others stay plain."""
    world.book.proposes(seat, f"A better answer: {marker}")


@given(parsers.parse('every seat but {odd:d} says "{marker}"'))
def all_but(world: World, odd: int, marker: str) -> None:
    """All seats but one write the same text."""
    for seat in range(1, SEATS + 1):
        world.book.proposes(seat, marker if seat != odd else f"The odd answer of seat {seat}.")


@given(parsers.parse('the judge prefers "{marker}"'))
def judge_prefers(world: World, marker: str) -> None:
    """Tell the judge what to rank first."""
    world.book.prefers("judge", marker)


@given(parsers.parse('every ballot prefers "{marker}"'))
def ballots_prefer(world: World, marker: str) -> None:
    """Tell all critics what to rank first."""
    world.book.prefers("critique", marker)


@given("there is no judge")
def no_judge(world: World) -> None:
    """Let ballots decide what evidence leaves equal."""
    world.terms["deliberation.judge.enabled"] = False


@given(parsers.parse("the protocol is {name}"))
def protocol(world: World, name: str) -> None:
    """Choose how councils deliberate."""
    world.terms["deliberation.protocol"] = name


@given(parsers.parse("a step waits {ms:d} ms for its answers"))
def step_waits(world: World, ms: int) -> None:
    """Set the deadline of steps."""
    world.terms["deliberation.step_ms"] = ms


@given(parsers.parse("the lease ends after {ms:d} ms"))
def lease_ends(world: World, ms: int) -> None:
    """Set the deadline of deliberations."""
    world.terms["lease.ms"] = ms


@given(parsers.parse("the lease has {tokens:d} tokens"))
def lease_tokens(world: World, tokens: int) -> None:
    """Set the tokens of deliberations."""
    world.terms["lease.tokens"] = tokens


@given(parsers.parse("agent {seat:d} answers after {ms:d} ms"))
def answers_late(world: World, seat: int, ms: int) -> None:
    """Let an agent's proposal take its time."""
    world.book.delays(seat, ms)


@given(parsers.parse("agent {seat:d} never answers"))
def never_answers(world: World, seat: int) -> None:
    """Let an agent's proposal hang."""
    world.book.fails(seat, {"hang": True})


@given(parsers.parse("agent {seat:d} leaves its first call for task {task} without an answer"))
def hangs_once(world: World, seat: int, task: str) -> None:
    """Keep an agent's first call waiting until it is broken off; the next one is answered."""
    world.book.fails(seat, {"hang": True}, task, times=1)


@given("no agent ever answers")
def nobody_answers(world: World) -> None:
    """Let all proposals hang."""
    for seat in range(1, SEATS + 1):
        world.book.fails(seat, {"hang": True})


@given(parsers.parse("agent {seat:d} is refused with status {status:d}"))
def is_refused(world: World, seat: int, status: int) -> None:
    """Let the server refuse an agent, every time."""
    world.book.fails(seat, {"status": status})


@given(parsers.parse("every agent is refused with status {status:d}"))
def all_refused(world: World, status: int) -> None:
    """Let the server refuse everybody, every time."""
    for seat in range(1, SEATS + 1):
        world.book.fails(seat, {"status": status})


@given(parsers.parse("every agent is refused with status {status:d} for task {task}"))
def all_refused_for(world: World, status: int, task: str) -> None:
    """Let the server refuse everybody at one task."""
    for seat in range(1, SEATS + 1):
        world.book.fails(seat, {"status": status}, task)


@given(parsers.parse("agent {seat:d} answers with broken JSON"))
def broken_json(world: World, seat: int) -> None:
    """Let an agent's structured answer break off."""
    world.book.fails(seat, {"malformed": True})


@given(parsers.parse("agent {seat:d} answers with nothing"))
def empty_answer(world: World, seat: int) -> None:
    """Let an agent answer without text."""
    world.book.fails(seat, {"empty": True})


@given(parsers.parse("the answer of agent {seat:d} is cut off every time"))
def always_cut(world: World, seat: int) -> None:
    """Let the connection break in the middle of an agent's answers."""
    world.book.fails(seat, {"cut": 20})


@given(parsers.parse("the answer of agent {seat:d} is cut off once"))
def cut_once(world: World, seat: int) -> None:
    """Let the connection break in the middle of an agent's first answer."""
    world.book.fails(seat, {"cut": 20}, times=1)


@given(parsers.parse("agent {seat:d} is asked to wait {seconds:g} s once"))
def rate_limited_once(world: World, seat: int, seconds: float) -> None:
    """Let the server answer 429 with Retry-After, once."""
    world.book.fails(seat, {"status": 429, "retry_after": seconds}, times=1)


@given(parsers.parse("the server of agent {seat:d} fails with status {status:d} {times:d} times"))
def fails_then_answers(world: World, seat: int, status: int, times: int) -> None:
    """Let the server fail, then answer."""
    world.book.fails(seat, {"status": status}, times=times)


@given(parsers.parse("each answer takes {ms:d} ms"))
def each_takes(world: World, ms: int) -> None:
    """Let every answer take its time."""
    world.book.delays_all(ms)
