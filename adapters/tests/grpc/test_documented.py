"""What reflection lists is what adapters/README.md says, RPC by RPC."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from fleet_adapters.grpc import context_server, executor_server, orchestrator_server
from fleet_adapters.grpc.orchestrator_server import Orchestrator, serve_orchestrator
from fleet_adapters.grpc.serving import Served
from fleet_adapters.grpc.settings import GrpcServerSettings

pytestmark = pytest.mark.anyio
README = Path(__file__).resolve().parents[2] / "README.md"
ROW = re.compile(r"^\| `(?P<rpc>\w+)` \| (?P<kind>unary|server stream) \|", re.MULTILINE)


def documented(service: str) -> set[tuple[str, bool]]:
    """RPC names, and whether they stream, in the table under the service's name."""
    text = README.read_text()
    _, found, rest = text.partition(f"`{service}`:\n\n")
    assert found, f"adapters/README.md has no table of {service}"
    return {(m["rpc"], m["kind"] == "server stream") for m in ROW.finditer(rest.split("\n\n")[0])}


async def reflected(channel: Any) -> dict[str, set[tuple[str, bool]]]:
    """Every service that reflection lists, with its RPCs and whether they stream."""
    stub: Any = ServerReflectionStub(channel)

    async def ask(**request: Any) -> Any:
        call = stub.ServerReflectionInfo(iter([ServerReflectionRequest(**request)]))
        return await call.read()

    found: dict[str, set[tuple[str, bool]]] = {}
    for listed in (await ask(list_services="")).list_services_response.service:
        answer = await ask(file_containing_symbol=listed.name)
        for raw in answer.file_descriptor_response.file_descriptor_proto:
            file = FileDescriptorProto.FromString(raw)
            for service in file.service:
                if f"{file.package}.{service.name}" == listed.name:
                    assert not any(m.client_streaming for m in service.method) or (
                        listed.name == reflection.SERVICE_NAME
                    )
                    found[listed.name] = {(m.name, m.server_streaming) for m in service.method}
    return found


@pytest.fixture
async def orchestrator(stores: Any) -> AsyncIterator[Served]:
    nothing: Any = None
    parts = Orchestrator(
        nothing, nothing, nothing, stores.bus, stores.state, stores.blobs, stores.clock
    )
    settings = GrpcServerSettings(listen="127.0.0.1:0")
    async with serve_orchestrator(parts, settings, str) as served:
        yield served


async def test_the_executor_serves_what_is_documented(channel: grpc.aio.Channel) -> None:
    found = await reflected(channel)
    assert set(found) == {executor_server.NAME, health.SERVICE_NAME, reflection.SERVICE_NAME}
    assert found[executor_server.NAME] == documented(executor_server.NAME)
    assert executor_server.NAME == "fleet.executor.v1.ExecutorService"


async def test_the_context_service_serves_what_is_documented(fleet: Any) -> None:
    async with fleet.context() as served, grpc.aio.insecure_channel(served.address) as channel:
        found = await reflected(channel)
    assert set(found) == {context_server.NAME, health.SERVICE_NAME, reflection.SERVICE_NAME}
    assert found[context_server.NAME] == documented(context_server.NAME)
    assert context_server.NAME == "fleet.context.v1.ContextService"


async def test_the_orchestrator_serves_what_is_documented(orchestrator: Served) -> None:
    async with grpc.aio.insecure_channel(orchestrator.address) as channel:
        found = await reflected(channel)
    assert set(found) == {orchestrator_server.NAME, health.SERVICE_NAME, reflection.SERVICE_NAME}
    assert found[orchestrator_server.NAME] == documented(orchestrator_server.NAME)
    assert orchestrator_server.NAME == "fleet.orchestrator.v1.OrchestratorService"


def test_each_documented_rpc_is_exercised_over_a_channel() -> None:
    """By name, in the tests beside this one."""
    folder = Path(__file__).parent
    for service, test in (
        (context_server.NAME, "test_context_*.py"),
        (executor_server.NAME, "test_executor_service.py"),
        (orchestrator_server.NAME, "test_orchestrator_service.py"),
    ):
        text = "".join(path.read_text() for path in folder.glob(test))
        for rpc, _ in documented(service):
            assert f"stub.{rpc}(" in text, f"{rpc} is called by no test"
