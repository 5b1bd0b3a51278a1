"""Where a scenario's fleet runs: in this process, or as services of their own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from anyio.from_thread import BlockingPortal

from fleet_adapters.scripted.server import ScriptedServer
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.clock import Clock
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.executor import Executor
from fleet_core.ports.state_store import StateStore
from fleet_core.usecases.deliberate import Deliberate
from fleet_core.usecases.plans import Plans
from fleet_features.answers import ScriptBook


class Door(Protocol):
    """What steps do with a fleet, whether it runs in this process or elsewhere."""

    @property
    def clock(self) -> Clock:
        """UTC milliseconds."""

    @property
    def plans(self) -> Plans:
        """Approves, cancels, and says where plans are."""

    @property
    def deliberate(self) -> Deliberate:
        """Says where deliberations are."""

    @property
    def executor(self) -> Executor:
        """Says what runs."""

    @property
    def bus(self) -> EventBus:
        """Its log."""

    @property
    def state(self) -> StateStore:
        """Its documents."""

    @property
    def graph(self) -> ContextGraph:
        """What it recorded."""


@dataclass
class Told:
    """What a scenario says of its fleet, as its steps tell it.

    Attributes:
        folder: of the scenario's own; FLEET_HOME lies in it.
        environ: where secrets come from.
        terms: settings by `table.key`, over the defaults.
        book: the script.
        plan_text: what is put before the fleet, YAML.
        live: the profile's own model answers, instead of the script.
    """

    folder: Path
    environ: Mapping[str, str]
    terms: dict[str, Any] = field(default_factory=dict)
    book: ScriptBook = field(default_factory=ScriptBook)
    plan_text: str = ""
    live: bool = False

    @property
    def home(self) -> Path:
        """FLEET_HOME."""
        return self.folder / "home"


@dataclass(frozen=True, slots=True)
class Commanded:
    """How a command of its own process is told of the scenario's fleet.

    Attributes:
        profile: a profile file.
        environ: its environment, FLEET_HOME among it.
    """

    profile: Path
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Kept:
    """The log, the documents and the blobs of a fleet."""

    bus: EventBus
    state: StateStore
    blobs: BlobStore


@dataclass(frozen=True, slots=True)
class Asked:
    """What services say of a deliberation.

    Attributes:
        phase, winner: by the orchestrator; no winner is empty.
        step: the name of its open step; empty where none is open.
        jobs: of the executor's jobs, id, phase and outcome (empty before the end).
        runner: where the executor says that its jobs run.
    """

    phase: str
    winner: str
    step: str
    jobs: frozenset[tuple[str, str, str]]
    runner: str


class Apart(Protocol):
    """The processes that run a plan, apart from this one."""

    @abstractmethod
    def kill(self) -> list[int]:
        """SIGKILL all of them; their exit codes."""

    @abstractmethod
    def close(self) -> None:
        """See that they are gone."""


class Place(Protocol):
    """Made anew for each scenario."""

    @property
    @abstractmethod
    def portal(self) -> BlockingPortal:
        """Into the loop in which the fleet is used."""

    @property
    @abstractmethod
    def executes_elsewhere(self) -> bool:
        """Whether jobs go on in another process when the one that asked for them ends."""

    @abstractmethod
    def model(self, told: Told) -> AbstractAsyncContextManager[ScriptedServer]:
        """The server of the script."""

    @abstractmethod
    def fleet(self, told: Told) -> AbstractAsyncContextManager[Door]:
        """The fleet, until the context is left; asks the script's server if that was opened."""

    @abstractmethod
    async def end(self) -> None:
        """End in order what of the fleet outlives scenarios; the next use starts it again."""

    @abstractmethod
    def apart(self, told: Told) -> Apart:
        """Run the plan in processes that can be killed."""

    @abstractmethod
    def looking(self, told: Told) -> AbstractAsyncContextManager[Kept]:
        """What is kept, whether or not the fleet runs."""

    @abstractmethod
    async def asked(self, door: Door, deliberation_id: str) -> Asked:
        """What the fleet's services say of a deliberation, each through its own door."""

    @abstractmethod
    async def pythons(self, door: Door) -> tuple[str, str]:
        """The versions that orchestrator and executor say they run on."""

    @abstractmethod
    def monitor(self, told: Told, door: Door) -> AbstractAsyncContextManager[str]:
        """The monitor of that fleet, until the context is left; its URL."""

    @abstractmethod
    def commanded(self, told: Told) -> Commanded:
        """What a command needs."""
