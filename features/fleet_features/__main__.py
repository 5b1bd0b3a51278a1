"""`python -m fleet_features --profile NAME-or-FILE [--set table.key=value] [-k ...]`.

Everything else given is pytest's own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main([str(Path(__file__).parent), *sys.argv[1:]]))
