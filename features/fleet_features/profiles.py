"""The profile under test: its own adapters, with the scenario's councils, terms and model."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fleet_bootstraps.answering import executes_elsewhere
from fleet_bootstraps.layers import Given, Tables, layered
from fleet_bootstraps.profile import Profile, bound
from fleet_features.applicability import reads_scripts
from fleet_plugins.api import PortName
from fleet_plugins.registry import Binding, Registry

ROLES = ("DEV", "QA", "ARCHITECT")
SEATS = 3
_SCENARIO = "the scenario"
_REPLACED = ("councils", "deliberation", "lease", "context", "prices")


@dataclass(frozen=True, slots=True)
class ProfileSource:
    """A profile as it was asked for; scenarios lay their own terms over it.

    Attributes:
        name: a built-in name or a file.
        sets: `table.key=value` each.
    """

    name: str
    sets: tuple[str, ...] = ()

    def plain(self) -> Profile:
        """As it is, model and all."""
        return bound(self.name, self._tables(), Registry.discovered())

    def described(self) -> str:
        """One line: which adapter stands behind which port."""
        ports = {
            port: binding.adapter.name
            for port, binding in self.plain().bindings.items()
            if isinstance(binding, Binding)
        }
        return f"{self.name} ({', '.join(f'{p}.{a}' for p, a in sorted(ports.items()))})"

    def with_terms(
        self,
        terms: Mapping[str, Any],
        *,
        base_url: str = "",
        script: Path | None = None,
        model: str = "scripted",
    ) -> Profile:
        """With the councils and terms of a scenario.

        Args:
            terms: settings by `table.key`, over the defaults and not over the profile's, so that
                a scenario means the same everywhere.
            base_url: where every model binding is to be found; empty leaves them.
            script: what a model that reads scripts is to read.
            model: the model's name at `base_url`.
        """
        tables = self._tables()
        for table in [t for t in tables if t.partition(".")[0] in _REPLACED]:
            del tables[table]
        for role in ROLES:
            tables[f"councils.{role}"] = {"size": Given(SEATS, _SCENARIO)}
        for table in _models(tables):
            if script is not None:
                tables[table]["script"] = Given(str(script), _SCENARIO)
            elif base_url:
                given = {"use": "openai", "base_url": base_url, "model": model}
                tables[table] = {key: Given(value, _SCENARIO) for key, value in given.items()}
        for path, value in terms.items():
            table, _, key = path.rpartition(".")
            if table.startswith("deliberation."):  # a table within that one
                table, key = "deliberation", f"judge.{key}"
            tables.setdefault(table, {})[key] = Given(value, _SCENARIO)
        return bound(self.name, tables, Registry.discovered())

    def quick_claims(self, ms: int) -> dict[str, int]:
        """The term that lets a killed process's jobs be taken over soon, where there is one."""
        found = self._settings(PortName.EXECUTOR)
        return {"executor.claim_ttl_ms": ms} if "claim_ttl_ms" in found else {}

    def kept_models(self, home: Path) -> dict[str, str]:
        """The term that keeps fetched models in FLEET_HOME, for a scenario whose home is its own.

        Empty where the profile names a place itself, or fetches nothing.
        """
        found = self._settings(PortName.MODEL)
        missing = found.get("models_dir") == ""
        return {"model.models_dir": str(home / "models")} if missing else {}

    def _settings(self, port: PortName) -> dict[str, Any]:
        profile = self.plain()
        binding = profile.models()["default"] if port is PortName.MODEL else profile.bindings[port]
        assert isinstance(binding, Binding)
        return {
            field.name: getattr(binding.settings, field.name) for field in fields(binding.settings)
        }

    def adapter(self, port: PortName) -> str:
        """The name of the adapter behind a port."""
        binding = self.plain().bindings[port]
        assert isinstance(binding, Binding)
        return binding.adapter.name

    @property
    def services(self) -> bool:
        """Whether its fleet is services of their own, and not one process."""
        return executes_elsewhere(self.plain())

    @property
    def hydrates_elsewhere(self) -> bool:
        """Whether packs are made by a service of their own."""
        return self.adapter(PortName.HYDRATOR) == "grpc"

    @property
    def scripted(self) -> bool:
        """Whether its own model reads scripts."""
        return reads_scripts(self.plain())

    def _tables(self) -> Tables:
        return layered(self.name, os.environ, self.sets)


def seeds_of(scenario: str) -> dict[str, int]:
    """Terms that let the councils of a scenario draw by seeds of its own.

    So its jobs have ids of their own: to an executor that stays they are no jobs of another
    scenario. The same scenario draws by the same seeds on every profile.
    """
    seed = 10 * (zlib.crc32(scenario.encode()) % 1_000_000)
    return {f"councils.{role}.seed": seed for role in ROLES}


def _models(tables: Tables) -> list[str]:
    """The tables that bind a model."""
    return [table for table in tables if table == "model" or table.startswith("models.")]
