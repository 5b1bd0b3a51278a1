"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Profile = Annotated[
    str,
    typer.Option(
        "--profile", "-p", envvar="FLEET_PROFILE", help="A profile's name, or a TOML file."
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Lay a setting over the profile."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Home = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", help="Where things are kept, in place of FLEET_HOME."),
]
Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="Say more on stderr; twice: still more.")
]
EMBEDDED = "embedded"
FLEET = "fleet"
