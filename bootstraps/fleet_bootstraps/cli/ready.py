"""Asks models whether they serve, before anything is begun."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from fleet_core.errors import ModelUnavailable
from fleet_core.ports.model import Model

_PATIENCE_S = 30.0


async def require_models(models: Mapping[str, Model], names: Collection[str]) -> None:
    """Ask each named binding once, all at the same time.

    Raises:
        ModelUnavailable: one does not serve; names the binding and the endpoint.
    """
    wanted = sorted(names & models.keys())
    for name, detail in zip(
        wanted, await asyncio.gather(*(_trouble(models[n]) for n in wanted)), strict=True
    ):
        if detail:
            table = "model" if name == "default" else f"models.{name}"
            raise ModelUnavailable(
                f"the model of [{table}] is not ready: {detail}",
                f"start it, or name another: --set {table}.use=...; nothing was begun",
            )


async def _trouble(model: Model) -> str:
    """Why a model does not serve; empty where it does."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            health = await model.health()
    except TimeoutError:
        return f"it did not say so within {_PATIENCE_S:.0f} s"
    return "" if health.ready else health.detail or "it does not say why"
