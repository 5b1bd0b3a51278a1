from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fleet_bootstraps.councils import configured, protocol_spec
from fleet_bootstraps.fleet import require_protocol
from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import Profile, bound
from fleet_core.errors import ProfileError
from fleet_plugins.registry import Registry


def profile(
    *sets: str, name: str = "embedded", environ: Mapping[str, str] | None = None
) -> Profile:
    return bound(name, layered(name, environ or {}, sets), Registry.discovered())


def refused(*sets: str, **more: object) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        profile(*sets, **more)  # type: ignore[arg-type]  # passed on as given
    return caught.value


def test_an_unknown_table_offers_close_ones() -> None:
    error = refused("mmodel.use=openai")

    assert (error.source, error.field) == ("--set mmodel.use=openai", "mmodel")
    assert "did you mean model" in error.hint


def test_an_unknown_key_names_where_it_was_given() -> None:
    error = refused(environ={"FLEET_MODEL__THREAD": "2"})

    assert (error.source, error.field) == ("FLEET_MODEL__THREAD", "model.thread")
    assert "did you mean threads" in error.hint


def test_an_unknown_adapter_offers_close_ones() -> None:
    error = refused("model.use=openia")

    assert (error.source, error.field) == ("--set model.use=openia", "model.use")
    assert "did you mean openai" in error.hint


def test_a_wrong_type_names_file_and_field(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('[model]\nuse = "llamacpp"\nthreads = "3"\n')

    error = refused(name=str(mine))

    assert (error.source, error.field) == (str(mine), "model.threads")


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ("lease.tokens=many", "lease.tokens"),
        ("councils.DEV.size=x", "councils.DEV.size"),
        ("deliberation.judge.seed=x", "deliberation.judge.seed"),
        ("deliberation.judge.enabled=perhaps", "deliberation.judge.enabled"),
    ],
)
def test_text_of_the_wrong_type_names_the_option(entry: str, field: str) -> None:
    error = refused(entry)

    assert (error.source, error.field) == (f"--set {entry}", field)


def test_text_is_read_by_the_type_of_its_setting() -> None:
    found = profile(
        "deliberation.judge.enabled=no", "lease.usd=0.5", "councils.DEV.stop=END,STOP"
    ).settings

    assert found.deliberation.judge.enabled is False
    assert found.terms().micro_usd == 500_000
    assert found.councils["DEV"].stop == ("END", "STOP")


def test_stores_that_remember_beside_stores_that_forget_are_refused() -> None:
    error = refused("graph.use=memory")

    assert "graph.memory forgets" in error.message
    assert (
        profile(*(f"{p}.use=memory" for p in ("bus", "state", "blobs", "graph"))).durable is False
    )
    assert profile().durable


@pytest.mark.parametrize(
    ("sets", "field"),
    [
        (["councils.DEV.model=big"], "councils.DEV.model"),
        (["deliberation.judge.model=big"], "deliberation.judge.model"),
        (["prices.big.prompt=1"], "prices.big"),
        (['councils.DEV.agents=[{"model": "big"}]'], "councils.DEV.agents[0].model"),
    ],
)
def test_a_model_that_is_not_bound_is_refused(sets: Sequence[str], field: str) -> None:
    error = refused(*sets)

    assert (error.message, error.field) == ("there is no model binding 'big'", field)
    assert error.source == f"--set {sets[0]}"


def test_councils_speak_through_their_bindings_at_their_prices() -> None:
    councils = configured(
        profile(
            "models.big.use=openai",
            "models.big.model=large",
            "prices.big.prompt=1.5",
            "councils.QA.model=big",
            "councils.QA.seed=10",
            "councils.qa.size=2",
            "councils.SECURITY.size=1",
        )
    )

    agents = councils["QA"].agents
    assert [(a.agent_id, a.binding.name, a.binding.model, a.sampling.seed) for a in agents] == [
        ("qa-1", "big", "large", 10),
        ("qa-2", "big", "large", 11),
    ]
    assert agents[0].binding.price.prompt == 1_500_000
    assert [a.agent_id for a in councils["SECURITY"].agents] == ["security-1"]
    assert len({a.persona for a in councils["DEV"].agents}) == 3


def test_an_agent_may_have_settings_of_its_own() -> None:
    sets = 'councils.DEV.agents=[{"id": "eve", "temperature": 0.0}, {"seed": 3}]'
    first, second = configured(profile(sets, "councils.DEV.temperature=0.9"))["DEV"].agents

    assert (first.agent_id, first.sampling.temperature) == ("eve", 0.0)
    assert (second.agent_id, second.sampling.temperature) == ("dev-2", 0.9)
    assert second.sampling.seed == 3


def test_an_empty_council_is_refused() -> None:
    with pytest.raises(ProfileError, match="should be at least 1") as caught:
        configured(profile("councils.DEV.size=0"))
    assert caught.value.field == "councils.DEV.size"


def test_the_judge_may_be_left_out() -> None:
    assert protocol_spec(profile()).judge is not None
    assert protocol_spec(profile("deliberation.judge.enabled=no")).judge is None


def test_an_unknown_protocol_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(ProfileError, match="there is no protocol 'vot'") as caught:
        require_protocol(profile("deliberation.protocol=vot"))
    assert caught.value.source == "--set deliberation.protocol=vot"
