"""Errors cross a channel as what they are; what went wrong inside a service stays there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from fleet_adapters.grpc._errors import DETAILS_KEY, Ended, Full, from_rpc_error, to_status
from fleet_adapters.grpc.proto.fleet.executor.v1 import executor_pb2 as pb
from fleet_adapters.grpc.proto.fleet.executor.v1.executor_pb2_grpc import ExecutorServiceStub
from fleet_core import errors
from fleet_core.errors import (
    Conflict,
    DecodeError,
    FleetError,
    InputError,
    RateLimited,
    StoreError,
    Unavailable,
)
from fleet_core.ports.executor import ClusterStats, Executor
from fleet_core.testing.jobs import HeldRunner
from fleet_core.usecases.execute import Execute

pytestmark = pytest.mark.anyio

KINDS = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, FleetError)]


@dataclass
class Failing:
    """An executor whose stats raise what they are told to."""

    inner: Execute
    error: list[Exception] = field(default_factory=list)

    async def stats(self) -> ClusterStats:
        raise self.error[0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
async def failing(fleet: Any, runner: HeldRunner) -> AsyncIterator[Failing]:
    async with fleet.execute(runner) as execute:
        yield Failing(execute)


@pytest.fixture
async def executor(fleet: Any, failing: Failing) -> AsyncIterator[Executor]:
    async with fleet.served(failing) as served, fleet.client(served.address) as executor:
        yield executor


def sample(kind: type[FleetError]) -> FleetError:
    message, hint = "küche: 1 of 2", "do that"
    if issubclass(kind, InputError):
        return kind(message, hint, source="plan.yaml", field="tasks[1].id")
    if issubclass(kind, Conflict):
        return kind(message, hint, key="council/DEV")
    if issubclass(kind, RateLimited | Full):
        return kind(message, hint, retry_after_ms=1_234)
    return kind(message, hint)


CODES = {
    "INVALID_ARGUMENT": {"InputError", "PlanError", "ProfileError", "DecodeError"},
    "NOT_FOUND": {"NotFound"},
    "ABORTED": {"Conflict"},
    "ALREADY_EXISTS": {"AlreadyExists"},
    "UNAVAILABLE": {"Unavailable", "ModelUnavailable", "StreamCut"},
    "RESOURCE_EXHAUSTED": {"Full", "RateLimited"},
    "UNKNOWN": {"FleetError"},
}


@pytest.mark.parametrize("kind", [*KINDS, Full, Ended], ids=lambda kind: kind.__name__)
def test_every_error_has_its_status_code(kind: type[FleetError]) -> None:
    wanted = [code for code, kinds in CODES.items() if kind.__name__ in kinds]
    assert [to_status(sample(kind)).code.name] == (wanted or ["FAILED_PRECONDITION"])


@pytest.mark.parametrize("kind", [*KINDS, Full, Ended], ids=lambda kind: kind.__name__)
async def test_every_error_arrives_as_it_was_raised(
    executor: Executor, failing: Failing, kind: type[FleetError]
) -> None:
    sent = sample(kind)
    failing.error = [sent]
    with pytest.raises(FleetError) as raised:
        await executor.stats()
    arrived = raised.value
    assert type(arrived) is kind
    assert str(arrived) == str(sent)
    assert {k: getattr(arrived, k) for k in vars(sent)} == vars(sent)


async def test_an_error_of_a_plugin_arrives_as_the_nearest_one_known(
    executor: Executor, failing: Failing
) -> None:
    class DiskFull(StoreError):
        code = "disk-full"

    failing.error = [DiskFull("no room")]
    with pytest.raises(StoreError, match="no room"):
        await executor.stats()


async def test_a_defect_tells_the_caller_nothing_and_the_log_everything(
    executor: Executor, failing: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    failing.error = [ZeroDivisionError("the password is swordfish")]
    with pytest.raises(StoreError) as raised:
        await executor.stats()
    assert "swordfish" not in str(raised.value)
    assert "Traceback" not in str(raised.value)
    assert "swordfish" in caplog.text


async def test_clients_that_know_only_google_rpc_are_told_field_and_delay() -> None:
    status = Status.FromString(to_status(sample(DecodeError)).details)
    bad = BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    assert [(v.field, v.description) for v in bad.field_violations] == [
        ("tasks[1].id", "küche: 1 of 2")
    ]
    status = Status.FromString(to_status(sample(Full)).details)
    retry = RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.ToMilliseconds() == 1_234


async def test_a_message_of_any_length_and_letters_arrives_shortened(
    executor: Executor, failing: Failing
) -> None:
    failing.error = [DecodeError("\ud800" + "語" * 100_000, "h" * 100_000, field="f" * 100_000)]
    with pytest.raises(DecodeError) as raised:
        await executor.stats()
    assert raised.value.message.startswith("?語語")
    assert raised.value.message.endswith("...")


async def test_the_status_line_names_the_field_for_a_person(
    channel: grpc.aio.Channel, execute: Execute
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ExecutorServiceStub(channel).ExecuteDeliberation(pb.ExecuteDeliberationRequest())
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.details() == "jobs: is empty (submit at least one job)"


def said(code: grpc.StatusCode, *trailing: tuple[str, str | bytes]) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata(*trailing)
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, "that is so")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Unavailable),
        (grpc.StatusCode.UNAUTHENTICATED, Unavailable),
        (grpc.StatusCode.INTERNAL, Unavailable),
        (grpc.StatusCode.CANCELLED, Unavailable),
        (grpc.StatusCode.UNIMPLEMENTED, StoreError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, StoreError),
    ],
)
def test_what_the_transport_says_names_the_peer(
    code: grpc.StatusCode, kind: type[FleetError]
) -> None:
    found = from_rpc_error(said(code), "the executor at x:1")
    assert type(found) is kind
    assert "the executor at x:1" in str(found)


def test_details_that_are_none_of_ours_are_passed_over() -> None:
    error = said(grpc.StatusCode.UNAVAILABLE, (DETAILS_KEY, b"\xff\xff"))
    assert type(from_rpc_error(error, "x")) is Unavailable
