"""Takes an adapter's record out of a plugin, and refuses one that breaks the agreement."""

from __future__ import annotations

import dataclasses
from typing import Any

import pluggy

from fleet_core.domain.codec import from_data
from fleet_core.errors import DecodeError, PluginError
from fleet_plugins import hooks
from fleet_plugins.api import API_VERSION, PROJECT, Adapter, Capability, PortName
from fleet_plugins.discovery import OBSERVER, Found


def hooks_of(found: Found, plugin: object) -> pluggy.PluginManager:
    """The plugin's hooks, alone in a manager of its own, so that no other can spoil its calls.

    Raises:
        PluginError: it implements a hook there is none of, or with other arguments, or none.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hooks)
    manager.register(plugin, name=found.full_name)
    manager.check_pending()
    needed = "fleet_observe" if found.port == OBSERVER else "fleet_adapter"
    if not getattr(manager.hook, needed).get_hookimpls():
        raise PluginError(
            f"its object {plugin!r} implements no {needed}",
            "mark the method with fleet_plugins.api.hookimpl",
        )
    return manager


def adapter_of(found: Found, manager: pluggy.PluginManager) -> Adapter:
    """The verified record behind an entry.

    Raises:
        PluginError: says what is wrong with it.
    """
    adapter = manager.hook.fleet_adapter()
    if not isinstance(adapter, Adapter):
        raise PluginError(
            f"fleet_adapter returned {adapter!r}", "return a fleet_plugins.api.Adapter"
        )
    if adapter.api_version != API_VERSION:
        raise PluginError(
            f"it speaks plugin API {adapter.api_version}, this fleet speaks {API_VERSION}",
            "install a release of it that was written for this one",
        )
    if f"{adapter.port}.{adapter.name}" != found.full_name:
        raise PluginError(
            f"it registers {adapter.port}.{adapter.name} under the entry {found.full_name}",
            "give the entry point and the adapter the same name",
        )
    if not callable(adapter.factory):
        raise PluginError(f"its factory {adapter.factory!r} cannot be called")
    _verify_settings(adapter.settings)
    _verify_members(adapter)
    return adapter


def _verify_settings(settings: Any) -> None:
    params = getattr(settings, "__dataclass_params__", None)
    if not (isinstance(settings, type) and dataclasses.is_dataclass(settings)):
        raise PluginError(f"its settings {settings!r} are no dataclass")
    if params is None or not params.frozen:
        raise PluginError(f"its settings {settings.__name__} are not frozen")
    try:
        from_data(settings, {})
    except DecodeError:
        pass  # a required field is missing, which only a profile can give
    except (TypeError, NameError) as error:
        raise PluginError(
            f"its settings {settings.__name__} hold more than data: {error}"
        ) from error


def _verify_members(adapter: Adapter) -> None:
    try:
        tuple(map(PortName, (*adapter.requires, *adapter.builds)))
        tuple(map(Capability, adapter.capabilities))
    except (TypeError, ValueError) as error:
        raise PluginError(f"its requires, builds or capabilities: {error}") from error
