"""What is off costs nothing: it is not even imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PROGRAM = """
import sys
sys.argv = ["fleet", *{arguments!r}]
from fleet_bootstraps.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *(n for n in ("prometheus_client", "opentelemetry", "grpc") if n in sys.modules))
"""


def loaded(program: str) -> list[str]:
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return ended.stdout.splitlines()[-1].split()[1:]


def test_a_run_in_one_process_loads_neither_metrics_nor_traces(
    home: Path, plan: Callable[..., str], script: Callable[..., tuple[str, ...]]
) -> None:
    arguments = ["run", plan(), "--profile", "embedded", "--quiet", *script()]
    assert loaded(PROGRAM.format(arguments=arguments)) == []


def test_a_service_that_is_not_watched_loads_neither() -> None:
    program = """
import fleet_bootstraps.cli.serve, fleet_bootstraps.services.running, sys
print("LOADED", *(n for n in ("prometheus_client", "opentelemetry") if n in sys.modules))
"""
    assert loaded(program) == []
