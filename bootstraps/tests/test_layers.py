from __future__ import annotations

from pathlib import Path

import pytest

from fleet_bootstraps.layers import Tables, builtin_names, home, layered
from fleet_core.errors import ProfileError


def value(tables: Tables, table: str, key: str) -> object:
    return tables[table][key].value


def test_each_layer_lies_over_the_one_below(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("[lease]\ntokens = 2\nms = 2\nusd = 2.0\n[runner]\nslots = 2\n")
    environ = {"FLEET_LEASE__MS": "3", "FLEET_LEASE__USD": "3", "FLEET_OTHER": "x"}

    tables = layered(str(mine), environ, ["lease.usd=4"])

    assert value(tables, "bus", "use") == "sqlite"
    assert value(tables, "runner", "use") == "local"
    assert (tables["lease"]["tokens"].value, tables["lease"]["tokens"].source) == (2, str(mine))
    assert (tables["lease"]["ms"].value, tables["lease"]["ms"].source) == ("3", "FLEET_LEASE__MS")
    assert (tables["lease"]["usd"].value, tables["lease"]["usd"].source) == (
        "4",
        "--set lease.usd=4",
    )


def test_another_adapter_starts_its_table_anew(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('[model]\nuse = "llamacpp"\nthreads = 3\n')

    kept = layered(str(mine), {}, ["model.use=llamacpp"])
    anew = layered(str(mine), {}, ["model.use=openai", "model.model=m"])

    assert value(kept, "model", "threads") == 3
    assert set(anew["model"]) == {"use", "model"}


def test_a_profile_extends_another_beside_it(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('extends = "scripted"\n[lease]\ntokens = 1\nms = 1\n')
    top = tmp_path / "top.toml"
    top.write_text('extends = "base.toml"\n[lease]\nms = 2\n')

    tables = layered(str(top), {}, [])

    assert value(tables, "model", "use") == "scripted"
    assert value(tables, "lease", "tokens") == 1
    assert value(tables, "lease", "ms") == 2


def test_profiles_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text('extends = "two.toml"\n')
    two.write_text('extends = "one.toml"\n')

    with pytest.raises(ProfileError, match="in a circle") as refused:
        layered(str(one), {}, [])

    assert (refused.value.source, refused.value.field) == (str(one), "extends")


def test_a_profile_that_extends_itself_by_another_path_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('extends = "./mine.toml"\n')

    with pytest.raises(ProfileError, match="in a circle"):
        layered("./mine.toml", {}, [])


def test_the_environment_names_councils_and_models() -> None:
    environ = {
        "FLEET_MODELS__BIG__USE": "openai",
        "FLEET_COUNCILS__DEV__SIZE": "5",
        "FLEET_DELIBERATION__JUDGE__ENABLED": "no",
        "FLEET_PRICES__BIG__PROMPT": "1.5",
    }

    tables = layered("embedded", environ, [])

    assert value(tables, "models.big", "use") == "openai"
    assert value(tables, "councils.DEV", "size") == "5"
    assert value(tables, "deliberation", "judge.enabled") == "no"
    assert value(tables, "prices.big", "prompt") == "1.5"


def test_the_executors_address_has_another_name() -> None:
    ours, theirs = "FLEET_EXECUTOR__ADDRESS", "RAY_EXECUTOR_ADDRESS"

    tables = layered("embedded", {theirs: "a:1"}, [])
    both = layered("embedded", {theirs: "a:1", ours: "a:1"}, [])
    with pytest.raises(ProfileError, match=f"is 'a:1', and {ours}, .* is 'b:1'") as refused:
        layered("embedded", {theirs: "a:1", ours: "b:1"}, [])

    assert value(tables, "executor", "address") == "a:1"
    assert tables["executor"]["address"].source == theirs
    assert value(both, "executor", "address") == "a:1"
    assert refused.value.source == theirs


def test_council_names_meet_whatever_their_case() -> None:
    tables = layered("embedded", {"FLEET_COUNCILS__DEV__SIZE": "5"}, ["councils.dev.seed=7"])

    assert [t for t in tables if t.lower() == "councils.dev"] == ["councils.DEV"]
    assert value(tables, "councils.DEV", "seed") == "7"


@pytest.mark.parametrize(
    ("text", "message", "field"),
    [
        ("x = 1\n", "should be a table", "x"),
        ("[models]\nbig = 1\n", "should be a table", "models.big"),
        ("[councils.DEV]\n[councils.dev]\n", "is given twice", "councils.dev"),
        ("[lease\n", "is not TOML", ""),
        ("extends = 3\n", "should be text", "extends"),
    ],
)
def test_a_malformed_file_is_refused_by_name(
    tmp_path: Path, text: str, message: str, field: str
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(text)

    with pytest.raises(ProfileError, match=message) as refused:
        layered(str(mine), {}, [])

    assert (refused.value.source, refused.value.field) == (str(mine), field)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_bytes(b"[lease]\n\xff")

    with pytest.raises(ProfileError, match=r"is not UTF-8 \(byte 8\)"):
        layered(str(mine), {}, [])


def test_an_unknown_profile_offers_close_ones() -> None:
    with pytest.raises(ProfileError, match="did you mean embedded"):
        layered("embeddet", {}, [])
    assert set(builtin_names()) >= {"embedded", "scripted"}


@pytest.mark.parametrize("entry", ["lease.tokens", "tokens=1", ".tokens=1", "lease.=1"])
def test_a_malformed_set_is_refused(entry: str) -> None:
    with pytest.raises(ProfileError, match=r"is not table\.key=value") as refused:
        layered("embedded", {}, [entry])

    assert refused.value.source == f"--set {entry}"


def test_home_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert home({}) == tmp_path / ".fleet"
    assert home({"FLEET_HOME": "/x"}) == Path("/x")


def test_a_graph_chosen_anew_keeps_no_setting_of_the_profile_below() -> None:
    def graph(name: str, *sets: str) -> dict[str, object]:
        return {key: given.value for key, given in layered(name, {}, sets)["graph"].items()}

    assert graph("embedded") == {"use": "sqlite"}
    for name in ("fleet", "fleet-nats"):
        assert graph(name) == {"use": "neo4j"}
        chosen = graph(name, "graph.path=graph.sqlite", "graph.use=sqlite")
        assert chosen == {"use": "sqlite", "path": "graph.sqlite"}
