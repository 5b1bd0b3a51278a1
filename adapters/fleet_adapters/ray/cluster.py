"""Finds the cluster, asks what it runs, attaches to it. Only the driver process imports this."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray._private.ray_constants import KV_NAMESPACE_CLUSTER, KV_NAMESPACE_SESSION
from ray.exceptions import AuthenticationError, RayError

from fleet_adapters.ray.plugin import RaySettings
from fleet_adapters.ray.versions import refuse_skew
from fleet_core.errors import ProfileError, Unavailable

_ray: Any = ray  # half of its functions say no types
GcsClient: Any = _ray._raylet.GcsClient  # noqa: SLF001 -- what `ray status` itself asks the head with
_ASK_S = 5
_OBJECTS = 100_000_000  # bytes of shared memory for a Ray of our own: jobs are small


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster this process is attached to; `session` names this life of its head."""

    address: str
    session: str
    gcs: Any

    def current_session(self) -> str:
        """The head's session now. Blocks.

        Raises:
            Unavailable: the head does not answer.
        """
        try:
            _connect(self.address)
        except OSError as error:
            raise Unavailable(f"no Ray head answers at {self.address}: {_line(error)}") from None
        with _spoken(self.address):
            return _session(self.gcs)

    def nodes(self) -> int:
        """Nodes that are alive. Blocks."""
        return sum(1 for node in _ray.nodes() if node["Alive"])

    def resources(self) -> str:
        """What the cluster has, for a message."""
        found = {k: v for k, v in _ray.cluster_resources().items() if ":" not in k}
        return ", ".join(f"{name} {amount:g}" for name, amount in sorted(found.items()))


def attach(settings: RaySettings, ours: Mapping[str, str], folder: Path) -> Cluster:
    """Attach to the settings' cluster, or start a Ray of our own. Blocks.

    The head is asked for its versions first: with some, Ray's own attaching hangs for 40 seconds
    and then fails without a word.

    Raises:
        Unavailable: the head does not answer within the start's time.
        PluginError: it runs other versions; names both.
        ProfileError: it refuses our token.
    """
    if not settings.address:
        return _own(settings, folder)
    deadline = time.monotonic() + settings.start_timeout_ms / 1000
    _wait_until_reachable(settings.address, deadline)
    with _spoken(settings.address):
        gcs: Any = GcsClient(address=settings.address)
        session = _session(gcs)
        told = gcs.internal_kv_get(b"CLUSTER_METADATA", KV_NAMESPACE_CLUSTER, timeout=_ASK_S)
        theirs = json.loads(told) if told else {}
        refuse_skew(
            ours,
            {name: theirs[f"{name}_version"] for name in ("ray", "python") if theirs},
            f"the Ray cluster at {settings.address}",
        )
        _ray.init(settings.address, **_quiet())
    return Cluster(settings.address, session, gcs)


def _own(settings: RaySettings, folder: Path) -> Cluster:
    wanted = settings.actors * settings.cpus
    with _spoken("of our own"):
        context = _ray.init(
            num_cpus=max(os.cpu_count() or 1, -int(-wanted // 1)),
            resources=dict(settings.resources) or None,
            include_dashboard=False,
            object_store_memory=_OBJECTS,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(folder),
            **_quiet(),
        )
        address = str(context.address_info["gcs_address"])
        gcs: Any = GcsClient(address=address)
        return Cluster(address, _session(gcs), gcs)


def _quiet() -> dict[str, Any]:
    return {"log_to_driver": False, "configure_logging": False}


def _session(gcs: Any) -> str:
    told = gcs.internal_kv_get(b"session_name", KV_NAMESPACE_SESSION, timeout=_ASK_S)
    if told is None:
        raise Unavailable("the Ray head has not finished its start")
    return str(told.decode())


def _connect(address: str) -> None:
    """Ray itself does not say for a minute that nobody listens."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_ASK_S):
        return


def _wait_until_reachable(address: str, deadline: float) -> None:
    while True:
        try:
            return _connect(address)
        except OSError as error:
            if time.monotonic() > deadline:
                reason = error.strerror or str(error)
                raise Unavailable(
                    f"no Ray head answers at {address}: {reason}",
                    "start it (ray start --head), or mend runner.address",
                ) from None
        time.sleep(0.2)


@contextmanager
def _spoken(address: str) -> Iterator[None]:
    """Ray's errors as ours."""
    try:
        yield
    except AuthenticationError as error:
        raise ProfileError(
            f"the Ray head at {address} refuses our token: {_line(error)}",
            "name the secret that holds the cluster's token",
            field="runner.token",
        ) from None
    except (RayError, ConnectionError, RuntimeError) as error:
        raise Unavailable(f"the Ray head at {address} does not serve: {_line(error)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
