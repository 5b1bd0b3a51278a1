"""The metrics of a service. What each means stands in its help text, and in the README.

Labels have few values: no ids, no texts. Durations are in seconds.
"""

from __future__ import annotations

import math
import platform

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

import fleet_core

_QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)


class Meters:
    """Each attribute is one metric; all of them are in `registry`.

    Args:
        service: which one.
        executes: whether jobs are run in this process: then there are metrics of them.
        deliberates: whether deliberations are driven in it.

    `when_scraped` names the metrics that are asked for only then, `labels` the labels of each.
    """

    def __init__(self, service: str, *, executes: bool, deliberates: bool) -> None:
        self.registry = CollectorRegistry()
        self.labels: dict[str, tuple[str, ...]] = {}
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        about = {
            "service": service,
            "version": fleet_core.__version__,
            "python": platform.python_version(),
        }
        self._gauge("fleet_service", "1, with what runs here.", *about).labels(**about).set(1)
        self.when_scraped: set[str] = set()
        self.ready = self._asked_for(
            "fleet_ready", "1 while what it needs answers and it is not stopping, else 0."
        )
        self.rpcs = self._histogram(
            "fleet_rpc_duration_seconds",
            "RPCs served, from their begin to their last answer.",
            _QUICK,
            "service",
            "method",
            "code",
        )
        self._bus()
        self._store()
        self.executes, self.deliberates = executes, deliberates
        if executes:
            self._jobs()
        if deliberates:
            self._deliberations()

    def _bus(self) -> None:
        self.published = self._counter(
            "fleet_events_published", "Events handed to the bus, and kept.", "subject"
        )
        self.publishing = self._histogram(
            "fleet_publish_duration_seconds",
            "From handing events to the bus to its answer that they are kept.",
            _QUICK,
            "outcome",
        )
        self.consumed = self._counter(
            "fleet_events_consumed",
            "Deliveries settled: ack done, nak again later, term given up.",
            "durable",
            "settled",
        )
        self.redelivered = self._counter(
            "fleet_events_redelivered", "Deliveries that were not the event's first.", "durable"
        )
        self.handling = self._histogram(
            "fleet_event_handling_seconds",
            "From the hand-out of an event to its settling.",
            _QUICK,
            "durable",
        )

    def _store(self) -> None:
        self.storing = self._histogram(
            "fleet_store_duration_seconds",
            "Questions to the state store; `joined` commits documents and events together.",
            _QUICK,
            "call",
            "outcome",
        )
        self.conflicts = self._counter(
            "fleet_store_conflicts",
            "Compare-and-sets that another process had won, by kind of document.",
            "documents",
        )

    def _jobs(self) -> None:
        self.jobs = self._histogram(
            "fleet_job_duration_seconds",
            "Jobs that the runner ended, the wait for a free slot included.",
            _LONG,
            "work",
            "outcome",
            "code",
        )
        self.calls = self._histogram(
            "fleet_model_call_duration_seconds",
            "Model calls where they were made, retries included.",
            _LONG,
            "binding",
            "outcome",
        )
        self.attempts = self._counter(
            "fleet_model_attempts", "Requests to models, retries counted.", "binding"
        )
        self.tokens = self._counter(
            "fleet_tokens", "Tokens that model calls used, of failed ones too.", "binding", "kind"
        )
        self.cost = self._counter(
            "fleet_cost_usd", "What model calls cost by the profile's prices.", "binding"
        )
        self.journal_hits = self._counter(
            "fleet_journal_hits", "Jobs that were found in the journal, and not run again."
        )
        self.slots = self._asked_for(
            "fleet_runner_slots", "Jobs the runner can run at once; asked when scraped."
        )
        self.running = self._asked_for(
            "fleet_runner_running", "Jobs the runner runs; asked when scraped."
        )
        self.waiting = self._asked_for(
            "fleet_runner_waiting", "Jobs that wait for a slot; asked when scraped."
        )
        self.nodes = self._asked_for(
            "fleet_runner_nodes", "The runner's machines; asked when scraped."
        )

    def _deliberations(self) -> None:
        self.asked = self._histogram(
            "fleet_executor_call_duration_seconds",
            "Calls of the executor, wherever it runs.",
            _QUICK,
            "call",
            "outcome",
        )
        self.completed = self._counter(
            "fleet_deliberations_completed",
            "Deliberations whose end this process published.",
            "outcome",
            "standing",
        )
        self.deliberating = self._histogram(
            "fleet_deliberation_duration_seconds",
            "From start to end, of those that this process both began and ended.",
            _LONG,
            "outcome",
        )
        self.open = self._asked_for(
            "fleet_deliberations_open",
            "Deliberations of the whole fleet that have not ended; counted when scraped.",
        )
        self.plans_open = self._asked_for(
            "fleet_plans_open", "Plans of the whole fleet under way; counted when scraped."
        )
        self.dead = self._gauge(
            "fleet_dead_letters",
            "Dead letters of the whole fleet, counted in the log from the oldest kept one on.",
            "durable",
        )

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        self.labels[name] = labels
        return Counter(name, about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        self.labels[name] = labels
        return Gauge(name, about, labels, registry=self.registry)

    def _asked_for(self, name: str, about: str) -> Gauge:
        """One that nobody keeps up to date: not a number until somebody scrapes."""
        self.when_scraped.add(name)
        gauge = self._gauge(name, about)
        gauge.set(math.nan)
        return gauge

    def _histogram(
        self, name: str, about: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        self.labels[name] = labels
        return Histogram(name, about, labels, buckets=buckets, registry=self.registry)
