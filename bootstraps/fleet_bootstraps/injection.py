"""dependency-injector, without what it imports only in case that somebody wants it.

Its providers look for pydantic and yaml, for a configuration provider that the fleet does not use:
a fifth of all that is imported to open a fleet.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType

_UNUSED = frozenset({"pydantic", "pydantic_settings", "yaml"})


class _NotFound:
    """A finder; `importlib.abc` has a base class for it, and takes 8 ms to import."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 -- the finders' protocol
        target: ModuleType | None = None,  # noqa: ARG002 -- as above
    ) -> ModuleSpec | None:
        if fullname in _UNUSED:
            raise ModuleNotFoundError(f"{fullname} is not used here", name=fullname)
        return None


@contextmanager
def _without_unused() -> Iterator[None]:
    """Let imports of what is unused fail; what was imported before stays."""
    finder = _NotFound()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


with _without_unused():
    from dependency_injector import containers, providers

__all__ = ["containers", "providers"]
