"""The dependency-injector container of the core's use cases, over ports that are open already.

Lifetimes are owned by `fleet.open_fleet`; the container only says who is given what.
"""

from __future__ import annotations

from fleet_bootstraps.injection import containers, providers
from fleet_core.domain.deliberation import ProtocolSpec
from fleet_core.domain.plan_run import Terms
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.clock import Clock
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.executor import Executor
from fleet_core.ports.hydrator import Hydrator
from fleet_core.ports.runner import Runner
from fleet_core.ports.state_store import StateStore
from fleet_core.ports.token_stream import TokenStream
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.deliberate import Deliberate, DeliberateSettings
from fleet_core.usecases.plans import Plans
from fleet_core.usecases.stores import Stores
from fleet_plugins.kit.json_bytes import dump


class OrchestratorContainer(containers.DeclarativeContainer):
    """Plans and deliberations; executor and hydrator may be services elsewhere."""

    clock: providers.Dependency[Clock] = providers.Dependency()
    bus: providers.Dependency[EventBus] = providers.Dependency()
    tokens: providers.Dependency[TokenStream] = providers.Dependency()
    state: providers.Dependency[StateStore] = providers.Dependency()
    blobs: providers.Dependency[BlobStore] = providers.Dependency()
    executor: providers.Dependency[Executor] = providers.Dependency()
    hydrator: providers.Dependency[Hydrator] = providers.Dependency()

    strategies = providers.Dependency(instance_of=dict)
    configured = providers.Dependency(instance_of=dict)
    bindings = providers.Dependency(instance_of=dict)
    protocol: providers.Dependency[ProtocolSpec] = providers.Dependency()
    terms: providers.Dependency[Terms] = providers.Dependency()
    driving: providers.Dependency[DeliberateSettings] = providers.Dependency()

    stores = providers.Singleton(Stores, bus, state, blobs, clock, dump)
    councils = providers.Singleton(Councils, state, configured, bindings)
    deliberate = providers.Singleton(Deliberate, stores, executor, hydrator, strategies, driving)
    plans = providers.Singleton(Plans, stores, deliberate, councils, protocol, terms)


class FleetContainer(OrchestratorContainer):
    """A whole fleet in one process."""

    graph: providers.Dependency[ContextGraph] = providers.Dependency()
    model = providers.Dependency(instance_of=dict)
    check = providers.Dependency(instance_of=dict)
    runner: providers.Dependency[Runner] = providers.Dependency()
