"""`entities`: which entities are one, and who names them how.

To add a command, see the docstring of this package. Must stay out: deciding which entities are one.
"""

from __future__ import annotations

from typing import Annotated

import typer

from memory_pipelines.entrypoints.cli import options, output, panels, units
from memory_pipelines.entrypoints.cli.session import open_client

app = typer.Typer()
PANEL = panels.FINDING
entities = typer.Typer(
    help="Merge entities that are one, take that back, and see who names them how.",
    epilog=options.examples('memory-pipelines entities merge "Bob" "Robert Hale"', "memory-pipelines entities aliases --json"),
)
app.add_typer(entities, name="entities", rich_help_panel=PANEL)
Name = Annotated[str, typer.Argument(help="A person, place, organisation, …")]


@entities.command(
    epilog=options.examples(
        'memory-pipelines entities merge "Bob" "Robert Hale" --namespace mara',
        'memory-pipelines entities merge "Bob" "Robert Hale" -n mara --by "mara, on the phone" --json',
    )
)
def merge(
    name: Name,
    into: Annotated[str, typer.Argument(help="The entity that it is shown as from now on.")],
    namespace: options.Namespace = "default",
    by: Annotated[str | None, typer.Option("--by", help="Who says so, or why.")] = None,
    json: options.Json = False,
) -> None:
    """Show one entity as another, also where it is mentioned later. Every mention keeps its name: it can be taken back."""
    with open_client() as client:
        result = client.merge_entities(name, into, namespace=namespace, by=by)
    if json:
        output.document({"outcome": result.outcome, "entity": result.entity, "alias": result.alias, "memories": result.memories})
    elif result.outcome == "unchanged":
        output.say("Nothing to do: it is shown as that already.")
    else:
        output.say(f"Merged: {result.memories:,} memories now mention {output.shown(result.entity or into, line=True)}.")


@entities.command(
    epilog=options.examples(
        'memory-pipelines entities unmerge "Bob" --namespace mara', 'memory-pipelines entities unmerge "Bob" -n mara --json'
    )
)
def unmerge(name: Name, namespace: options.Namespace = "default", json: options.Json = False) -> None:
    """Take a merge back: whatever names that entity is shown as it again, also what was saved meanwhile."""
    with open_client() as client:
        result = client.unmerge_entity(name, namespace=namespace)
    if json:
        output.document({"outcome": result.outcome, "entity": result.entity, "memories": result.memories})
    else:
        output.say(f"Taken back: {result.memories:,} memories mention it again.")


@entities.command(
    epilog=options.examples("memory-pipelines entities aliases --namespace mara", "memory-pipelines entities aliases -n mara --json")
)
def aliases(namespace: options.Namespace = "default", json: options.Json = False) -> None:
    """List what was merged into what, when and by whom."""
    with open_client() as client:
        found = client.aliases(namespace=namespace)
    if json:
        output.document({"aliases": found})
        return
    rows = [(one.name or "(forgotten)", one.type, one.entity, one.merged_into, output.when(one.merged_at), one.merged_by) for one in found]
    if not found:
        output.say(
            f"Nothing was merged in this namespace. To merge: memory-pipelines entities merge NAME INTO -n {options.quoted(namespace)}"
        )
        return
    output.table(None, ("name", "type", "shown as", "merged into", "at (UTC)", "by"), rows)


@entities.command(
    epilog=options.examples(
        'memory-pipelines entities show "Robert Hale" --namespace mara', 'memory-pipelines entities show "Bob" -n mara -l 5 --json'
    )
)
def show(name: Name, namespace: options.Namespace = "default", limit: options.Limit = 20, json: options.Json = False) -> None:
    """Show what a name stands for, what was merged into it, and which memories mention it under which name."""
    with open_client() as client:
        found = client.entity(name, namespace=namespace, limit=limit)
    if json:
        output.document(found)
        return
    title = output.visible(f"{found.name} ({found.type}) in {found.namespace}", line=True)
    rows = [(one.name or "(forgotten)", one.type, one.merged_into, output.when(one.merged_at), one.merged_by) for one in found.aliases]
    if rows:
        output.table(title, ("also called", "type", "merged into", "at (UTC)", "by"), rows)
    else:
        output.results().print(f"{title}. Nothing was merged into it.", markup=False)
    origins = {(True, False): "given", (False, True): "extracted", (True, True): "both"}
    mentions = [
        (one.memory, one.name, origins[one.given, one.extracted], one.version, output.when(one.valid_from)) for one in found.memories
    ]
    if not mentions:
        output.say("No live memory mentions it any more.")
        return
    output.table(
        f"Mentioned by {units.count(found.mentions, 'memory')}",
        ("memory", "as", "said by", "version", "since (UTC)"),
        mentions,
        right=("version",),
    )


@entities.command(
    "list",
    epilog=options.examples(
        "memory-pipelines entities list --namespace mara", "memory-pipelines entities list -n mara --type person --prefix Ma -l 20 --json"
    ),
)
def list_(
    namespace: options.Namespace = "default",
    type: Annotated[str | None, typer.Option("--type", help="Only of this type, such as person or place.")] = None,  # noqa: A002
    prefix: Annotated[str | None, typer.Option("--prefix", help="Only names that begin so.")] = None,
    limit: options.Limit = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on after an earlier page.")] = None,
    json: options.Json = False,
) -> None:
    """List the entities that memories mention, by name, with how many memories mention each."""
    with open_client() as client:
        page = client.entities(namespace=namespace, type=type, prefix=prefix, limit=limit, cursor=cursor)
    if json:
        output.document(page)
        return
    if not page.entities:
        output.say(
            "No entity here: they come with the links of a save, and with memory-pipelines sync; memory-pipelines status says what is owed."
        )
        return
    rows = [(one.name, one.type, one.mentions, output.when(one.newest)[:10], one.id) for one in page.entities]
    output.table(None, ("name", "type", "memories", "newest", "id"), rows, right=("memories",))
    if page.cursor:
        output.note(f"[dim]There are more: --cursor {page.cursor}[/dim]")
