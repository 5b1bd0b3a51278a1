"""A deliberation's state from its events, by the reducer that made them.

An event of a deliberation holds the input that was reduced, so reducing it again gives the state
that was saved, and the jobs that were issued with their prompts. Nothing here is a second
understanding of what an input means.
"""

from __future__ import annotations

from collections.abc import Mapping

from fleet_core.domain.codec import from_data
from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.events import Event
from fleet_core.domain.inputs import Input, Start
from fleet_core.domain.reducer import Reduction, Strategy, reduce
from fleet_core.errors import FleetError, InputError

Strategies = Mapping[str, Strategy]


def carries_input(event: Event) -> bool:
    """Whether an event of a deliberation holds an input; `completed` repeats the outcome only."""
    return isinstance(event.data.get("input"), Mapping)


def folded(state: Deliberation | None, event: Event, strategies: Strategies) -> Reduction:
    """The next state of a deliberation, from the event that follows `state`.

    Args:
        state: after the event before; None before the first.
        event: with what travelled by reference fetched.
        strategies: protocols by name, as the fleet's own.

    Raises:
        InputError: the event does not follow, or says otherwise than what comes of it.
    """
    source = f"event {event.event_id[:120]}"
    given: Input = from_data(Input, event.data["input"], source=source, at="input")  # type: ignore[arg-type]  # a union
    if isinstance(given, Start):
        name = given.protocol.name
    elif state is not None:
        name = state.protocol.name
    else:
        raise InputError("begins before what is kept of the log", source=source)
    strategy = strategies.get(name)
    if strategy is None:
        raise InputError(
            f"the protocol {name[:80]!r} is not bound here",
            "start the monitor with the profile that the fleet runs",
            source=source,
        )
    try:
        reduction = reduce(state, given, strategy)
    except FleetError:
        raise
    except Exception as error:  # what somebody else published may be anything
        raise InputError(f"cannot be reduced: {type(error).__name__}", source=source) from error
    found = (reduction.state.version, reduction.state.phase.value)
    if found != (event.sequence, event.data.get("phase")):
        said = f"version {event.sequence}, {str(event.data.get('phase'))[:40]}"
        raise InputError(
            f"says {said}; reduced here it is version {found[0]}, {found[1]}",
            "was it made by another version of the fleet, or another ranker?",
            source=source,
        )
    return reduction
