"""What a runner does not start with, in words."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.ray.plugin import RaySettings
from fleet_adapters.ray.runner import RayRunner, open_runner
from fleet_adapters.ray.versions import refuse_skew, versions
from fleet_bootstraps.stack.ray import RayHead, ray_head
from fleet_core.domain.job import Outcome
from fleet_core.errors import FleetError, PluginError, ProfileError, Unavailable
from fleet_core.testing.jobs import a_job
from fleet_core.testing.saying import ObedientModel
from fleet_plugins.api import Bound, FactoryContext, PortName

pytestmark = [pytest.mark.anyio]

Opened = Callable[[RaySettings], AbstractAsyncContextManager[RayRunner]]
TOKEN = "0123456789abcdef" * 4
SKEW = Path(__file__).parent / "skew"


def context(tmp_path: Path, bindings: Mapping[str, Mapping[str, Bound]]) -> FactoryContext:
    return FactoryContext(lambda: 0, lambda _: TOKEN, tmp_path, bindings=bindings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (RaySettings(actors=0), r"runner\.actors: should be at least 1"),
        (RaySettings(calls=0), r"runner\.calls"),
        (RaySettings(cpus=-1), r"runner\.cpus: should not be below 0"),
        (
            RaySettings("ray://somewhere:10001"),
            r"runner\.address: .*host:port.*without a sch",
        ),
        (RaySettings("somewhere"), r"runner\.address: 'somewhere' is no host:port"),
    ],
)
async def test_settings_out_of_bounds_are_refused_by_name(
    settings: RaySettings, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ProfileError, match=said):
        async with open_runner(settings, context(tmp_path, {})):
            raise AssertionError


def test_every_version_that_differs_is_named_with_both() -> None:
    ours = {"ray": "2.60.0", "python": "3.11.7", "fleet": "1"}
    refuse_skew(ours, {"ray": "2.60.0", "pid": "1"}, "a worker")
    said = r"the cluster runs Ray 2\.49\.2 and Python 3\.12\.1, this executor Ray 2\.60\.0 and Py"
    with pytest.raises(PluginError, match=said):
        refuse_skew(ours, {"ray": "2.49.2", "python": "3.12.1"}, "the cluster")
    assert set(versions()) == set(ours)


@pytest.mark.connected
async def test_no_head_is_unavailable_and_named(opened: Opened) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Unavailable, match=f"no Ray head answers at {address}"):
            async with opened(RaySettings(address, start_timeout_ms=500)):
                raise AssertionError


@pytest.mark.connected
@pytest.mark.parametrize("token", ["WRONG_TOKEN", ""])
async def test_a_wrong_token_is_refused_at_once(
    opened: Opened,
    clustered: RaySettings,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray looks for a token of the user's own
    with pytest.raises(ProfileError, match=r"runner\.token: .*refuses our token"):
        async with opened(replace(clustered, token=token)):
            raise AssertionError


@pytest.mark.connected
@pytest.mark.parametrize(
    ("skew", "said"),
    [
        ({"ray": "2.49.2"}, r"cluster at 127.* runs Ray 2\.60\.\d+, this executor Ray 2\.49\.2"),
        (
            {"python": "3.12.1"},
            r"cluster at 127.* runs Python 3\.\S+, this executor Python 3\.12",
        ),
        ({"fleet": "9.9"}, r"a Ray worker runs swe-ai-fleet \S+, this executor swe-ai-fleet 9\.9"),
    ],
)
async def test_another_version_at_the_cluster_is_refused_naming_both(
    opened: Opened,
    clustered: RaySettings,
    skew: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLEET_TEST_SKEW", json.dumps(skew))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(SKEW), os.environ["PYTHONPATH"])))
    with pytest.raises(PluginError, match=said):
        async with opened(clustered):
            raise AssertionError


OTHER_RAY = "FLEET_TEST_OTHER_RAY"  # names an interpreter that has one; none is installed for it

if OTHER_RAY in os.environ:

    @pytest.mark.connected
    async def test_a_cluster_of_a_really_older_ray_is_refused_naming_both(
        opened: Opened, tmp_path: Path
    ) -> None:
        async with ray_head(tmp_path, TOKEN, python=os.environ[OTHER_RAY]) as head:
            with pytest.raises(PluginError, match=r"runs Ray 2\.\S+.*, this executor Ray 2\."):
                async with opened(RaySettings(head.address, "CLUSTER_TOKEN")):
                    raise AssertionError


@pytest.mark.connected
@pytest.mark.parametrize(
    ("bound", "kind", "said"),
    [
        (
            Bound("nobody", {}, "fleet-nobody", "3"),
            PluginError,
            r"nobody is not installed .*-nobody 3",
        ),
        (
            Bound("phone", {}, "fleet-phone", "0.1"),
            PluginError,
            r"fleet-phone 0\.1 here and of fleet-phone 1\.0",
        ),
        (
            Bound("phone", {"secret": "NO_SUCH"}, "fleet-phone", "1.0"),
            ProfileError,
            "NO_SUCH is not set",
        ),
    ],
)
async def test_what_a_worker_cannot_open_is_refused_in_its_words(
    clustered: RaySettings, bound: Bound, kind: type[FleetError], said: str, tmp_path: Path
) -> None:
    ctx = context(tmp_path, {PortName.MODEL: {"default": bound}})
    with pytest.raises(kind, match=said):
        async with open_runner(clustered, ctx):
            raise AssertionError


@pytest.mark.connected
async def test_workers_without_room_are_refused_with_what_there_is(
    opened: Opened, clustered: RaySettings
) -> None:
    with pytest.raises(Unavailable, match=r"asks for CPU 64, the cluster has .*CPU 2"):
        async with opened(replace(clustered, cpus=64, start_timeout_ms=1500)):
            raise AssertionError


@pytest.mark.connected
async def test_those_that_find_no_room_later_do_not_hold_up_the_start(
    opened: Opened, clustered: RaySettings, phone: Any
) -> None:
    phone.model = ObedientModel()
    async with opened(replace(clustered, actors=3)) as runner:
        stats = await runner.stats()
        assert (stats.slots, stats.nodes) == (2 * (clustered.calls + clustered.checks), 1)
        assert (await runner.run(a_job())).outcome is Outcome.OK


def test_the_runner_imports_no_ray(head: RayHead) -> None:
    code = "import sys, fleet_adapters.ray.runner; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
