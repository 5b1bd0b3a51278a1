"""Contract suites: what every adapter of a port must do, as test classes to subclass."""

from __future__ import annotations

import pkgutil

import pytest

# So that a failing assertion of a suite shows both sides, as one in the author's own tests does.
pytest.register_assert_rewrite(
    *(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
)
