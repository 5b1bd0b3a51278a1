"""Scopes: which kinds of things a role is told in a phase of the work.

The policy says for each phase what every role is told, and for single roles what they are told
instead. Anchors are always told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType

from fleet_core.domain.context import ANCHORS, ItemKind
from fleet_core.domain.council import role_name
from fleet_core.errors import InputError

_ALL = frozenset(ItemKind)
_TESTED = frozenset(
    {*ANCHORS, ItemKind.DEPENDENCY, ItemKind.AFFECTING, ItemKind.SIBLING, ItemKind.CONCURRENT}
)
_RELEASED = frozenset(
    {*ANCHORS, ItemKind.DEPENDENCY, ItemKind.AFFECTING, ItemKind.SUMMARY, ItemKind.TIMELINE}
)


@dataclass(frozen=True, slots=True)
class PhaseScopes:
    """What is told in one phase: to `roles` by name, to everybody else `others`."""

    others: frozenset[ItemKind]
    roles: Mapping[str, frozenset[ItemKind]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class ScopeReport:
    """What validating a wish for scopes found.

    Attributes:
        allowed: what the policy gives, in order of priority.
        missing: allowed, and not wished for.
        extra: wished for, and not allowed.
    """

    allowed: tuple[ItemKind, ...]
    missing: tuple[ItemKind, ...]
    extra: tuple[ItemKind, ...]

    @property
    def valid(self) -> bool:
        """Whether the wish is exactly what the policy gives."""
        return not self.missing and not self.extra


DEFAULT_SCOPES: Mapping[str, PhaseScopes] = MappingProxyType(
    {
        "design": PhaseScopes(_ALL),
        "build": PhaseScopes(_ALL),
        "test": PhaseScopes(_TESTED, {"ARCHITECT": _ALL}),
        "release": PhaseScopes(_RELEASED, {"ARCHITECT": _ALL, "DEVOPS": _ALL}),
    }
)
"""Who tests looks at what the task rests on, not at the story's past; who releases, not at what
others of the role once did."""


def allowed(
    phase: str, role: str, scopes: Mapping[str, PhaseScopes] = DEFAULT_SCOPES
) -> frozenset[ItemKind]:
    """The kinds of items that a role is told in a phase; anchors are always among them.

    Raises:
        InputError: there is no such phase; names those there are.
    """
    found = scopes.get(phase)
    if found is None:
        raise InputError(f"there is no phase {phase!r}", _offer(phase, scopes), field="phase")
    return found.roles.get(role_name(role), found.others) | frozenset(ANCHORS)


def validate(
    phase: str,
    role: str,
    wished: Iterable[str],
    *,
    roles: Collection[str],
    scopes: Mapping[str, PhaseScopes] = DEFAULT_SCOPES,
) -> ScopeReport:
    """Hold a wish for scopes to the policy.

    Args:
        phase: of the work.
        role: compared without case.
        wished: names of scopes, the values of `ItemKind`; repeats count once.
        roles: that have a council; others are refused.
        scopes: the policy.

    Raises:
        InputError: an unknown phase, role or scope; the closest known ones are offered.
    """
    name = role_name(role)
    if name not in roles:
        raise InputError(f"there is no role {role!r}", _offer(name, roles), field="role")
    given = allowed(phase, name, scopes)
    known = {kind.value: kind for kind in ItemKind}
    asked: set[ItemKind] = set()
    for index, scope in enumerate(wished):
        if scope not in known:
            raise InputError(
                f"there is no scope {scope!r}", _offer(scope, known), field=f"scopes[{index}]"
            )
        asked.add(known[scope])
    return ScopeReport(
        tuple(kind for kind in ItemKind if kind in given),
        tuple(kind for kind in ItemKind if kind in given - asked),
        tuple(kind for kind in ItemKind if kind in asked - given),
    )


def _offer(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, list(known), 3)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(sorted(known))}"
