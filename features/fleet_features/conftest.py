"""Loads the harness; see `fleet_features.plugin`."""

from __future__ import annotations

pytest_plugins = ("fleet_features.plugin",)
