"""The default model, fetched once for all runs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from fleet_adapters.llamacpp.default_model import ensure_default_model


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """FLEET_TEST_MODELS, else a folder in the user's cache."""
    named = os.environ.get("FLEET_TEST_MODELS")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(named) if named else cache / "swe-ai-fleet" / "models"


@pytest.fixture(scope="session")
def gguf(models_dir: Path) -> Path:
    return asyncio.run(ensure_default_model(models_dir))
