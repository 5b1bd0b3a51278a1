"""Which servers and services a profile needs, and which somebody else has."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import Profile, bound
from fleet_bootstraps.stack.needs import needs_of, require_started
from fleet_core.errors import InputError
from fleet_plugins.registry import Registry


def profile(name: str, *sets: str, **environ: str) -> Profile:
    return bound(name, layered(name, environ, sets), Registry.discovered())


def test_the_fleet_needs_all_of_it() -> None:
    needs = needs_of(profile("fleet"))
    assert list(needs.servers) == ["nats", "valkey", "neo4j", "model", "ray"]
    assert needs.servers["neo4j"] == ("graph.uri",)
    assert needs.servers["valkey"] == ("blobs.url", "state.url")
    assert needs.services == ("executor", "context", "orchestrator", "monitor")
    assert needs.named == {}


def test_a_graph_in_a_file_needs_no_server() -> None:
    needs = needs_of(profile("fleet", "graph.use=sqlite", "graph.path=graph.sqlite"))
    assert list(needs.servers) == ["nats", "valkey", "model", "ray"]
    assert needs.named == {}


def test_the_embedded_profile_needs_an_orchestrator_and_no_server() -> None:
    needs = needs_of(profile("embedded"))
    assert (needs.servers, needs.services) == ({}, ("orchestrator", "monitor"))


@pytest.mark.parametrize(
    ("settings", "server"),
    [
        ("state.url=valkey://127.0.0.1:6379/0 blobs.url=valkey://127.0.0.1:6379/0", "valkey"),
        ("bus.servers=nats://127.0.0.1:4222 tokens.servers=nats://127.0.0.1:4222", "nats"),
        ("runner.address=127.0.0.1:6380", "ray"),
        ("graph.uri=bolt://10.0.0.1", "neo4j"),
        ("model.base_url=http://127.0.0.1:8000/v1", "model"),
    ],
)
def test_what_somebody_names_is_not_started(settings: str, server: str) -> None:
    needs = needs_of(profile("fleet", *settings.split()))
    assert server not in needs.servers
    assert needs.named[server] in settings


def test_an_address_in_the_environment_or_in_a_file_counts(tmp_path: Path) -> None:
    assert "model" not in needs_of(profile("fleet", FLEET_MODEL__BASE_URL="http://m/v1")).servers
    file = tmp_path / "own.toml"
    file.write_text('extends = "fleet"\n[runner]\naddress = "10.0.0.1:6380"\n')
    assert "ray" not in needs_of(profile(str(file))).servers


def test_a_store_that_nobody_named_gets_a_server_beside_one_that_is_named() -> None:
    needs = needs_of(profile("fleet", "state.url=valkey://10.0.0.1:6379/0"))
    assert needs.servers["valkey"] == ("blobs.url",)


def test_executors_elsewhere_need_no_ray_here_by_either_name() -> None:
    for given in (
        profile("fleet", "executor.address=10.0.0.1:50056", "executor.insecure=true"),
        profile("fleet", RAY_EXECUTOR_ADDRESS="127.0.0.1:50056"),
    ):
        needs = needs_of(given)
        assert needs.services == ("context", "orchestrator", "monitor")
        assert "ray" not in needs.servers
        assert "model" in needs.servers, "the context service counts tokens by it"


def test_a_context_service_elsewhere_is_not_started_and_one_of_its_own_is_not_needed() -> None:
    needs = needs_of(profile("fleet", "hydrator.address=127.0.0.1:50051"))
    assert needs.services == ("executor", "orchestrator", "monitor")
    assert needs.named["context"] == "hydrator.address"
    needs = needs_of(profile("fleet", "hydrator.use=direct"))
    assert needs.services == ("executor", "orchestrator", "monitor")
    assert needs.named == {}


def test_every_model_binding_without_an_address_is_served() -> None:
    needs = needs_of(profile("fleet", "models.big.use=openai", "model.base_url=http://m/v1"))
    assert needs.servers["model"] == ("models.big.base_url",)


def test_a_port_for_what_is_not_started_is_refused_with_the_reason() -> None:
    needs = needs_of(profile("fleet", "model.base_url=http://m/v1", "runner.use=local"))
    require_started(needs, {"nats": 1, "executor": 0})
    with pytest.raises(InputError, match=r"model is not started: model.base_url is set"):
        require_started(needs, {"model": 0})
    with pytest.raises(InputError, match="ray is not started: this profile needs none"):
        require_started(needs, {"ray": 0})
