"""`explain`: everything that is known of one row, in order of time.

To show more, add it to `_shown`. Must stay out: gathering it (`services/explain.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memory_pipelines.entrypoints.cli import options, output
from memory_pipelines.entrypoints.cli.session import open_client

if TYPE_CHECKING:
    from memory_pipelines.domain.models import Explanation

app = typer.Typer()


@app.command(
    rich_help_panel="Keeping in step",
    epilog=options.examples(
        "memory-pipelines explain 0197c9a2-7b1e-7c31-8f7e-3a5d0c5b1e44",
        "memory-pipelines explain 0197c9a2-7b1e-7c31-8f7e-3a5d0c5b1e44 --text --json",
    ),
)
def explain(
    id: Annotated[str, typer.Argument(help="Id of a memory, an entity or a relation.")],  # noqa: A002  # the name it has everywhere
    text: Annotated[bool, typer.Option("--text", help="Show what a person wrote, too: text, name, predicate.")] = False,
    json: options.Json = False,
) -> None:
    """Everything that is known of one row: record, stores, ledger, attempts, verdict, in order of time. Changes nothing."""
    with open_client() as client:
        found = client.explain(id, text=text)
    if json:
        output.document(found)
    else:
        _shown(found)


def _shown(found: Explanation) -> None:
    output.say(f"[bold]{found.kind}[/bold] {output.shown(output.cut(found.id, 200))}")
    if found.record is None:
        output.say("The record does not know it.")
    else:
        rows = [(name, value) for name, value in found.record.items() if name != "versions" and value is not None]
        output.table("The record", ("what", "value"), rows)
    nodes: list[Mapping[str, Any]] = found.stores["graph"]
    for n, node in enumerate(nodes):
        output.table("The graph" if n == 0 else f"The graph, once more ({n + 1})", ("what", "value"), sorted(node.items()))
    if not nodes:
        output.say("The graph shows nothing under this id.")
    vectors = [(one["passage"], one["version"], one["generation"], one["dimensions"]) for one in found.stores["embeddings"]]
    output.table("Vectors", ("passage", "version", "generation", "dimensions"), vectors)
    columns = ("projection", "settled_version", "settled_revision", "settled_marker", "attempts", "last_error")
    ledger = [(_state(row), *(row[name] for name in columns)) for row in found.ledger]
    output.table("The ledger", ("state", *(name.removeprefix("settled_") for name in columns)), ledger)
    output.table("In order of time (UTC)", ("at", "what", ""), [_event(event) for event in found.events])


def _state(row: Mapping[str, Any]) -> str:
    return "parked" if row["parked_at"] else "settled" if row["owed_number"] is None else "owed"


def _event(event: Mapping[str, Any]) -> tuple[str, str, str]:
    rest = (f"{name} {value}" for name, value in event.items() if name not in ("at", "what") and value is not None)
    return str(event["at"])[:23].replace("T", " "), event["what"], ", ".join(rest)
