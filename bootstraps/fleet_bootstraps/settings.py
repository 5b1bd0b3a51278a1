"""The fleet's own settings: the tables of a profile that are not adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet_adapters.grpc.settings import (
    CONTEXT_PORT,
    EXECUTOR_PORT,
    ORCHESTRATOR_PORT,
    GrpcServerSettings,
)
from fleet_core.domain.plan_run import Terms


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """`[deliberation.judge]`: who ranks all candidates at the end of `peer-review`.

    Attributes:
        enabled: without one, ballots decide what evidence leaves equal.
        model: a binding: `default` or a name under `[models]`.
        persona: told to the judge.
        temperature, max_tokens, seed: how it answers.
    """

    enabled: bool = True
    model: str = "default"
    persona: str = "You judge without favour, by the acceptance criteria alone."
    temperature: float = 0.0
    max_tokens: int = 512
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class DeliberationSettings:
    """`[deliberation]`: how councils deliberate, unless a task says otherwise.

    Attributes:
        protocol: `peer-review`, `vote` or a plugin's own.
        rounds: critique-and-revise rounds.
        samples: proposals of each agent, for `vote`.
        quorum: the share of a step's jobs beyond which it closes at its deadline.
        step_ms: from a step's start to its deadline.
        sweep_ms: between two looks at the open deadlines.
        again_ms: jobs without result are submitted again after so long.
        settings: a plugin protocol's own.
    """

    protocol: str = "peer-review"
    rounds: int = 1
    samples: int = 1
    quorum: float = 0.5
    step_ms: int = 300_000
    sweep_ms: int = 250
    again_ms: int = 60_000
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """`[[councils.ROLE.agents]]`: one seat, where the council's own settings do not do.

    Attributes:
        id: unless given, `{role}-{n}`.
        persona: what makes it differ.
        model: a binding.
        temperature, top_p, max_tokens, seed, stop: None means the council's.
    """

    id: str = ""
    persona: str = ""
    model: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CouncilSettings:
    """`[councils.ROLE]`: the agents of a role. Naming a table makes the role known.

    Attributes:
        size: seats, where `agents` does not list them.
        personas: of the seats in turn; fewer than seats leave the rest without.
        model: a binding: `default` or a name under `[models]`.
        temperature, top_p, max_tokens, stop: how its agents answer.
        seed: of the first seat; the others count on from it. None leaves it to the server.
        agents: the seats one by one, in place of `size`.
    """

    size: int = 3
    personas: tuple[str, ...] = ()
    model: str = "default"
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int | None = None
    stop: tuple[str, ...] = ()
    agents: tuple[AgentSettings, ...] = ()


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """`[lease]`: what each deliberation may use.

    Attributes:
        tokens: prompts and answers of all its calls.
        usd: money; 0 for no limit.
        ms: from its start to its deadline.
    """

    tokens: int = 120_000
    usd: float = 0.0
    ms: int = 1_800_000


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """`[context]`: the packs.

    Attributes:
        budget: tokens of a pack.
    """

    budget: int = 4_400


@dataclass(frozen=True, slots=True)
class PriceSettings:
    """`[prices.BINDING]`: what a model binding's tokens cost.

    Attributes:
        prompt, answer: US dollars for a million tokens.
    """

    prompt: float = 0.0
    answer: float = 0.0


MONITOR_PORT = 8080
DEFAULT_PORTS = {
    "orchestrator": ORCHESTRATOR_PORT,
    "executor": EXECUTOR_PORT,
    "context": CONTEXT_PORT,
    "monitor": MONITOR_PORT,
}


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """`[services.NAME]`: how the service of that name is served.

    Attributes:
        listen: `host:port`; port 0 takes a free one; empty: loopback, on the service's own port
            (orchestrator 50055, executor 50056, context 50051, monitor 8080). Beyond loopback it
            needs TLS and a token.
        token: the name of the secret that callers must send as a bearer token; empty for none.
        admin_token: the name of a second secret, which RPCs that change councils or budgets, or
            cancel work, and the monitor's actions then ask for; it is good for all others too.
            Empty: `token` is enough.
        tls_cert, tls_key: PEM files of the server's certificate chain and key.
        tls_client_ca: PEM file; callers must then show a certificate signed by it (mTLS).
        insecure: serve beyond loopback without TLS or without a token.
        drain_ms: RPCs under way have so long to end once the service stops.
        max_message_bytes: of one request or answer.
        metrics: `host:port` of its Prometheus metrics and its health pages; empty for none. Beyond
            loopback it needs TLS and a token, which are those of the RPCs.
        max_jobs: of an executor: accepted and not yet done, at most; 0 for any number.
        claim_ttl_ms: of an executor: its jobs can be taken over so long after it died.
    """

    listen: str = ""
    token: str = ""
    admin_token: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    insecure: bool = False
    drain_ms: int = 10_000
    max_message_bytes: int = 16 * 1024 * 1024
    metrics: str = ""
    max_jobs: int = 2_000
    claim_ttl_ms: int = 5_000

    def server(self, name: str) -> GrpcServerSettings:
        """What the gRPC server of that service is told."""
        return GrpcServerSettings(
            self.listen or f"127.0.0.1:{DEFAULT_PORTS[name]}",
            self.token,
            self.admin_token,
            self.tls_cert,
            self.tls_key,
            self.tls_client_ca,
            self.insecure,
            self.drain_ms,
            self.max_message_bytes,
        )


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Everything of a profile but its adapters."""

    deliberation: DeliberationSettings
    lease: LeaseSettings
    context: ContextSettings
    councils: Mapping[str, CouncilSettings]
    prices: Mapping[str, PriceSettings]
    services: Mapping[str, ServiceSettings] = field(default_factory=dict)

    def service(self, name: str) -> ServiceSettings:
        """How a service is served; by the defaults where the profile does not say."""
        return self.services.get(name, ServiceSettings())

    def terms(self) -> Terms:
        """What each deliberation of a plan is given."""
        return Terms(
            self.lease.tokens,
            round(self.lease.usd * 1_000_000),
            self.lease.ms,
            self.context.budget,
        )
