"""The command line `fleet`."""

from fleet_bootstraps.cli.app import app


def main() -> None:
    """The entry point; the process ends with one of the exit codes of `cli.outcome`."""
    app(prog_name="fleet")


__all__ = ["app", "main"]
