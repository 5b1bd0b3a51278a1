"""How a command ends: exit codes, and errors as one message for a person."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from enum import IntEnum
from typing import Any, ParamSpec

import typer

from fleet_core.errors import FleetError, InputError, NotFound

P = ParamSpec("P")


class Exit(IntEnum):
    """The exit codes of `fleet`."""

    DONE = 0  # `run`: every task is decided
    UNDECIDED = 1  # a task failed, is blocked or was cancelled; or a bug of ours
    BAD_INPUT = 2  # a plan, a profile, an option, an id
    UNAVAILABLE = 3  # a component is not there, or refuses
    INTERRUPTED = 130  # by a signal; the run can be resumed


CODES = """Exit codes: 0 every task is decided; 1 a task failed, is blocked or was cancelled;
2 bad input (plan, profile, option); 3 a component is unavailable or refuses (model, store,
plugin); 130 interrupted: the same command goes on where it stopped."""


def command(work: Callable[P, Coroutine[Any, Any, Exit] | Exit]) -> Callable[P, None]:
    """A command's function as Typer wants it: run to its end, errors told, exit code set."""

    @functools.wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        code = ended(lambda: work(*args, **kwargs))
        if code is not Exit.DONE:
            raise typer.Exit(int(code))

    return run


def ended(work: Callable[[], Coroutine[Any, Any, Exit] | Exit]) -> Exit:
    """The exit code of a command; whatever went wrong has been said on stderr."""
    try:
        given = work()
        return given if isinstance(given, Exit) else _awaited(given)
    except KeyboardInterrupt:
        say("interrupted")
        return Exit.INTERRUPTED
    except typer.Exit:
        raise
    except BrokenPipeError:
        # Whoever read our output went away; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.UNDECIDED
    except (Exception, BaseExceptionGroup) as error:
        if os.environ.get("FLEET_DEBUG"):
            raise
        return told(error)


def _awaited(coroutine: Coroutine[Any, Any, Exit]) -> Exit:
    import asyncio  # noqa: PLC0415 -- `fleet --help` does without

    try:
        return asyncio.run(coroutine)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def told(error: BaseException, tell: Callable[[str], None] | None = None) -> Exit:
    """Say an error, groups unwrapped, each message once; the code it ends the process with."""
    tell = tell or say
    leaves = list(_leaves(error))
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return Exit.INTERRUPTED
    bugs = [leaf for leaf in leaves if not isinstance(leaf, FleetError)]
    for message in dict.fromkeys(_message(leaf) for leaf in leaves):
        tell(f"error: {message}")
    if bugs:
        tell("this is a bug in fleet or in a plugin; FLEET_DEBUG=1 shows where it comes from")
        return Exit.UNDECIDED
    return max(code_of(leaf) for leaf in leaves)


def code_of(error: BaseException) -> Exit:
    """The exit code for one error."""
    if isinstance(error, InputError | NotFound):
        return Exit.BAD_INPUT
    return Exit.UNAVAILABLE if isinstance(error, FleetError) else Exit.UNDECIDED


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _message(error: BaseException) -> str:
    if isinstance(error, FleetError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def say(text: str) -> None:
    """A line on stderr, made safe for a terminal."""
    from fleet_bootstraps.report.text import one_line  # noqa: PLC0415 -- needed on few ways out

    typer.echo(f"fleet: {one_line(text)}", err=True)
