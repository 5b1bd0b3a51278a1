from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

import pytest

from fleet_core.errors import PluginError
from fleet_plugins.discovery import discover


def distribution(root: Path, name: str, entries: Sequence[str]) -> Distribution:
    """An installed distribution as its metadata folder lies on disk."""
    folder = root / f"{name.replace('-', '_')}-1.2.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (folder / "entry_points.txt").write_text("[fleet]\n" + "\n".join(entries) + "\n")
    return Distribution.at(folder)


def entries_of(*distributions: Distribution) -> list[EntryPoint]:
    return [entry for one in distributions for entry in one.entry_points if entry.group == "fleet"]


def test_an_entry_is_found_with_what_installed_it_and_nothing_of_it_is_imported(
    tmp_path: Path,
) -> None:
    given = distribution(tmp_path, "fleet-tape", ["blobs.tape = fleet_tape_absent.plugin:blobs"])
    (found,) = discover(entries_of(given)).found
    assert (found.port, found.name) == ("blobs", "tape")
    assert (found.distribution, found.version) == ("fleet-tape", "1.2")
    assert "fleet_tape_absent" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        found.load()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("blobs", "<port>.<name>"),
        ("blob.tape", "'blob' is no port"),
        ("blobs.Tape", "lower-case"),
        ("blobs.", "lower-case"),
        ("blobs.a.b", "lower-case"),
    ],
)
def test_a_malformed_name_is_reported_and_the_others_are_found(
    tmp_path: Path, entry: str, said: str
) -> None:
    given = distribution(tmp_path, "fleet-tape", [f"{entry} = x:y", "blobs.tape = x:y"])
    result = discover(entries_of(given))
    assert [found.full_name for found in result.found] == ["blobs.tape"]
    (bad,) = result.malformed
    assert bad.name == entry
    assert bad.distribution == "fleet-tape"
    assert said in bad.reason


def test_two_distributions_with_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    one = distribution(tmp_path, "fleet-tape", ["blobs.tape = x:y"])
    other = distribution(tmp_path, "fleet-reel", ["blobs.tape = z:y"])
    with pytest.raises(PluginError, match=r"blobs\.tape.*fleet-tape and fleet-reel"):
        discover(entries_of(one, other))
