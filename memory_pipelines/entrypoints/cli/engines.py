"""`up`, `down`, `migrate`: the embedded engines, and the schema.

To add a command, see the docstring of this package. Must stay out: how engines are run (`embedded/`).
"""

from __future__ import annotations

from typing import Annotated

import typer

from memory_pipelines.entrypoints.cli import options, output, panels, running
from memory_pipelines.entrypoints.cli.session import open_platform

app = typer.Typer()
PANEL = panels.OPERATIONS


@app.command(rich_help_panel=PANEL, epilog=options.examples("memory-pipelines up", "MEMORY_HOME=~/memories memory-pipelines up --json"))
def up(json: options.Json = False) -> None:
    """Start the embedded engines that have no URL. They run until [bold]down[/bold]; other commands start them by themselves."""
    from memory_pipelines import embedded, wiring
    from memory_pipelines.config import load

    settings = load()
    wanted = wiring.embedded_engines(settings)
    if wanted:
        embedded.up(settings.home_path, wanted)
    found = embedded.status(settings.home_path) if wanted else {}
    rows = {name: {"running": found[name].running, "pid": found[name].pid, "address": found[name].address} for name in wanted}
    if json:
        output.document({"home": str(settings.home_path), "engines": rows})
    elif rows:
        output.table(
            None, ("engine", "runs", "pid", "address"), [(name, "yes", str(row["pid"]), row["address"]) for name, row in rows.items()]
        )
    else:
        output.say("Every engine has a URL: there is nothing to start.")


@app.command(rich_help_panel=PANEL, epilog=options.examples("memory-pipelines down"))
def down(json: options.Json = False) -> None:
    """Stop the embedded engines. The data stay in MEMORY_HOME. Beside a [bold]dev[/bold] that runs it does nothing and says so."""
    from memory_pipelines import embedded
    from memory_pipelines.config import load

    settings = load()
    running.refuse_beside(settings.home_path / "dagster")
    stopped = embedded.down(settings.home_path)
    if json:
        output.document({"home": str(settings.home_path), "stopped": stopped})
    else:
        output.say(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")


@app.command(rich_help_panel=PANEL, epilog=options.examples("memory-pipelines migrate", "memory-pipelines migrate --end-user-reads"))
def migrate(
    end_user_reads: Annotated[
        bool | None,
        typer.Option(
            "--end-user-reads/--no-end-user-reads",
            help="Let the tokens of a Supabase project's end users read, over REST, the one namespace that they claim; or take that back.",
            show_default="as it is",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Bring the record's schema and the graph's indexes up to this release. Repeating it changes nothing."""
    from memory_pipelines import wiring
    from memory_pipelines.stores.postgres import migrate as schema

    with open_platform() as platform:
        done = schema.migrate(wiring.database_url(platform.settings), end_user_reads=end_user_reads)
        platform.graph.prepare()
    if json:
        output.document(
            {"applied": done.applied, "version": done.version, "functions": done.functions, "end_user_reads": done.end_user_reads}
        )
        return
    output.say(f"Applied: {', '.join(done.applied)}." if done.applied else "The schema was already that of this release.")
    output.say(f"The record has schema {done.version}; the graph has its indexes.")
    if done.end_user_reads:
        output.say("End users' tokens may read the namespace that they claim.")
