"""Opens the bound adapters in the order of their needs, and closes them in reverse."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from graphlib import CycleError, TopologicalSorter
from types import TracebackType
from typing import Any

from fleet_core.errors import FleetError, PluginError
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.ports import verify_port
from fleet_plugins.rebind import described, named_bindings
from fleet_plugins.registry import Binding

NAMED = frozenset({PortName.MODEL, PortName.CHECK})
"""Ports with several bindings, each with a name; the others have one."""

Bindings = Mapping[PortName, Binding | Mapping[str, Binding]]
"""Bindings by port; those of a `NAMED` port may be several, by name."""

Observe = Callable[[str, Mapping[str, str]], None]


Around = Callable[[PortName, Any], Any]
"""Puts something of the same port around an opened one, before anybody is given it."""


def _unobserved(event: str, detail: Mapping[str, str]) -> None:
    """Nobody watches."""


def _bare(_port: PortName, value: Any) -> Any:
    """Nothing around it."""
    return value


@asynccontextmanager
async def open_ports(
    bindings: Bindings,
    context: FactoryContext,
    observe: Observe = _unobserved,
    *,
    only: Collection[PortName] | None = None,
    around: Around = _bare,
) -> AsyncIterator[Mapping[PortName, Any]]:
    """Open every binding; leaves them in reverse order, whatever happens.

    A port is closed in the same way whether the caller's block ended well or not, and the caller's
    error comes out unchanged; what fails while closing after it is logged.

    Args:
        bindings: what the profile binds.
        context: what every factory is given; `ports`, `bindings` and `log` are filled in for each.
        observe: is told `port.opened`, `port.failed`, `port.closed`; as `Registry.observe`.
        only: the ports to open, those they require among them; None for all that are bound.
        around: e.g. measures what is asked of a port; adapters that require it get that, too.

    Yields:
        The opened ports by name. `model` is a mapping by binding name, `check` one by check kind.

    Raises:
        PluginError: a needed port is not bound, ports need each other in a circle, a driver is not
            installed, a factory failed, or what it opened is not its port.
        FleetError: a factory's own, with the adapter's name put before its message.
    """
    ports: dict[PortName, Any] = {}
    async with AsyncExitStack() as stack:
        for port in opening_order(bindings, only):
            opened: dict[str, Any] = {}
            for name, binding in named_bindings(bindings[port]).items():
                needs: dict[str, Any] = {need: ports[need] for need in binding.adapter.requires}
                own = dataclasses.replace(
                    context,
                    ports=needs,
                    bindings={p: described(bindings[p]) for p in binding.adapter.builds},
                    log=logging.getLogger(f"fleet.{_called(binding)}"),
                )
                opened[name] = around(port, await _open(stack, name, binding, own, observe))
            ports[port] = _gathered(port, opened)
        yield ports


def opening_order(
    bindings: Bindings, only: Collection[PortName] | None = None
) -> tuple[PortName, ...]:
    """The bound ports, or `only` some of them, each after those it requires.

    Raises:
        PluginError: a port that is required or built is not bound, a required one is not to be
            opened, or ports require each other in a circle.
    """
    needs: dict[PortName, set[PortName]] = {}
    for port in bindings if only is None else [p for p in bindings if p in only]:
        needs[port] = set()
        for binding in named_bindings(bindings[port]).values():
            for need in (*binding.adapter.requires, *binding.adapter.builds):
                if need not in bindings:
                    raise PluginError(
                        f"adapter {_called(binding)} needs the port {need}, which is not bound",
                        f"bind it in the profile: [{need}] use = ...",
                    )
            for need in map(PortName, binding.adapter.requires):
                if only is not None and need not in only:
                    raise PluginError(
                        f"adapter {_called(binding)} needs the port {need}, which this process "
                        "does not open"
                    )
                needs[port].add(need)
    try:
        return tuple(TopologicalSorter(needs).static_order())
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise PluginError(
            f"adapters need each other in a circle: {circle}",
            "bind another adapter to one of these ports",
        ) from None


def _gathered(port: PortName, opened: dict[str, Any]) -> Any:
    if port is PortName.CHECK:
        return _by_kind(opened)
    return opened if port in NAMED else next(iter(opened.values()))


def _by_kind(checks: Mapping[str, Any]) -> dict[str, Any]:
    owners: dict[str, str] = {}
    for name, check in checks.items():
        for kind in check.kinds():
            if kind in owners:
                raise PluginError(
                    f"the checks {owners[kind]} and {name} both take the kind {kind!r}",
                    "bind one of them only",
                )
            owners[kind] = name
    return {kind: checks[name] for kind, name in owners.items()}


async def _open(
    stack: AsyncExitStack, name: str, binding: Binding, context: FactoryContext, observe: Observe
) -> Any:
    called = _called(binding)
    detail = {"adapter": called, "binding": name}
    try:
        manager = binding.adapter.factory(binding.settings, context)
        value = await manager.__aenter__()
    except Exception as error:
        named = _named(binding, error)
        observe("port.failed", {**detail, "reason": named.message})
        if named is error:
            raise
        raise named from error

    async def leave(
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        # Closed without the caller's error, so that no adapter can swallow it or wrap it.
        try:
            await manager.__aexit__(None, None, None)
        except Exception as failure:
            reason = f"adapter {called} failed to close: {type(failure).__name__}: {failure}"
            observe("port.failed", {**detail, "reason": reason})
            if error is None:
                raise PluginError(reason) from failure
            context.log.warning("%s", reason)
        finally:
            observe("port.closed", detail)

    stack.push_async_exit(leave)
    try:
        verify_port(PortName(binding.adapter.port), value)
    except PluginError as error:
        observe("port.failed", {**detail, "reason": error.message})
        raise PluginError(f"adapter {called}: {error.message}", error.hint) from None
    observe("port.opened", detail)
    return value


def _named(binding: Binding, error: Exception) -> FleetError:
    called = _called(binding)
    if isinstance(error, FleetError):
        if called not in str(error):
            error.message = f"{called}: {error.message}"
        return error
    if isinstance(error, ImportError):
        extra = f"[{binding.adapter.extra}]" if binding.adapter.extra else ""
        distribution = binding.distribution or "swe-ai-fleet"
        missing = f"the module {error.name}" if error.name else str(error)
        install = f"pip install '{distribution}{extra}'"
        return PluginError(f"adapter {called} needs {missing}, which is not installed", install)
    return PluginError(f"adapter {called} failed to open: {type(error).__name__}: {error}")


def _called(binding: Binding) -> str:
    return f"{binding.adapter.port}.{binding.adapter.name}"
