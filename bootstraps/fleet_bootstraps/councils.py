"""From the profile's tables to the domain's councils, judge and protocol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleet_bootstraps.profile import Profile
from fleet_bootstraps.settings import AgentSettings, CouncilSettings
from fleet_core.domain.council import Agent, Council, agent_id
from fleet_core.domain.deliberation import ProtocolSpec
from fleet_core.domain.model_call import Binding as ModelBinding
from fleet_core.domain.model_call import Price, Sampling
from fleet_core.errors import ProfileError
from fleet_plugins.api import Capability
from fleet_plugins.registry import Binding


def model_bindings(profile: Profile) -> dict[str, ModelBinding]:
    """What the domain knows of each bound model."""
    return {
        name: ModelBinding(name, _model_name(binding), _structured(binding), _price(profile, name))
        for name, binding in profile.models().items()
    }


def configured(profile: Profile) -> dict[str, Council]:
    """The councils of the profile, by role."""
    models = model_bindings(profile)
    return {
        role: Council(role, tuple(_agents(role, council, models)))
        for role, council in profile.settings.councils.items()
    }


def protocol_spec(profile: Profile) -> ProtocolSpec:
    """How tasks are deliberated unless they say otherwise."""
    own = profile.settings.deliberation
    judge = None
    if own.judge.enabled:
        sampling = Sampling(own.judge.temperature, 1.0, own.judge.max_tokens, own.judge.seed)
        binding = model_bindings(profile)[own.judge.model]
        judge = Agent("judge", 0, "JUDGE", own.judge.persona, binding, sampling)
    return ProtocolSpec(
        own.protocol, own.rounds, own.samples, own.quorum, own.step_ms, judge, own.settings
    )


def _agents(role: str, council: CouncilSettings, models: Mapping[str, ModelBinding]) -> list[Agent]:
    seats = council.agents or tuple(AgentSettings() for _ in range(council.size))
    if not seats:
        raise ProfileError("should be at least 1", field=f"councils.{role}.size")
    out = []
    for index, seat in enumerate(seats):
        persona = seat.persona
        if not persona and index < len(council.personas):
            persona = council.personas[index]
        out.append(
            Agent(
                seat.id or agent_id(role, index + 1),
                index + 1,
                role,
                persona,
                models[seat.model or council.model],
                _sampling(council, seat, index),
            )
        )
    return out


def _sampling(council: CouncilSettings, seat: AgentSettings, index: int) -> Sampling:
    seed = seat.seed
    if seed is None and council.seed is not None:
        seed = council.seed + index
    return Sampling(
        _first(seat.temperature, council.temperature),
        _first(seat.top_p, council.top_p),
        _first(seat.max_tokens, council.max_tokens),
        seed,
        seat.stop or council.stop,
    )


def _first(own: Any, otherwise: Any) -> Any:
    return otherwise if own is None else own


def _model_name(binding: Binding) -> str:
    """The model as the adapter's settings name it: `model`, or the file of a `gguf`.

    Empty where they do not: then the adapter asks for the one that its server serves.
    """
    named = getattr(binding.settings, "model", "")
    gguf = getattr(binding.settings, "gguf", "")
    return str(named or Path(gguf).name)


def _structured(binding: Binding) -> bool:
    """Whether answers are asked for by schema: the adapter can, and its settings do not say off."""
    can = Capability.STRUCTURED in binding.adapter.capabilities
    return can and getattr(binding.settings, "structured", "") != "off"


def _price(profile: Profile, name: str) -> Price:
    price = profile.settings.prices.get(name)
    if price is None:
        return Price()
    return Price(round(price.prompt * 1_000_000), round(price.answer * 1_000_000))
