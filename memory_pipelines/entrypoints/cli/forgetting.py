"""`forget`: one memory, a namespace, or what is chosen of it, asked about first.

Must stay out: what forgetting is (`services/forgetting.py`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memory_pipelines.entrypoints.cli import options, output, units
from memory_pipelines.entrypoints.cli.memories import PANEL, one_of
from memory_pipelines.entrypoints.cli.session import open_client

if TYPE_CHECKING:
    from memory_pipelines.client import MemoryClient

app = typer.Typer()


@app.command(
    rich_help_panel=PANEL,
    epilog=options.examples(
        "memory-pipelines forget 0198c7a2-5d3e-7c41-9f6b-2f1d7f0a9c55",
        "memory-pipelines forget --key home --namespace mara --wait all",
        "memory-pipelines forget --namespace mara --thread monday",
        """memory-pipelines forget --namespace mara --metadata '{"topic": "food"}' --before 2026-01-01 --yes""",
        "memory-pipelines forget --namespace mara --yes",
    ),
)
def forget(
    id: Annotated[str | None, typer.Argument(help="Its id; or use --key; or --namespace for many.")] = None,  # noqa: A002
    key: options.Key = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Of the key; without one, everything in it.")] = None,
    thread: Annotated[str | None, typer.Option("--thread", help="Of the namespace, only this conversation.")] = None,
    metadata: Annotated[str | None, typer.Option("--metadata", "-m", help="Only memories that have these pairs.", metavar="JSON")] = None,
    before: Annotated[
        str | None, typer.Option("--before", help="Only memories created before: ISO 8601 with a zone, or a date.", metavar="TIME")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask: how many it is has been seen.")] = False,
    wait: options.WaitFor = options.Wait.none,
    timeout: options.Timeout = None,
    json: options.Json = False,
) -> None:
    """Forget one memory, or of a namespace all or some: text, history, vectors and graph. It cannot be undone.

    Of a namespace the number is shown first, and asked about; where nobody can be asked, --yes is needed.
    """
    chosen: dict[str, Any] = {"thread": thread, "metadata": options.json_object(metadata), "before": before}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    many = id is None and key is None and namespace is not None
    if chosen and not many:
        raise typer.BadParameter("they choose among the memories of a namespace", param_hint="--thread, --metadata, --before")
    if not many:
        one_of(id, key)
        if id is not None and namespace is not None:
            raise typer.BadParameter("an id needs no namespace", param_hint="--namespace")
    with open_client() as client:
        if many and not yes:
            _ask(client, str(namespace), chosen)
        result = client.forget(id, key=key, namespace=namespace, **chosen, wait=wait.value, timeout=timeout)
    if json:
        output.document({"forgotten": result.forgotten, "ids": result.ids, "at": result.at})
    elif result.forgotten:
        follows = "the graph follows with the next sync" if wait is options.Wait.none else "the graph has followed"
        output.say(f"Forgotten: {units.count(result.forgotten, 'memory')}. Gone from text, history and vectors; {follows}.")
    else:
        output.say("Nothing was left to forget.")


def _ask(client: MemoryClient, namespace: str, chosen: dict[str, Any]) -> None:
    """Show how many it is, and go on only with a yes."""
    count = client.count(namespace=namespace, **chosen)
    what = f"{count:,} memories of {namespace!r}{', those chosen,' if chosen else ', all that it holds,'} would be forgotten"
    if output.wants_document() or not sys.stdin.isatty():
        raise typer.BadParameter(f"{what}: say --yes where nobody can be asked", param_hint="--namespace")
    output.note(output.shown(f"{what}."))
    if count:
        typer.confirm("Forget them? It cannot be undone.", abort=True, err=True)
