"""What the contract leaves open, as our own buses decide it."""

from __future__ import annotations

from fleet_adapters.delivery import Ledger, Owed, wants
from fleet_core.domain.events import Event
from fleet_core.ports.event_bus import Subscription

_TERMS = Subscription("d", ("context.updated",), ack_wait_ms=1000, max_deliver=2)


def _ledger(*positions: int) -> Ledger:
    ledger = Ledger(0)
    for position in positions:
        ledger.offer(position, Event(str(position), "context.updated", {}))
        ledger.cursor = position
    return ledger


def _taken(ledger: Ledger, now: float, holder: object) -> Owed:
    owed = ledger.take(now, _TERMS, holder)
    assert owed is not None
    return owed


def test_a_last_attempt_cut_short_by_leaving_is_made_good() -> None:
    ledger = _ledger(1)
    for attempt in (1, 2, 2, 2):
        assert _taken(ledger, 0.0, "a").attempt == attempt
        ledger.release("a")
    assert list(ledger.unfinished()) == [1]


def test_leaving_returns_only_what_the_leaver_held() -> None:
    ledger = _ledger(1, 2)
    _taken(ledger, 0.0, "a")
    _taken(ledger, 0.0, "b")
    ledger.release("a")
    assert ledger.out == 1
    assert _taken(ledger, 0.0, "c").position == 1
    assert ledger.take(0.0, _TERMS, "c") is None


def test_a_late_ack_ends_what_another_has_by_now() -> None:
    ledger = _ledger(1)
    _taken(ledger, 0.0, "a")
    ledger.expire(1.0, _TERMS)
    _taken(ledger, 1.0, "b")
    assert ledger.end(1)
    assert not ledger.end(1)
    assert (ledger.out, dict(ledger.unfinished())) == (0, {})


def test_a_late_nak_is_of_no_effect() -> None:
    ledger = _ledger(1)
    owed = _taken(ledger, 0.0, "a")
    stamp = owed.stamp
    ledger.expire(1.0, _TERMS)
    _taken(ledger, 1.0, "b")
    ledger.return_(owed, stamp, 1.0, _TERMS)
    assert ledger.out == 1
    assert list(ledger.unfinished()) == [1]


def test_a_slow_event_holds_back_no_bookkeeping() -> None:
    ledger = _ledger(*range(1, 1001))
    _taken(ledger, 0.0, "slow")
    for position in range(2, 1001):
        _taken(ledger, 0.0, "fast")
        ledger.end(position)
    assert ledger.cursor == 1000
    assert dict(ledger.unfinished()) == {1: 1}


def test_answers_about_subjects_are_bounded() -> None:
    ask = wants(("agent.results.*",))
    assert all(ask(f"agent.results.{n}") for n in range(10_000))
    assert not ask("agent.results.a.b")
