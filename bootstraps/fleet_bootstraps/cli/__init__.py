"""The command line `fleet`."""

import io
import sys

from fleet_bootstraps.cli.app import app


def main() -> None:
    """The entry point; the process ends with one of the exit codes of `cli.outcome`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an answer may hold what it cannot show
    app(prog_name="fleet")


__all__ = ["app", "main"]
