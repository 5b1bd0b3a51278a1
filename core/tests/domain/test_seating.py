"""Who can sit in a council, and what is said of who cannot."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_core.domain.council import Agent, Council
from fleet_core.domain.model_call import Binding, Price, Sampling
from fleet_core.domain.seating import (
    MAX_AGENTS,
    MAX_PERSONA,
    Seat,
    departed,
    joined,
    rebound,
    seated,
)
from fleet_core.errors import AlreadyExists, FleetError, InputError, NotFound

BINDINGS = {"default": Binding(model="small"), "big": Binding("big", "large", price=Price(1, 2))}


def ids(council: Council) -> list[str]:
    return [agent.agent_id for agent in council.agents]


def council(*names: str) -> Council:
    return Council("QA", tuple(Agent(name, n, "QA") for n, name in enumerate(names, 1)))


def test_seats_are_filled_in_order_with_the_profile_s_bindings() -> None:
    found = seated(" dev ", [Seat(persona="terse"), Seat("ann", binding="big"), Seat()], BINDINGS)
    assert found.role == "DEV"
    assert ids(found) == ["dev-1", "ann", "dev-3"]
    assert [agent.number for agent in found.agents] == [1, 2, 3]
    assert {agent.role for agent in found.agents} == {"DEV"}
    assert found.agents[0].persona == "terse"
    assert [agent.binding.model for agent in found.agents] == ["small", "large", "small"]


@pytest.mark.parametrize(
    ("role", "seats", "field", "hint"),
    [
        ("", [Seat()], "role", "letters"),
        ("a/b", [Seat()], "role", "letters"),
        ("r" * 49, [Seat()], "role", "48"),
        ("QA", [], "agents", "at least one"),
        ("QA", [Seat()] * (MAX_AGENTS + 1), "agents", "at most 32"),
        ("QA", [Seat(), Seat("a b")], "agents[1].agent_id", "letters"),
        ("QA", [Seat("x" * 65)], "agents[0].agent_id", "64"),
        ("QA", [Seat("Judge")], "agents[0].agent_id", "choose another"),
        ("QA", [Seat("qa-2"), Seat()], "agents[1].agent_id", "its own id"),
        ("QA", [Seat(binding="bigg")], "agents[0].binding", "did you mean big?"),
        ("QA", [Seat(binding="")], "agents[0].binding", "known: big, default"),
        ("QA", [Seat(persona="p" * (MAX_PERSONA + 1))], "agents[0].persona", "8000"),
    ],
)
def test_what_cannot_sit_is_named(role: str, seats: list[Seat], field: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        seated(role, seats, BINDINGS)
    assert caught.value.field == field
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        (Sampling(temperature=-0.1), "temperature"),
        (Sampling(temperature=float("nan")), "temperature"),
        (Sampling(temperature=float("inf")), "temperature"),
        (Sampling(top_p=0.0), "top_p"),
        (Sampling(top_p=1.1), "top_p"),
        (Sampling(top_p=float("nan")), "top_p"),
        (Sampling(max_tokens=0), "max_tokens"),
    ],
)
def test_sampling_that_no_model_can_draw_with_is_named(sampling: Sampling, field: str) -> None:
    seat = Seat(sampling=sampling)
    with pytest.raises(InputError) as caught:
        seated("QA", [seat], BINDINGS)
    assert caught.value.field == f"agents[0].{field}"
    with pytest.raises(InputError) as caught:
        joined(council("qa-1"), seat, BINDINGS)
    assert caught.value.field == f"agent.{field}"


@pytest.mark.parametrize(
    ("sitting", "expected"),
    [
        (["qa-1", "qa-2"], "qa-3"),
        (["qa-1", "qa-3"], "qa-4"),
        (["ann", "bob"], "qa-3"),
        (["qa-1", "qa-x", "qa-007", "xqa-9"], "qa-5"),
        (["qa-12"], "qa-13"),
    ],
)
def test_an_agent_without_a_name_gets_one_that_no_sitting_one_has(
    sitting: Sequence[str], expected: str
) -> None:
    found = joined(council(*sitting), Seat(), BINDINGS)
    assert ids(found) == [*sitting, expected]
    assert found.agents[-1].number == len(sitting) + 1


def test_who_cannot_join() -> None:
    with pytest.raises(AlreadyExists, match="qa-2") as caught:
        joined(council("qa-1", "qa-2"), Seat("qa-2"), BINDINGS)
    assert caught.value.hint
    assert not caught.value.retryable
    full = council(*(f"a{n}" for n in range(MAX_AGENTS)))
    with pytest.raises(InputError, match="32 agents"):
        joined(full, Seat(), BINDINGS)


def test_those_behind_move_up_and_keep_their_names() -> None:
    found = departed(council("qa-1", "qa-2", "qa-3"), "qa-2")
    assert [(agent.agent_id, agent.number) for agent in found.agents] == [("qa-1", 1), ("qa-3", 2)]


def test_who_cannot_leave() -> None:
    with pytest.raises(NotFound) as missing:
        departed(council("qa-1", "qa-2"), "qa-22")
    assert "did you mean qa-2" in missing.value.hint
    with pytest.raises(InputError, match="the only one") as last:
        departed(council("qa-1"), "qa-1")
    assert "delete the council" in last.value.hint


def test_bindings_are_the_profile_s_of_now_and_one_that_is_gone_stays() -> None:
    then = seated("QA", [Seat(), Seat(binding="big")], BINDINGS)
    now = rebound(then, {"default": Binding(model="other")})
    assert [agent.binding for agent in now.agents] == [Binding(model="other"), BINDINGS["big"]]


@given(
    st.lists(st.one_of(st.just(""), st.sampled_from(["qa-1", "qa-2", "qa-5", "ann"]), st.none()))
)
def test_whoever_comes_and_goes_a_council_stays_a_council(steps: list[str | None]) -> None:
    """None leaves a seat, a text joins; what is refused changes nothing."""
    found = council("qa-1")
    for step in steps:
        before = found
        try:
            if step is None:
                found = departed(found, found.agents[0].agent_id)
            else:
                found = joined(found, Seat(step), BINDINGS)
        except FleetError:
            assert found == before
    assert len(set(ids(found))) == len(found.agents) >= 1
    assert [agent.number for agent in found.agents] == list(range(1, len(found.agents) + 1))
