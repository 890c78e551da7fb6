"""`namespaces`: which there are, and what they hold.

Must stay out: counting (the SQL).
"""

from __future__ import annotations

import typer

from memory_pipelines.entrypoints.cli import options, output, units
from memory_pipelines.entrypoints.cli.memories import PANEL
from memory_pipelines.entrypoints.cli.session import open_client

app = typer.Typer()


@app.command(rich_help_panel=PANEL, epilog=options.examples("memory-pipelines namespaces", "memory-pipelines namespaces --json"))
def namespaces(json: options.Json = False) -> None:
    """List the namespaces with what they hold: memories, entities, relations, and the size of what was written."""
    with open_client() as client:
        found = client.namespaces()
    if json:
        output.document({"namespaces": found})
    elif not found:
        output.say('There is no namespace yet: the first save makes one. Try memory-pipelines save "Mara moved to Porto." --namespace mara')
    else:
        rows = [
            (one.name, one.memories, one.entities, one.relations, units.size(one.bytes), output.when(one.newest)[:10], one.outside_edits)
            for one in found
        ]
        numbers = ("memories", "entities", "relations", "written")
        output.table(None, ("namespace", *numbers, "newest", "policy"), rows, right=numbers)
