"""The commands and their options. Each imports what it needs when it is called.

`fleet --help` and shell completion load this module and nothing of the fleet behind it. It is long
because all command lines stand in it, one after the other, and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleet_bootstraps.cli.options import EMBEDDED, FLEET, AsJson, Home, Profile, Sets, Verbose
from fleet_bootstraps.cli.outcome import CODES, Exit, command

if TYPE_CHECKING:
    from fleet_bootstraps.cli.session import Session


def _group(name: str, help_: str) -> typer.Typer:
    return typer.Typer(name=name, help=help_, no_args_is_help=True, rich_markup_mode=None)


app = typer.Typer(
    name="fleet",
    help="Councils of AI agents that deliberate over software-engineering plans.",
    epilog=CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
profiles = _group("profiles", "Profiles: which adapter stands behind which port.")
plugins = _group("plugins", "Adapters of this environment.")
models = _group("models", "Model files.")
plans = _group("plan", "Plan files.")
dead = _group("dead", "Events that could not be handled.")
streams = _group("streams", "Streams of a bus on NATS.")
story = _group("story", "What the context graph keeps of stories.")
for group in (profiles, plugins, models, plans, dead, streams, story):
    app.add_typer(group)

PlanArgument = Annotated[
    str, typer.Argument(metavar="PLAN", help="A plan file (YAML or JSON), or a built-in name.")
]
_home: Path | None = None


def _session(profile: str, sets: list[str] | None) -> Session:
    from fleet_bootstraps.cli.session import session

    return session(profile, sets or (), _home)


def _again(plan: str, profile: str, sets: list[str]) -> str:
    """The command that goes on with a run."""
    import shlex

    home = ["--home", str(_home)] if _home is not None else []
    words = ["fleet", *home, "run", plan, "--profile", profile]
    return shlex.join([*words, *(word for entry in sets for word in ("--set", entry))])


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

    global _home  # noqa: PLW0603 -- a process has one command line; commands take no context
    _home = home
    configure(verbose)


@app.command(epilog=CODES)
@command
async def run(
    plan: PlanArgument,
    profile: Profile = EMBEDDED,
    sets: Sets = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Deliberate anew what is decided.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Show what agents say.")] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    monitor: Annotated[
        bool, typer.Option("--monitor", help="Serve the monitor too, until Ctrl-C.")
    ] = False,
) -> Exit:
    """Take an approved plan to recorded decisions.

    A run that was stopped goes on where it was; Ctrl-C stops one so that it can. A plan that is
    decided already says so and makes no call. Another process may run the same plan in the same
    FLEET_HOME: they share the work. Progress goes to stderr, the result to stdout, the report to
    FLEET_HOME/runs.
    """
    from fleet_bootstraps.cli.run import RunOptions
    from fleet_bootstraps.cli.run import run as work

    command = _again(plan, profile, sets or [])
    options = RunOptions(fresh, follow, as_json, quiet, monitor, command)
    return await work(_session(profile, sets), plan, options)


@app.command(epilog=CODES)
@command
async def submit(
    plan: PlanArgument,
    profile: Profile = FLEET,
    sets: Sets = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Deliberate anew what is decided.")
    ] = False,
    as_json: AsJson = False,
) -> Exit:
    """Hand an approved plan to a fleet that runs elsewhere, and end. `fleet watch` follows it."""
    from fleet_bootstraps.cli.submit import submit as work

    return await work(_session(profile, sets), plan, fresh=fresh, as_json=as_json)


@app.command(epilog=CODES)
@command
async def watch(
    plan: Annotated[
        str, typer.Argument(metavar="[PLAN]", help="A plan, or a plan's id: to its end.")
    ] = "",
    profile: Profile = FLEET,
    sets: Sets = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Everything that is kept, not only what comes.")
    ] = False,
    as_json: AsJson = False,
) -> Exit:
    """Follow what a fleet does: one plan to its end, or every event until Ctrl-C."""
    from fleet_bootstraps.cli.watch import watch as work

    return await work(_session(profile, sets), plan, from_start=from_start, as_json=as_json)


@app.command(epilog=CODES)
@command
async def up(
    profile: Profile = FLEET,
    sets: Sets = None,
    ports: Annotated[
        list[str] | None,
        typer.Option(
            "--port",
            metavar="NAME=PORT",
            help="Where nats, valkey, neo4j, ray, model or a service listens; 0: anywhere.",
        ),
    ] = None,
    gguf: Annotated[
        str, typer.Option("--gguf", metavar="FILE", help="Serve this model, not the default one.")
    ] = "",
    as_json: AsJson = False,
) -> Exit:
    """Run a whole fleet on this machine, servers included, until Ctrl-C or SIGTERM.

    Starts the servers that the profile needs and whose address nobody has set (NATS, Valkey, a
    model, Ray), then the services. What they keep lies in FLEET_HOME/stack.
    """
    from fleet_bootstraps.cli.up import up as work

    return await work(_session(profile, sets), sets or (), ports or (), gguf, as_json=as_json)


@app.command(epilog=CODES)
@command
async def serve(
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="orchestrator, executor, context or monitor.")
    ],
    profile: Profile = FLEET,
    sets: Sets = None,
    as_json: AsJson = False,
    log: Annotated[
        str,
        typer.Option(
            "--log", envvar="FLEET_LOG", help="text or json; without it json, text on a terminal."
        ),
    ] = "",
) -> Exit:
    """Run one service of the fleet until SIGTERM; says where it serves once it does."""
    from fleet_bootstraps.cli.serve import serve as work

    return await work(_session(profile, sets), service, as_json=as_json, log=log)


@app.command(epilog=CODES)
@command
async def monitor(
    what: Annotated[
        str, typer.Argument(metavar="[PLAN|FILE]", help="A plan to show; or an exported log.")
    ] = "",
    profile: Profile = EMBEDDED,
    sets: Sets = None,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Port 0 takes a free one.")
    ] = "",
    browser: Annotated[
        bool,
        typer.Option("--browser/--no-browser", help="Open a browser, where there is a screen."),
    ] = True,
    as_json: AsJson = False,
) -> Exit:
    """Serve the monitor of an embedded run, going on or finished, until Ctrl-C.

    With --profile fleet it shows the fleet of that profile, as `fleet serve monitor` does; with a
    file that `fleet export` wrote, what is in it.
    """
    from fleet_bootstraps.cli.monitor import monitor as work

    opened = _session(profile, sets)
    return await work(opened, what, listen=listen, browser=browser, as_json=as_json)


@app.command()
@command
async def export(
    plan: Annotated[
        str, typer.Argument(metavar="[PLAN]", help="A plan, or a plan's id; without, all.")
    ] = "",
    out: Annotated[str, typer.Option("--out", help="A file; - for stdout.")] = "-",
    profile: Profile = EMBEDDED,
    sets: Sets = None,
) -> Exit:
    """Write the event log as lines of JSON, which `fleet monitor FILE` shows."""
    from fleet_bootstraps.cli.export import export as work

    return await work(_session(profile, sets), plan, out)


@app.command()
@command
async def cancel(
    name: Annotated[
        str, typer.Argument(metavar="PLAN|ID", help="A plan, or a plan's or deliberation's id.")
    ],
    profile: Profile = EMBEDDED,
    sets: Sets = None,
    reason: Annotated[str, typer.Option("--reason", help="Kept with it.")] = "cancelled by hand",
    as_json: AsJson = False,
) -> Exit:
    """End a plan or a deliberation. Model calls under way in another process end by themselves."""
    from fleet_bootstraps.cli.cancel import cancel as work

    return await work(_session(profile, sets), name, reason, as_json=as_json)


@app.command()
@command
async def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="DELIBERATION", help="A deliberation's id, its beginning, or a task's id."
        ),
    ],
    plan: Annotated[str, typer.Option("--plan", help="The plan whose task is meant.")] = "",
    profile: Profile = EMBEDDED,
    sets: Sets = None,
    as_json: AsJson = False,
) -> Exit:
    """Show a deliberation: steps, proposals, critiques, ballots, evidence, ranking, decision."""
    from fleet_bootstraps.cli.show import show as work

    return await work(_session(profile, sets), name, plan, as_json=as_json)


@app.command()
@command
async def runs(profile: Profile = EMBEDDED, sets: Sets = None, as_json: AsJson = False) -> Exit:
    """List the plans that were run."""
    from fleet_bootstraps.cli.show import runs as work

    return await work(_session(profile, sets), as_json=as_json)


@app.command()
@command
async def councils(
    role: Annotated[str, typer.Option("--role", help="Of this role only.")] = "",
    profile: Profile = EMBEDDED,
    sets: Sets = None,
    as_json: AsJson = False,
) -> Exit:
    """List the agents of each role, with personas, models and sampling."""
    from fleet_bootstraps.cli.councils import councils as work

    return await work(_session(profile, sets), role, as_json=as_json)


@app.command()
@command
async def context(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task's id.")],
    plan: Annotated[str, typer.Option("--plan", help="The plan it belongs to.")],
    role: Annotated[str, typer.Option("--role", help="By default the task's own.")] = "",
    phase: Annotated[str, typer.Option("--phase", help="By default the task's own.")] = "",
    profile: Profile = EMBEDDED,
    sets: Sets = None,
    as_json: AsJson = False,
) -> Exit:
    """Print the context pack of a task and its ledger; runs nothing."""
    from fleet_bootstraps.cli.context import context as work

    return await work(_session(profile, sets), task, role, plan, phase=phase, as_json=as_json)


@app.command("report-schema")
@command
def report_schema() -> Exit:
    """Print the JSON schema of report.json."""
    from fleet_bootstraps.cli.output import emit
    from fleet_bootstraps.report.schema import report_schema as schema

    emit(schema())
    return Exit.DONE


@profiles.command("list")
@command
def list_profiles(as_json: AsJson = False) -> Exit:
    """List the built-in profiles."""
    from fleet_bootstraps.cli.profiles import list_profiles as work

    return work(as_json=as_json)


@profiles.command("show")
@command
def show_profile(
    name: Annotated[str, typer.Argument(help="A profile's name, or a TOML file.")] = EMBEDDED,
    sets: Sets = None,
    as_json: AsJson = False,
) -> Exit:
    """Show every setting of a profile, and where it was given. Secrets are never shown."""
    from fleet_bootstraps.cli.profiles import show_profile as work

    return work(_session(name, sets), as_json=as_json)


@plugins.command("list")
@command
def list_plugins(
    load: Annotated[bool, typer.Option("--load", help="Load each, to see what is broken.")] = False,
    as_json: AsJson = False,
) -> Exit:
    """List every adapter, by port."""
    from fleet_bootstraps.cli.plugins import list_plugins as work

    return work(load=load, as_json=as_json)


@plugins.command("new")
@command
def new_plugin(
    name: Annotated[str, typer.Argument(help="The adapter's name, e.g. tape.")],
    port: Annotated[str, typer.Option("--port", help="The port it stands behind.")],
    folder: Annotated[Path, typer.Option("--folder", help="Where to make it.")] = Path(),
    as_json: AsJson = False,
) -> Exit:
    """Write the start of an adapter: a distribution that is green from its first test."""
    from fleet_bootstraps.cli.plugins import new

    return new(name, port, folder, as_json=as_json)


@models.command("pull")
@command
async def pull_model(
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME/FILE")],
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="The hub, in place of HF_ENDPOINT.")
    ] = None,
    as_json: AsJson = False,
) -> Exit:
    """Fetch a model file from a hub that speaks the Hugging Face protocol; resumable."""
    from fleet_bootstraps.cli.models import pull

    return await pull(name, _home, endpoint, as_json=as_json)


@models.command("fetch")
@command
async def fetch_model(as_json: AsJson = False) -> Exit:
    """Fetch the default model, at its pinned checksum."""
    from fleet_bootstraps.cli.models import fetch

    return await fetch(_home, as_json=as_json)


@plans.command("check")
@command
def check_plan(
    plan: PlanArgument, profile: Profile = EMBEDDED, sets: Sets = None, as_json: AsJson = False
) -> Exit:
    """Say whether a plan is in order for a profile's councils; runs nothing."""
    from fleet_bootstraps.cli.plans import check

    return check(_session(profile, sets), plan, as_json=as_json)


@plans.command("schema")
@command
def plan_schema() -> Exit:
    """Print the JSON schema of plan files."""
    from fleet_bootstraps.cli.plans import schema

    return schema()


StoryArgument = Annotated[str, typer.Argument(metavar="STORY", help="A story's name.")]


@story.command("list")
@command
async def list_stories(
    profile: Profile = EMBEDDED, sets: Sets = None, as_json: AsJson = False
) -> Exit:
    """List the stories that are kept."""
    from fleet_bootstraps.cli.story import list_stories as work

    return await work(_session(profile, sets), as_json=as_json)


@story.command("export")
@command
async def export_story(
    name: StoryArgument,
    out: Annotated[str, typer.Option("--out", help="A file; - for stdout.")] = "-",
    profile: Profile = EMBEDDED,
    sets: Sets = None,
) -> Exit:
    """Write plans and decisions of a story as JSON lines."""
    from fleet_bootstraps.cli.story import export as work

    return await work(_session(profile, sets), name, out)


@story.command("import")
@command
async def import_story(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file; - for stdin.")],
    profile: Profile = EMBEDDED,
    sets: Sets = None,
    as_json: AsJson = False,
) -> Exit:
    """Record what an exported file holds; what is known already stays as it is."""
    from fleet_bootstraps.cli.story import import_ as work

    return await work(_session(profile, sets), file, as_json=as_json)


@story.command("prune")
@command
async def prune_story(
    name: StoryArgument,
    before: Annotated[str, typer.Option("--before", help="A day or time in UTC.")],
    profile: Profile = EMBEDDED,
    sets: Sets = None,
    as_json: AsJson = False,
) -> Exit:
    """Drop superseded decisions recorded before that; current ones stay, and packs with them."""
    from fleet_bootstraps.cli.story import prune as work

    return await work(_session(profile, sets), name, before, as_json=as_json)


@dead.command("list")
@command
async def list_dead(
    profile: Profile = EMBEDDED,
    sets: Sets = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also those that were replayed or discarded.")
    ] = False,
    as_json: AsJson = False,
) -> Exit:
    """List events that could not be handled, with the reason."""
    from fleet_bootstraps.cli.dead import list_dead as work

    return await work(_session(profile, sets), every=every, as_json=as_json)


LetterArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[LETTER]...", help="Positions in the list, or events' ids."),
]


@dead.command("show")
@command
async def show_dead(
    letter: Annotated[str, typer.Argument(help="A position in the list, or an event's id.")],
    profile: Profile = EMBEDDED,
    sets: Sets = None,
    as_json: AsJson = False,
) -> Exit:
    """Show a dead letter whole, with the event in it."""
    from fleet_bootstraps.cli.dead import show_dead as work

    return await work(_session(profile, sets), letter, as_json=as_json)


@dead.command("replay")
@command
async def replay_dead(
    letters: LetterArguments = None,
    profile: Profile = EMBEDDED,
    sets: Sets = None,
    every: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also what was replayed or discarded before.")
    ] = False,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to see whether it comes back.")
    ] = 2.0,
    as_json: AsJson = False,
) -> Exit:
    """Hand events out again, as ID~replay:N, to all who consume them.

    Exit code 1 where one was refused, or is a dead letter again.
    """
    from fleet_bootstraps.cli.dead import replay_dead as work

    opened = _session(profile, sets)
    return await work(
        opened, letters or (), every=every, again=again, wait_s=wait_s, as_json=as_json
    )


@dead.command("discard")
@command
async def discard_dead(
    letters: LetterArguments = None,
    profile: Profile = EMBEDDED,
    sets: Sets = None,
    every: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Kept with them.")] = "",
    as_json: AsJson = False,
) -> Exit:
    """Take dead letters off the list; the log keeps them until they age out."""
    from fleet_bootstraps.cli.dead import discard_dead as work

    return await work(_session(profile, sets), letters or (), reason, every=every, as_json=as_json)


@streams.command("diff")
@command
async def diff_streams(
    profile: Profile = FLEET, sets: Sets = None, as_json: AsJson = False
) -> Exit:
    """List what differs from the streams as the fleet wants them: exit code 1 where any does."""
    from fleet_bootstraps.cli.streams import show_differences

    return await show_differences(_session(profile, sets), as_json=as_json)


@streams.command("apply")
@command
async def apply_streams(
    profile: Profile = FLEET, sets: Sets = None, as_json: AsJson = False
) -> Exit:
    """Create the streams that are missing and change those that differ; lists what was changed."""
    from fleet_bootstraps.cli.streams import apply

    return await apply(_session(profile, sets), as_json=as_json)
