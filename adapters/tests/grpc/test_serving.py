"""What every service has: health, draining, access, TLS, deadlines, traces."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from fleet_adapters.grpc._deadline import remaining, served_within
from fleet_adapters.grpc.executor_server import NAME
from fleet_adapters.grpc.proto.fleet.executor.v1 import executor_pb2 as pb
from fleet_adapters.grpc.proto.fleet.executor.v1.executor_pb2_grpc import ExecutorServiceStub
from fleet_adapters.grpc.serving import Served
from fleet_adapters.grpc.settings import GrpcServerSettings
from fleet_core.errors import ProfileError, Unavailable
from fleet_core.ports.executor import ClusterStats, Executor
from fleet_core.testing.jobs import HeldRunner, a_job
from fleet_core.usecases.execute import Execute
from fleet_plugins.kit import trace

pytestmark = pytest.mark.anyio
ANY_PORT = GrpcServerSettings(listen="127.0.0.1:0", drain_ms=5_000)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Slow:
    """An executor whose stats wait until they are let go."""

    def __init__(self, inner: Execute) -> None:
        self.inner = inner
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.left_s = 0.0

    async def stats(self) -> ClusterStats:
        self.left_s = remaining(1_000)
        self.asked.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return ClusterStats("slow", 1, 0, 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
async def slow(execute: Execute) -> Slow:
    return Slow(execute)


async def health(channel: grpc.aio.Channel, service: str = "") -> int:
    stub: Any = HealthStub(channel)
    answer: HealthCheckResponse = await stub.Check(HealthCheckRequest(service=service))
    return answer.status


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel


async def code_of(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code()


async def test_health_is_told_of_the_service_and_of_its_readiness(
    served: Served, channel: grpc.aio.Channel
) -> None:
    assert await health(channel) == HealthCheckResponse.SERVING
    assert await health(channel, NAME) == HealthCheckResponse.SERVING
    await served.set_ready(False)
    assert await health(channel) == HealthCheckResponse.NOT_SERVING
    assert await health(channel, NAME) == HealthCheckResponse.NOT_SERVING
    await served.set_ready(True)
    assert await health(channel, NAME) == HealthCheckResponse.SERVING
    assert await code_of(health(channel, "x")) is grpc.StatusCode.NOT_FOUND


async def test_health_can_be_watched(served: Served, channel: grpc.aio.Channel) -> None:
    stub: Any = HealthStub(channel)
    watch = stub.Watch(HealthCheckRequest(service=NAME))
    assert (await watch.read()).status == HealthCheckResponse.SERVING
    await served.set_ready(False)
    assert (await watch.read()).status == HealthCheckResponse.NOT_SERVING
    watch.cancel()


async def test_a_service_that_stops_answers_what_it_was_asked_and_takes_nothing_new(
    fleet: Any, slow: Slow
) -> None:
    server = fleet.served(slow, ANY_PORT)
    served = await server.__aenter__()
    async with connected(served.address) as channel:
        stub = ExecutorServiceStub(channel)
        under_way = stub.GetClusterStats(pb.GetClusterStatsRequest())
        await slow.asked.wait()
        stopping = asyncio.create_task(server.__aexit__(None, None, None))
        await served.stopping.wait()
        assert await health(channel) == HealthCheckResponse.NOT_SERVING
        assert await health(channel, NAME) == HealthCheckResponse.NOT_SERVING
        refused = stub.GetStatus(pb.GetStatusRequest())
        assert await code_of(refused) is grpc.StatusCode.UNAVAILABLE
        assert not stopping.done()
        slow.go.set()
        assert (await under_way).runner == "slow"
        await asyncio.wait_for(stopping, 3)
        gone = stub.GetStatus(pb.GetStatusRequest())
        assert await code_of(gone) is grpc.StatusCode.UNAVAILABLE


async def test_what_does_not_end_within_the_drain_is_cut_off(fleet: Any, slow: Slow) -> None:
    async with fleet.served(slow, replace(ANY_PORT, drain_ms=50)) as served:
        channel = grpc.aio.insecure_channel(served.address)
        under_way = ExecutorServiceStub(channel).GetClusterStats(pb.GetClusterStatsRequest())
        await slow.asked.wait()
    assert await code_of(under_way) in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    await asyncio.wait_for(slow.cancelled.wait(), 3)
    await channel.close()


async def test_a_callers_deadline_ends_the_call_and_what_was_done_for_it(
    fleet: Any, slow: Slow
) -> None:
    async with (
        fleet.served(slow) as served,
        fleet.client(served.address, timeout_ms=1_000) as client,
    ):
        with pytest.raises(Unavailable, match="did not answer in time"):
            await client.stats()
        await asyncio.wait_for(slow.cancelled.wait(), 3)
        assert 0 < slow.left_s < 5  # and not the 1,000 s that it asked for


async def test_a_deadline_binds_calls_made_for_the_rpc_and_nothing_that_outlives_it() -> None:
    begun, answered = asyncio.Event(), asyncio.Event()
    seen: list[float] = []

    async def outliving() -> None:
        seen.append(remaining(100))
        begun.set()
        await answered.wait()
        seen.append(remaining(100))

    with served_within(5):
        assert remaining(1) == 1
        task = asyncio.create_task(outliving())
        await begun.wait()
    answered.set()
    await task
    assert seen[0] <= 5
    assert seen[1] == 100
    with served_within(None):
        assert remaining(7) == 7
    with served_within(-1):
        assert remaining(7) == 0


@pytest.fixture
def guarded(fleet: Any) -> GrpcServerSettings:
    fleet.secrets["FLEET_TOKEN"] = "s3cret-x"
    return replace(ANY_PORT, token="FLEET_TOKEN")


async def test_only_callers_with_the_token_are_served(
    fleet: Any, execute: Execute, guarded: GrpcServerSettings
) -> None:
    async with fleet.served(execute, guarded) as served, connected(served.address) as channel:
        fleet.secrets["OTHER"] = "s3cret-"
        async with fleet.client(served.address, token="FLEET_TOKEN") as friend:
            await friend.submit([a_job()])
        for more in ({}, {"token": "OTHER"}):
            async with fleet.client(served.address, **more) as stranger:
                with pytest.raises(Unavailable, match=r"refuses us.*same token"):
                    await stranger.submit([a_job()])
        status = ExecutorServiceStub(channel).GetStatus
        for header in ("s3cret-x", "Basic s3cret-x", "Bearer", "Bearer ", "Bearer s3cret-x2"):
            call = status(pb.GetStatusRequest(), metadata=(("authorization", header),))
            assert await code_of(call) is grpc.StatusCode.UNAUTHENTICATED
        assert await health(channel) == HealthCheckResponse.SERVING  # probes have no token
        reflection: Any = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        )
        assert await code_of(reflection(iter([b""])).read()) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_token_that_is_not_set_keeps_the_service_from_starting(
    fleet: Any, execute: Execute
) -> None:
    with pytest.raises(ProfileError, match="NOWHERE is not set"):
        async with fleet.served(execute, replace(ANY_PORT, token="NOWHERE")):
            pass
    with pytest.raises(ProfileError, match="NOWHERE is not set"):
        async with fleet.client("127.0.0.1:1", token="NOWHERE"):
            pass


@pytest.mark.parametrize("token", ["", "ünicode", "two words", "line\n"])
async def test_a_token_that_no_header_carries_is_refused_by_both_sides(
    fleet: Any, execute: Execute, token: str
) -> None:
    fleet.secrets["BAD"] = token
    with pytest.raises(ProfileError, match="BAD") as refused:
        async with fleet.served(execute, replace(ANY_PORT, token="BAD")):
            pass
    assert not token or token not in str(refused.value)
    with pytest.raises(ProfileError, match="BAD"):
        async with fleet.client("127.0.0.1:1", token="BAD"):
            pass


async def test_an_exposed_address_is_refused_before_it_is_bound(
    fleet: Any, execute: Execute
) -> None:
    with pytest.raises(ProfileError, match="without TLS and a token"):
        async with fleet.served(execute, GrpcServerSettings(listen="0.0.0.0:0")):
            pass
    with pytest.raises(ProfileError, match="TLS is off"):
        async with fleet.client("192.0.2.1:50056"):
            pass
    insecure = GrpcServerSettings(listen="0.0.0.0:0", insecure=True)
    async with fleet.served(execute, insecure) as served:
        port = served.address.rpartition(":")[2]
        async with fleet.client(f"127.0.0.1:{port}") as client:
            assert (await client.stats()).runner == "held"


async def test_an_address_in_use_is_refused_by_name(
    fleet: Any, execute: Execute, served: Served
) -> None:
    with pytest.raises(Unavailable, match=f"{served.address} cannot be listened on"):
        async with fleet.served(execute, GrpcServerSettings(listen=served.address)):
            pass


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"tls_cert": "x.pem"}, "tls_key"),
        ({"tls_key": "x.pem"}, "tls_cert"),
        ({"tls_client_ca": "x.pem"}, "tls_cert"),
        ({"tls_cert": "missing.pem", "tls_key": "missing.pem"}, "tls_cert"),
        ({"listen": "nowhere"}, "listen"),
    ],
)
async def test_settings_that_cannot_work_are_refused_by_field(
    fleet: Any, execute: Execute, more: dict[str, Any], field: str
) -> None:
    with pytest.raises(ProfileError) as refused:
        async with fleet.served(execute, replace(ANY_PORT, **more)):
            pass
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("addresses", "more", "field"),
    [
        ((), {}, "address"),
        (("x",), {}, "address"),
        (("127.0.0.1:1",), {"tls_cert": "x.pem"}, "tls_key"),
        (("127.0.0.1:1",), {"tls_ca": "missing.pem"}, "tls_ca"),
        (("127.0.0.1:1",), {"tls_ca": __file__}, "tls_ca"),
    ],
)
async def test_a_clients_settings_that_cannot_work_are_refused_by_field(
    fleet: Any, addresses: tuple[str, ...], more: dict[str, str], field: str
) -> None:
    with pytest.raises(ProfileError) as refused:
        async with fleet.client(*addresses, **more):
            pass
    assert refused.value.field == field


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.ca = str(folder / f"{name}.pem")
        self._openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.pem",
        )  # fmt: skip

    def issue(self, name: str, subject: str) -> tuple[str, str]:
        """Certificate and key files for a DNS name."""
        self._openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={subject}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr",
        )  # fmt: skip
        (self.folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{subject}")
        self._openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.pem", "-CAkey",
            f"{self.name}.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext",
            "-out", f"{name}.pem",
        )  # fmt: skip
        return str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, timeout=60
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine: TLS was not tested")
    return Authority(tmp_path_factory.mktemp("tls"), "ours")


async def test_tls_with_a_token_is_served_beyond_loopback(
    fleet: Any, execute: Execute, guarded: GrpcServerSettings, authority: Authority
) -> None:
    cert, key = authority.issue("server", "fleet.test")
    settings = replace(guarded, listen="0.0.0.0:0", tls_cert=cert, tls_key=key)
    async with fleet.served(execute, settings) as served:
        address = "127.0.0.1:" + served.address.rpartition(":")[2]
        named = {"tls_server_name": "fleet.test", "token": "FLEET_TOKEN", "timeout_ms": 3_000}
        async with fleet.client(address, tls_ca=authority.ca, **named) as client:
            await client.submit([a_job()])
        plain = {"token": "FLEET_TOKEN", "timeout_ms": 1_000}
        for wrong in (
            named | {"tls": True},
            named | {"tls_ca": authority.ca, "tls_server_name": "x.test"},
            plain,
        ):
            async with fleet.client(address, **wrong) as stranger:
                with pytest.raises(Unavailable):
                    await stranger.submit([a_job()])


async def test_mutual_tls_serves_only_certificates_of_its_authority(
    fleet: Any, execute: Execute, authority: Authority
) -> None:
    cert, key = authority.issue("server2", "fleet.test")
    own_cert, own_key = authority.issue("client", "orchestrator.test")
    other = Authority(authority.folder, "theirs")
    their_cert, their_key = other.issue("stranger", "orchestrator.test")
    settings = replace(ANY_PORT, tls_cert=cert, tls_key=key, tls_client_ca=authority.ca)
    async with fleet.served(execute, settings) as served:
        named = {"tls_ca": authority.ca, "tls_server_name": "fleet.test", "timeout_ms": 3_000}
        async with fleet.client(
            served.address, tls_cert=own_cert, tls_key=own_key, **named
        ) as client:
            assert (await client.stats()).runner == "held"
        for wrong in ({}, {"tls_cert": their_cert, "tls_key": their_key}):
            async with fleet.client(served.address, **wrong, **named) as stranger:
                with pytest.raises(Unavailable):
                    await stranger.stats()


async def test_a_trace_goes_on_through_the_call_and_into_the_job(
    fleet: Any, runner: HeldRunner
) -> None:
    seen: list[str] = []

    class Tracing(HeldRunner):
        async def run(self, job: Any, on_text: Any = None) -> Any:
            seen.append(trace.current())
            return await super().run(job, on_text)

    async with (
        fleet.execute(Tracing()) as execute,
        fleet.served(execute) as served,
        fleet.client(served.address) as client,
    ):
        with trace.within(PARENT):
            await client.submit([a_job()])
        while await client.active():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
    (submitted,) = [c for c in fleet.calls if c.method == "ExecuteDeliberation"]
    assert (submitted.side, submitted.service, submitted.code) == ("server", NAME, "OK")
    assert submitted.duration_ms > 0
    trace_ids = {text.split("-")[1] for text in (PARENT, submitted.traceparent, *seen)}
    assert len(trace_ids) == 1
    assert submitted.parent not in {PARENT, ""}  # the client's own span is in between
    assert seen == [submitted.traceparent]


async def test_whoever_observes_is_told_how_each_call_ended(fleet: Any, slow: Slow) -> None:
    async with fleet.served(slow) as served, connected(served.address) as channel:
        stub = ExecutorServiceStub(channel)
        await code_of(stub.ExecuteDeliberation(pb.ExecuteDeliberationRequest()))
        await code_of(stub.GetClusterStats(pb.GetClusterStatsRequest(), timeout=1))
        await stub.GetStatus(pb.GetStatusRequest())
        await asyncio.wait_for(slow.cancelled.wait(), 3)
    told = {(call.method, call.code) for call in fleet.calls}
    assert told == {
        ("ExecuteDeliberation", "INVALID_ARGUMENT"),
        ("GetClusterStats", "CANCELLED"),
        ("GetStatus", "OK"),
    }


async def test_an_observer_that_fails_changes_nothing(
    fleet: Any, execute: Execute, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def append(self, call: object) -> None:
            raise ZeroDivisionError

    fleet.calls = Broken()
    async with fleet.served(execute) as served, fleet.client(served.address) as client:
        client_: Executor = client
        assert (await client_.stats()).runner == "held"
    assert "the observer of RPCs failed" in caplog.text
