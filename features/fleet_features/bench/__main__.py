"""`python -m fleet_features.bench NAME`: run one benchmark, alone on the machine."""

from __future__ import annotations

import argparse
import importlib
import sys

BENCHES = ("overhead", "chain", "executor", "words", "hydrate", "monitor", "context-value")


def main() -> int:
    """Run it; the exit code is 1 where a bar does not hold."""
    parser = argparse.ArgumentParser(prog="python -m fleet_features.bench", description=__doc__)
    parser.add_argument("name", choices=BENCHES)
    parser.add_argument("--rounds", type=int, default=5, help="at least 5 for a figure to quote")
    given, rest = parser.parse_known_args()
    bench = importlib.import_module(f"fleet_features.bench.{given.name.replace('-', '_')}")
    if hasattr(bench, "main"):  # it has options of its own
        return int(bench.main(rest))
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return int(bench.run(given.rounds))


if __name__ == "__main__":
    sys.exit(main())
