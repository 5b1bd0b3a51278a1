"""Makes a driver believe that it runs other versions: JSON in FLEET_TEST_SKEW."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys

_given = json.loads(os.environ.get("FLEET_TEST_SKEW", "{}"))
_version = importlib.metadata.version

if _given and "fleet_adapters.ray.driver" in sys.orig_argv:
    importlib.metadata.version = lambda distribution_name: str(
        _given.get(distribution_name) or _version(distribution_name)
    )
    if "python" in _given:
        platform.python_version = lambda: _given["python"]
    if "fleet" in _given:
        import fleet_core

        fleet_core.__version__ = _given["fleet"]
