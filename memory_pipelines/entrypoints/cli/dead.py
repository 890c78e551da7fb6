"""`dead`: what failed for a reason of its own and is parked: list, show, retry, drop.

To add a command, see the docstring of this package. Must stay out: what a retry or a drop means (`services/dead_letters.py`).
"""

from __future__ import annotations

from typing import Annotated

import typer

from memory_pipelines.domain.dead_letters import EVENT, DeadLetter, Released
from memory_pipelines.entrypoints import errors
from memory_pipelines.entrypoints.cli import options, output, panels, units
from memory_pipelines.entrypoints.cli.session import open_client
from memory_pipelines.entrypoints.cli.sync import Projection

app = typer.Typer()
dead = typer.Typer(
    no_args_is_help=True,
    help="See, retry or drop what failed for a reason of its own: rows that are parked, and events that could not be read.",
    epilog=options.examples(
        "memory-pipelines dead list", "memory-pipelines dead retry --all", "memory-pipelines dead show event:12 --json"
    ),
    rich_help_panel=panels.REPAIR,
)
app.add_typer(dead, name="dead", rich_help_panel=panels.REPAIR)

Names = Annotated[list[str] | None, typer.Argument(help="projection:kind:id or event:number, as `dead list` shows them.", metavar="NAME…")]
Only = Annotated[Projection | None, typer.Option("--projection", "-p", help="Only what is parked for this projection.")]


@dead.command("list", epilog=options.examples("memory-pipelines dead list", "memory-pipelines dead list --projection graph --json"))
def list_(
    projection: Only = None,
    limit: options.Limit = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Continue after the page before.")] = None,
    json: options.Json = False,
) -> None:
    """List what is parked or given up, the longest owed first; then events that could not be read."""
    with open_client() as client:
        page = client.dead_letters(projection=projection.value if projection else None, limit=limit, cursor=cursor)
    if json:
        output.document({"letters": list(page), "cursor": page.cursor})
        return
    if not page.letters:
        where = f" for {projection.value}" if projection else ""
        output.say(f"Nothing is parked or given up{where}, and every event could be read. What is owed: memory-pipelines status")
        return
    for letter in page:
        show_briefly(letter)
    output.say("To try again: memory-pipelines dead retry NAME…; to give up knowingly: memory-pipelines dead drop NAME…")
    if page.cursor:
        output.note(f"There may be more: --cursor {page.cursor}")


@dead.command(epilog=options.examples("memory-pipelines dead show graph:memory:019a…", "memory-pipelines dead show event:12 --json"))
def show(
    name: Annotated[str, typer.Argument(help="A name as `dead list` shows it, or an id for all that is parked of it.")],
    json: options.Json = False,
) -> None:
    """Show all that is known of one: reason, attempts, times, tokens spent, and what an event held."""
    with open_client() as client:
        letters = client.dead_letter(name)
    if json:
        output.document({"letters": list(letters)})
        return
    for letter in letters:
        facts = {field: getattr(letter, field) for field in letter.__dataclass_fields__}
        rows = [(field.replace("_", " "), output.visible(str(value))) for field, value in facts.items() if value is not None]
        output.table(letter.name, ("what", "value"), rows)


@dead.command(
    epilog=options.examples(
        "memory-pipelines dead retry entities:memory:019a…", "memory-pipelines dead retry --all --projection graph --json"
    )
)
def retry(
    names: Names = None,
    everything: Annotated[bool, typer.Option("--all", help="All that nobody has given up.")] = False,
    projection: Only = None,
    accept_empty: Annotated[
        bool, typer.Option("--accept-empty", help="Let an extraction that finds nothing replace what the same text gave before.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Try again: rows are owed to the next drain, events that can be read by now are published again."""
    with open_client() as client:
        done = client.retry_dead(
            *(names or ()), projection=projection.value if projection else None, all_of_them=everything, accept_empty=accept_empty
        )
    _report(done, "owed again", " To try them now: memory-pipelines sync", json)


@dead.command(epilog=options.examples("memory-pipelines dead drop graph:memory:019a…", "memory-pipelines dead drop event:12 --json"))
def drop(names: Names = None, json: options.Json = False) -> None:
    """Give up knowingly. A row stays parked, through every repair, and audits go on naming it; an event is deleted."""
    with open_client() as client:
        done = client.drop_dead(*(names or ()))
    _report(done, "given up", " Audits go on naming rows.", json)


def show_briefly(letter: DeadLetter) -> None:
    """A dead letter in a few lines: a table of names this long would fit no terminal."""
    from rich.text import Text

    state = "given up" if letter.dropped_at else "cannot be read" if letter.kind == EVENT else "parked"
    spent = f", {units.count(letter.tokens_spent, 'token')} spent" if letter.tokens_spent else ""
    failed = f"{state} after {units.count(letter.attempts, 'attempt')}{spent}, last {letter.last_failed_at:%Y-%m-%d %H:%M:%S} UTC"
    reason = f"{letter.code}: {output.cut(letter.reason, 160)}"
    output.results().print(Text.assemble((output.visible(letter.name, line=True), "bold"), f"\n  {failed}\n  {reason}\n"))


def _report(done: Released, what: str, next_command: str, json: bool) -> None:
    """Exits with 1 when a name was unknown or an event is still not understood."""
    if json:
        output.document(done)
    else:
        after = next_command if done.rows or done.events else ""
        output.say(f"{units.count(done.rows, 'row')} and {units.count(done.events, 'event')} {what}.{after}")
        for name in done.unknown:
            output.note(f"Nothing is parked under {output.shown(name, line=True)}.")
        for name in done.unreadable:
            output.note(f"{output.shown(name, line=True)} still cannot be read.")
    if done.unknown or done.unreadable:
        raise typer.Exit(errors.FAILED)
