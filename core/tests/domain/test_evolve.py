"""A changed copy is what `dataclasses.replace` makes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import pytest

from fleet_core.domain.council import Agent, Council
from fleet_core.domain.evolve import evolve
from fleet_core.domain.lease import Lease


def test_changes_what_is_named_and_keeps_the_rest() -> None:
    lease = Lease(100, 2_000, 7, reserved_tokens=3)
    changed = evolve(lease, tokens=90, spent_tokens=10)
    assert changed == replace(lease, tokens=90, spent_tokens=10)
    assert hash(changed) == hash(replace(lease, tokens=90, spent_tokens=10))
    assert lease == Lease(100, 2_000, 7, reserved_tokens=3)


def test_every_field_is_copied() -> None:
    lease = Lease(*range(1, len(fields(Lease)) + 1))
    assert evolve(lease) == lease
    assert evolve(lease) is not lease


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="no field 'token'"):
        evolve(Lease(1, 1), token=2)


def test_a_class_that_checks_itself_is_refused() -> None:
    with pytest.raises(TypeError, match=r"dataclasses\.replace"):
        evolve(Council("DEV", (Agent("dev-1", 1, "DEV"),)), role="QA")


def test_a_class_without_slots_is_refused() -> None:
    @dataclass(frozen=True)
    class Loose:
        number: int = 0

    with pytest.raises((TypeError, AttributeError)):
        evolve(Loose(), number=1)
