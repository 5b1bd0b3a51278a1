"""Secrets come from the environment; workers resolve theirs by the same rule."""

from __future__ import annotations

from fleet_plugins.kit.secrets import secrets_from

__all__ = ["secrets_from"]
