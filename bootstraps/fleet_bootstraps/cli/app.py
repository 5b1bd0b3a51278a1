"""The commands and their options. Each imports what it needs when it is called.

`fleet --help` and shell completion load this module and nothing of the fleet behind it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleet_bootstraps.cli.options import EMBEDDED, AsJson, Home, Profile, Sets, Verbose
from fleet_bootstraps.cli.outcome import CODES, Exit, command

app = typer.Typer(
    name="fleet",
    help="Councils of AI agents that deliberate over software-engineering plans.",
    epilog=CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
)
_home: Path | None = None


def _version(wanted: bool) -> None:
    if wanted:
        from fleet_core import __version__

        typer.echo(f"fleet {__version__}")
        raise typer.Exit


@app.callback()
def root(
    home: Home = None,
    verbose: Verbose = 0,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and end.")
    ] = False,
) -> None:
    """Options of every command."""
    from fleet_bootstraps.cli.logs import configure

    global _home  # noqa: PLW0603 -- one command line a process; commands get no context object
    _home = home
    configure(verbose)


@app.command(epilog=CODES)
@command
async def run(
    plan: Annotated[str, typer.Argument(help="A plan file (YAML or JSON), or a built-in name.")],
    profile: Profile = EMBEDDED,
    sets: Sets = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Deliberate anew what is decided.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Show what agents say.")] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> Exit:
    """Take an approved plan to recorded decisions; goes on with a run that was stopped."""
    from fleet_bootstraps.cli.run import RunOptions
    from fleet_bootstraps.cli.run import run as work
    from fleet_bootstraps.cli.session import session

    options = RunOptions(fresh, follow, as_json, quiet)
    return await work(session(profile, sets or (), _home), plan, options)
