from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleet_core.errors import PluginError, ProfileError, Unavailable
from fleet_plugins.api import Adapter, Bound, Factory, FactoryContext, PortName
from fleet_plugins.lifetimes import Bindings, open_ports, opening_order
from fleet_plugins.ports import PROTOCOLS, promised, verify_port
from fleet_plugins.registry import Binding

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, slots=True)
class Settings:
    label: str = ""


class Diary:
    """What was opened and closed, in order, and what each factory was given."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.given: dict[str, FactoryContext] = {}
        self.events: list[tuple[str, str]] = []

    def observe(self, event: str, detail: Mapping[str, str]) -> None:
        self.events.append((event, detail["adapter"]))


def working(port: PortName) -> object:
    """An object with every method of a port."""

    async def method(*_args: object, **_kwargs: object) -> None:
        raise NotImplementedError

    return type("Working", (), {n: staticmethod(method) for n in promised(PROTOCOLS[port])})()


def binding(
    port: PortName,
    diary: Diary,
    *requires: PortName,
    value: object = None,
    name: str = "tape",
    factory: Factory | None = None,
    label: str = "",
    extra: str = "",
    builds: tuple[PortName, ...] = (),
) -> Binding:
    @asynccontextmanager
    async def opening(settings: Settings, ctx: FactoryContext) -> AsyncIterator[object]:
        diary.lines.append(f"+{port}{settings.label}")
        diary.given[port] = ctx
        try:
            yield working(port) if value is None else value
        finally:
            diary.lines.append(f"-{port}{settings.label}")

    adapter = Adapter(
        port, name, Settings, factory or opening, requires=requires, extra=extra, builds=builds
    )
    return Binding(adapter, Settings(label), "fleet-tape")


@pytest.fixture
def context(tmp_path: Path) -> FactoryContext:
    return FactoryContext(clock=lambda: 0, secret=lambda name: name, home=tmp_path)


async def test_ports_open_after_those_they_need_and_close_in_reverse(
    context: FactoryContext,
) -> None:
    diary = Diary()
    bound: Bindings = {
        PortName.EXECUTOR: binding(PortName.EXECUTOR, diary, PortName.RUNNER, PortName.BUS),
        PortName.RUNNER: binding(PortName.RUNNER, diary, PortName.MODEL),
        PortName.BUS: binding(PortName.BUS, diary),
        PortName.MODEL: {
            "default": binding(PortName.MODEL, diary, label=":a"),
            "small": binding(PortName.MODEL, diary, label=":b"),
        },
    }
    async with open_ports(bound, context, diary.observe) as ports:
        opened = list(diary.lines)
        assert set(ports) == set(bound)
        assert set(ports[PortName.MODEL]) == {"default", "small"}
        given = diary.given["executor"].ports
        assert set(given) == {"runner", "bus"}
        assert given["runner"] is ports[PortName.RUNNER]
        assert diary.given["runner"].ports["model"] is ports[PortName.MODEL]
        assert diary.given["bus"].ports == {}
        assert diary.given["bus"].log.name == "fleet.bus.tape"
    position = {line[1:]: at for at, line in enumerate(opened)}
    assert position["executor"] > max(position["runner"], position["bus"])
    assert position["runner"] > max(position["model:a"], position["model:b"])
    assert diary.lines[len(opened) :] == [f"-{line[1:]}" for line in reversed(opened)]
    assert len(diary.events) == 10


async def test_what_is_put_around_a_port_is_given_to_whoever_requires_it(
    context: FactoryContext,
) -> None:
    diary = Diary()
    bound: Bindings = {
        PortName.EXECUTOR: binding(PortName.EXECUTOR, diary, PortName.BUS),
        PortName.BUS: binding(PortName.BUS, diary),
    }
    async with open_ports(
        bound, context, around=lambda port, value: (port, value) if port == "bus" else value
    ) as ports:
        port, bus = ports[PortName.BUS]
        assert port is PortName.BUS
        assert not isinstance(bus, tuple)
        assert diary.given["executor"].ports["bus"] is ports[PortName.BUS]


async def test_what_an_adapter_builds_elsewhere_is_described_to_it_and_not_opened(
    context: FactoryContext,
) -> None:
    diary = Diary()
    models = {
        "default": binding(PortName.MODEL, diary),
        "small": binding(PortName.MODEL, diary, label="b"),
    }
    bound: Bindings = {
        PortName.RUNNER: binding(PortName.RUNNER, diary, builds=(PortName.MODEL,)),
        PortName.MODEL: models,
    }
    async with open_ports(bound, context, only=[PortName.RUNNER]) as ports:
        assert set(ports) == {PortName.RUNNER}
    assert diary.lines == ["+runner", "-runner"]
    given = diary.given["runner"]
    assert given.ports == {}
    assert given.bindings == {
        "model": {
            "default": Bound("tape", {}, "fleet-tape"),
            "small": Bound("tape", {"label": "b"}, "fleet-tape"),
        }
    }
    assert pickle.loads(pickle.dumps(given.bindings)) == given.bindings

    with pytest.raises(PluginError, match=r"runner\.tape needs the port model, which is not"):
        opening_order({PortName.RUNNER: bound[PortName.RUNNER]})


def test_a_required_port_that_is_not_to_be_opened_is_refused_by_name() -> None:
    diary = Diary()
    bound: Bindings = {
        PortName.RUNNER: binding(PortName.RUNNER, diary, PortName.MODEL),
        PortName.MODEL: binding(PortName.MODEL, diary),
    }
    with pytest.raises(PluginError, match=r"runner\.tape needs the port model, which this proc"):
        opening_order(bound, [PortName.RUNNER])


class PythonCheck:
    def kinds(self) -> tuple[str, ...]:
        return ("python", "command")

    async def run(self, request: object, *, timeout_ms: int) -> object:
        raise NotImplementedError

    async def available(self) -> str:
        return ""


async def test_checks_are_given_by_their_kinds_and_two_of_one_kind_are_refused(
    context: FactoryContext,
) -> None:
    diary, check = Diary(), PythonCheck()
    one = {"sandbox": binding(PortName.CHECK, diary, value=check)}
    async with open_ports({PortName.CHECK: one}, context) as ports:
        assert ports[PortName.CHECK] == {"python": check, "command": check}
    two = {**one, "bare": binding(PortName.CHECK, diary, value=PythonCheck())}
    with pytest.raises(PluginError, match="sandbox and bare both take the kind 'python'"):
        async with open_ports({PortName.CHECK: two}, context):
            raise AssertionError
    assert diary.lines.count("-check") == diary.lines.count("+check")


def test_a_need_that_is_not_bound_and_a_circle_are_refused_by_name() -> None:
    diary = Diary()
    with pytest.raises(PluginError, match=r"runner\.tape needs the port model"):
        opening_order({PortName.RUNNER: binding(PortName.RUNNER, diary, PortName.MODEL)})
    circle = {
        PortName.RUNNER: binding(PortName.RUNNER, diary, PortName.MODEL),
        PortName.MODEL: binding(PortName.MODEL, diary, PortName.RUNNER),
    }
    with pytest.raises(
        PluginError, match=r"circle: (runner -> model -> runner|model -> runner -> m)"
    ):
        opening_order(circle)


def failing(error: Exception) -> Factory:
    @asynccontextmanager
    async def opening(settings: Settings, ctx: FactoryContext) -> AsyncIterator[object]:
        if error:
            raise error
        yield None

    return opening


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (Unavailable("no answer", "start it"), Unavailable, r"blobs\.tape: no answer \(start it\)"),
        (ProfileError("wrong", field="blobs.x"), ProfileError, r"blobs\.x: blobs\.tape: wrong"),
        (
            ModuleNotFoundError("x", name="tapelib"),
            PluginError,
            r"blobs\.tape needs the module tapelib.*pip install 'fleet-tape\[reel\]'",
        ),
        (ValueError("no reel"), PluginError, r"blobs\.tape failed to open: ValueError: no reel"),
    ],
)
async def test_a_factory_that_fails_is_named_and_what_was_open_is_closed(
    context: FactoryContext, error: Exception, kind: type[Exception], said: str
) -> None:
    diary = Diary()
    bound = {
        PortName.STATE: binding(PortName.STATE, diary),
        PortName.BLOBS: binding(
            PortName.BLOBS, diary, PortName.STATE, factory=failing(error), extra="reel"
        ),
    }
    with pytest.raises(kind, match=said):
        async with open_ports(bound, context, diary.observe):
            raise AssertionError
    assert diary.lines == ["+state", "-state"]
    assert ("port.failed", "blobs.tape") in diary.events


class Half:
    async def put(self, data: bytes) -> str:
        return ""


class Narrow(Half):
    async def get(self) -> bytes:
        return b""


async def test_an_object_that_is_not_its_port_is_refused_and_closed(
    context: FactoryContext,
) -> None:
    diary = Diary()
    bound = {PortName.BLOBS: binding(PortName.BLOBS, diary, value=Half())}
    with pytest.raises(PluginError, match=r"blobs\.tape: Half has no method get"):
        async with open_ports(bound, context, diary.observe):
            raise AssertionError
    assert diary.lines == ["+blobs", "-blobs"]
    with pytest.raises(PluginError, match=r"Narrow\.get cannot be called as BlobStore\.get"):
        verify_port(PortName.BLOBS, Narrow())
    assert set(PROTOCOLS) == set(PortName)


@asynccontextmanager
async def swallowing(settings: Settings, ctx: FactoryContext) -> AsyncIterator[Any]:
    try:
        yield working(PortName.BLOBS)
    except KeyError:
        return


@asynccontextmanager
async def grouping(settings: Settings, ctx: FactoryContext) -> AsyncIterator[Any]:
    async with asyncio.TaskGroup():
        yield working(PortName.BLOBS)


@asynccontextmanager
async def leaking(settings: Settings, ctx: FactoryContext) -> AsyncIterator[Any]:
    yield working(PortName.BLOBS)
    raise ValueError("still busy")


@pytest.mark.parametrize("factory", [swallowing, grouping, leaking])
async def test_no_adapter_changes_the_callers_error(
    context: FactoryContext, factory: Factory
) -> None:
    bound = {PortName.BLOBS: binding(PortName.BLOBS, Diary(), factory=factory)}
    with pytest.raises(KeyError, match="mine"):
        async with open_ports(bound, context):
            raise KeyError("mine")


async def test_a_failing_close_is_named_and_the_others_are_closed(context: FactoryContext) -> None:
    diary = Diary()
    bound = {
        PortName.STATE: binding(PortName.STATE, diary),
        PortName.BLOBS: binding(PortName.BLOBS, diary, PortName.STATE, factory=leaking),
    }
    with pytest.raises(PluginError, match=r"blobs\.tape failed to close: ValueError: still busy"):
        async with open_ports(bound, context):
            pass
    assert diary.lines == ["+state", "-state"]


async def test_cancelling_the_holder_closes_the_ports_and_stays_a_cancellation(
    context: FactoryContext,
) -> None:
    diary, held = Diary(), asyncio.Event()

    async def hold() -> None:
        async with open_ports({PortName.STATE: binding(PortName.STATE, diary)}, context):
            held.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await held.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert diary.lines == ["+state", "-state"]


def test_what_a_port_inherits_is_promised_too() -> None:
    assert {"neighbourhood", "records"} <= set(promised(PROTOCOLS[PortName.GRAPH]))
