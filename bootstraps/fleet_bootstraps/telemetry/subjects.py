"""Names of subjects that are few: what tasks and agents make of them is left out."""

from __future__ import annotations

from fleet_core.domain.events import (
    CONTEXT_UPDATED,
    DEAD,
    DELIBERATION,
    PLAN_APPROVED,
    PLAN_CANCELLED,
    RESULTS,
)

_WHOLE = (PLAN_APPROVED, PLAN_CANCELLED, CONTEXT_UPDATED)


def family(subject: str) -> str:
    """The subject, or what it begins with; `other` for those of nobody here."""
    if subject in _WHOLE or subject.startswith(f"{DELIBERATION}."):
        return subject
    return next((known for known in (RESULTS, DEAD) if subject.startswith(f"{known}.")), "other")
