"""Which ports a service opens, and which profiles services refuse."""

from __future__ import annotations

import pytest

from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import Profile, bound
from fleet_bootstraps.services.roles import Role, ports_of, require_shared
from fleet_core.errors import ProfileError
from fleet_plugins.registry import Registry


def profile(name: str, *sets: str) -> Profile:
    return bound(name, layered(name, {}, sets), Registry.discovered())


def test_the_orchestrator_opens_neither_runner_nor_check_nor_graph_nor_model() -> None:
    found = ports_of(Role.ORCHESTRATOR, profile("fleet").bindings)
    assert found == {"bus", "state", "blobs", "tokens", "executor", "hydrator"}


def test_the_executor_opens_neither_hydrator_nor_graph_nor_executor() -> None:
    found = ports_of(Role.EXECUTOR, profile("fleet").bindings)
    assert found == {"bus", "state", "blobs", "tokens", "runner"}


def test_the_context_service_opens_neither_runner_nor_executor() -> None:
    found = ports_of(Role.CONTEXT, profile("fleet").bindings)
    assert found == {"bus", "state", "blobs", "graph", "model"}


def test_an_orchestrator_that_hydrates_itself_opens_graph_and_model() -> None:
    found = ports_of(Role.ORCHESTRATOR, profile("fleet", "hydrator.use=direct").bindings)
    assert {"graph", "model"} <= found


def test_a_runner_in_the_executors_own_process_brings_model_and_check() -> None:
    found = ports_of(Role.EXECUTOR, profile("fleet", "runner.use=local").bindings)
    assert {"model", "check"} <= found


def test_an_orchestrator_may_execute_in_its_own_process() -> None:
    found = ports_of(Role.ORCHESTRATOR, profile("embedded").bindings)
    assert {"runner", "model", "check"} <= found


def test_what_services_could_not_share_is_refused_by_name() -> None:
    with pytest.raises(ProfileError) as caught:
        require_shared(profile("scripted", "bus.use=memory"))
    said = "bus.memory, state.memory, blobs.memory, graph.memory cannot be shared"
    assert said in str(caught.value)
    assert caught.value.source == "--set bus.use=memory"
    assert caught.value.field == "bus.use"


def test_files_of_one_host_are_shared_enough() -> None:
    require_shared(profile("embedded"))
    require_shared(profile("fleet"))


def test_an_unknown_service_in_a_profile_is_refused() -> None:
    with pytest.raises(ProfileError, match="there is no such service") as caught:
        profile("fleet", "services.executer.max_jobs=1")
    assert "executor" in str(caught.value)
    assert caught.value.field == "services.executer"
