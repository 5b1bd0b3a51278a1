"""The simulation bites: each deliberate fault in the core is found by few seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fleet_features.sim.hunt import bitten
from fleet_features.sim.mutants import MUTANTS, Mutant, Outdated, mutated_core


def test_there_are_twelve_different_ones() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == 12
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == 12


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_is_found(mutant: Mutant) -> None:
    first, last = mutant.seeds
    assert last <= 2_000
    bite = bitten(mutant, first, last, until_broken=True)
    assert bite.found, f"seeds {first} to {last} did not notice: {mutant.name}"
    assert bite.invariants & mutant.found_by, f"{mutant.name} broke {sorted(bite.invariants)}"


@pytest.mark.parametrize("old", ["no such text", "import"], ids=["nowhere", "often"])
def test_a_patch_that_does_not_fit_says_what_to_do(old: str, tmp_path: Path) -> None:
    with pytest.raises(Outdated, match=r"update the patch in .*mutants\.py"):
        mutated_core(replace(MUTANTS[0], old=old), tmp_path)
