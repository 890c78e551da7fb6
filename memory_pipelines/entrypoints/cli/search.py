"""`search` and `related`: finding memories by meaning, by words, and by what they mention.

To add a command, see the docstring of this package. Must stay out: ranking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from memory_pipelines.domain.models import as_json
from memory_pipelines.entrypoints.cli import options, output, panels
from memory_pipelines.entrypoints.cli.session import open_client

if TYPE_CHECKING:
    from rich.text import Text

    from memory_pipelines.domain.models import RelatedEntity, SearchHit

app = typer.Typer()
PANEL = panels.FINDING
FIELDS = ("id", "key", "namespace", "text", "passage", "score", "created_at", "metadata")
_AROUND = 160


@app.command(
    rich_help_panel=PANEL,
    epilog=options.examples(
        'memory-pipelines search "where does Mara live?" --namespace mara',
        """memory-pipelines search "coffee" -n mara -l 3 --metadata '{"topic": "food"}' --created-after 2026-03-01 --json""",
    ),
)
def search(
    query: Annotated[str, typer.Argument(help="A question or some words.")],
    namespace: options.Namespace = "default",
    limit: options.Limit = 10,
    thread: options.Thread = None,
    metadata: Annotated[str | None, typer.Option("--metadata", "-m", help="Only memories that have these pairs.", metavar="JSON")] = None,
    created_after: options.After = None,
    created_before: options.Before = None,
    json: options.Json = False,
) -> None:
    """Find the memories that fit best, by meaning and by words; each with the passage that matched."""
    wanted = options.json_object(metadata)
    with open_client() as client:
        hits = client.search(
            query,
            namespace=namespace,
            limit=limit,
            thread=thread,
            metadata=wanted,
            created_after=created_after,
            created_before=created_before,
        )
    if json:
        output.document({"results": [{field: as_json(getattr(hit, field)) for field in FIELDS} for hit in hits]})
        return
    if not hits:
        output.say(
            "Nothing fits: the namespace is empty, or every memory is left out by what was asked. "
            f"To see what is in it: memory-pipelines list -n {options.quoted(namespace)}"
        )
        return
    rows = [(place, f"{hit.score:.4f}", hit.key or hit.id, output.when(hit.created_at), shown(hit)) for place, hit in enumerate(hits, 1)]
    output.table(None, ("#", "score", "memory", "created (UTC)", "text"), rows, right=("#", "score"))


def shown(hit: SearchHit) -> Text:
    """The passage of a hit, bold, with a little of the text around it."""
    from rich.text import Text

    passage, body = output.visible(hit.passage, line=True), output.visible(hit.text, line=True)
    start = body.find(passage)
    if start < 0:
        return Text(passage, style="bold")
    before, after = body[:start], body[start + len(passage) :]
    if len(before) > _AROUND:
        before = "…" + before[-_AROUND:]
    if len(after) > _AROUND:
        after = after[:_AROUND] + "…"
    return Text.assemble((before, "dim"), (passage, "bold"), (after, "dim"))


def joined(neighbour: RelatedEntity) -> str:
    """What joins a neighbour to the entity, in words."""
    arrows = {"out": "→", "in": "←"}
    return ", ".join(f"{arrows[by.direction]} {by.predicate}" for by in neighbour.predicates) or "mentioned together"


@app.command(
    rich_help_panel=PANEL,
    epilog=options.examples('memory-pipelines related "Anna" --namespace mara', 'memory-pipelines related "Anna" -n mara -l 5 --json'),
)
def related(
    name: Annotated[str, typer.Argument(help="A person, place, organisation, …")],
    namespace: options.Namespace = "default",
    limit: options.Limit = 20,
    json: options.Json = False,
) -> None:
    """Show the neighbours of an entity in the graph, and the memories that mention it."""
    with open_client() as client:
        found = client.related(name, namespace=namespace, limit=limit)
    if json:
        output.document(found)
        return
    neighbours = [(item.name, item.type, joined(item), item.memories, output.when(item.newest)) for item in found.neighbours]
    title = output.visible(f"{found.name} ({found.type}) in {found.namespace}", line=True)
    if neighbours:
        output.table(title, ("neighbour", "type", "how", "memories", "newest (UTC)"), neighbours, right=("memories",))
    else:
        output.results().print(
            f"{title} has no neighbours: no memory relates it to another entity, or mentions it beside one.", markup=False
        )
    if found.memories:
        output.say("[bold]Mentioned in[/bold]")
        output.memories(found.memories)
    else:
        output.say("No live memory mentions it any more. To take it out of the graph as well: memory-pipelines sync")
