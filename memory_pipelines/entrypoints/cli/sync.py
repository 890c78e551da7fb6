"""`status`, `sync` and `rebuild`: what is owed to the projections, and working it off in this process.

The words of `status` stand in `standing.py`.

To add a command, see the docstring of this package. Must stay out: draining (`services/sync/sync.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memory_pipelines.domain.errors import MemoryPipelinesError
from memory_pipelines.domain.models import PROJECTIONS, DrainResult, as_json
from memory_pipelines.entrypoints import errors
from memory_pipelines.entrypoints.cli import options, output, panels, running, units
from memory_pipelines.entrypoints.cli.session import open_client, open_platform
from memory_pipelines.entrypoints.cli.standing import show

if TYPE_CHECKING:
    from memory_pipelines.client import MemoryClient

app = typer.Typer()
rebuilding = typer.Typer()  # of its own: it stands in another panel
PANEL = panels.SYNC


class Projection(StrEnum):
    """What is kept equal to the record."""

    entities = "entities"
    embeddings = "embeddings"
    graph = "graph"


@app.command(rich_help_panel=PANEL, epilog=options.examples("memory-pipelines status", "memory-pipelines status --json"))
def status(json: options.Json = False) -> None:
    """Show what is owed to each projection, since when, who drains it, what is parked, and how the engines are.

    Exits with 1 when an engine does not answer.
    """
    from memory_pipelines.services import status as status_service

    with open_platform() as platform:
        home, found = str(platform.settings.home_path), status_service.status(platform)
    if json:
        output.document(
            {
                "home": home,
                "owed": found.owed,
                "oldest_owed_seconds": found.oldest_owed_seconds,
                "parked": found.parked,
                "dropped": found.dropped,
                "dead_events": found.dead_events,
                "engines": found.engines,
                "breakers": found.breakers,
                "projections": found.projections,
            }
        )
    else:
        output.say(f"Home: {output.shown(home)}")
        dev = running.who(platform.settings.home_path / "dagster")
        show(found, platform.settings.sync_budget_seconds, dev.url if dev else None)
    if not all(facts.get("ok") for facts in found.engines.values()):
        raise typer.Exit(errors.FAILED)


@app.command(rich_help_panel=PANEL, epilog=options.examples("memory-pipelines sync", "memory-pipelines sync entities embeddings --json"))
def sync(
    projections: Annotated[list[Projection] | None, typer.Argument(help="Which to drain; by default all, in this order.")] = None,
    json: options.Json = False,
) -> None:
    """Work off what is owed, in this process, until nothing is. On SIGTERM it finishes the batch at hand and exits within 10 s."""
    from memory_pipelines.client import MemoryClient
    from memory_pipelines.services.sync import stopping
    from memory_pipelines.services.sync import sync as service

    chosen = [projection.value for projection in projections or []] or list(PROJECTIONS)
    results: list[DrainResult] = []
    with open_platform() as platform:
        client = MemoryClient(platform)
        for name in chosen:
            with _watched(client, name), stopping.listening() as asked:
                results += service.drain_all(platform, [name], should_stop=asked)
    _report(results, json)


@rebuilding.command(
    rich_help_panel=panels.REPAIR,
    epilog=options.examples("memory-pipelines rebuild embeddings", "memory-pipelines rebuild graph --drop --json"),
)
def rebuild(
    projection: Annotated[Projection, typer.Argument(help="Which to make again.")],
    drop: Annotated[bool, typer.Option("--drop", help="Delete the graph first, whatever it holds.")] = False,
    json: options.Json = False,
) -> None:
    """Make a whole projection again from the record.

    With --drop the graph is deleted first: the way out when the record was restored to an older state than the graph has seen.
    """
    with open_client() as client, _watched(client, projection.value):
        result = client.rebuild(projection.value, drop=drop)
    _report([result], json)


def _report(results: list[DrainResult], json: bool) -> None:
    if json:
        output.document({"projections": [{**_shown(result), "rate": result.rate} for result in results]})
    else:
        columns = ("projection", "done", "rows/s", "took", "still owed", "parked", "failed")
        rows = [(r.projection, r.done, round(r.rate), units.lasting(r.seconds), r.owed, r.parked, r.failed) for r in results]
        output.table("Rows of the ledger", columns, rows, right=columns[1:])
        _say_what_is_left(results)
        for result in results:
            if result.busy:
                output.note(
                    f"[yellow]{result.projection}[/yellow] is being drained by another process, so nothing was done here. "
                    "To follow it: memory-pipelines status"
                )
    if any(result.failed for result in results):
        raise typer.Exit(errors.FAILED)


def _say_what_is_left(results: list[DrainResult]) -> None:
    if not any(result.busy or result.done or result.owed or result.parked or result.failed for result in results):
        output.say("Nothing was owed. To prove that the stores are equal: memory-pipelines audit")
    elif not any(result.busy or result.owed or result.failed for result in results):
        output.say("[green]✓ Nothing is owed any more.[/green]")
    elif any(result.owed and not result.busy for result in results):
        output.say("What is still owed waits for its next attempt. To see since when: memory-pipelines status")
    if any(result.parked for result in results):
        output.say("To see why rows were parked: memory-pipelines dead list")


def _shown(result: DrainResult) -> dict[str, Any]:
    left_out = {"progress", "sample"}
    return {name: value for name, value in as_json(result).items() if name not in left_out}


@contextmanager
def _watched(client: MemoryClient, projection: str) -> Iterator[None]:
    """A bar that follows what is still owed, asked once a second."""
    with output.progress() as bar:
        if bar is None:
            yield
            return
        total = client.status().owed.get(projection, 0)
        task = bar.add_task(f"Syncing {projection}", total=total or None, shown="")
        ended = threading.Event()

        def follow() -> None:
            while not ended.wait(1.0):
                try:
                    owed = client.status().owed.get(projection, 0)
                except MemoryPipelinesError:
                    continue  # the drain itself will say so
                bar.update(task, total=max(total, owed) or None, completed=max(total - owed, 0), shown=f"{owed:,} rows owed")

        watcher = threading.Thread(target=follow, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join(timeout=10)
