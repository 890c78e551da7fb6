"""`status`, `sync` and `rebuild`: what is owed to the projections, and working it off in this process.

To add a command, see the docstring of this package. Must stay out: draining (`services/sync/sync.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memory_pipelines.domain.errors import MemoryPipelinesError
from memory_pipelines.domain.models import PROJECTIONS, DrainResult, as_json
from memory_pipelines.entrypoints import errors
from memory_pipelines.entrypoints.cli import options, output
from memory_pipelines.entrypoints.cli.session import open_client, open_platform

if TYPE_CHECKING:
    from memory_pipelines.client import MemoryClient

app = typer.Typer()
PANEL = "Keeping in step"


class Projection(StrEnum):
    """What is kept equal to the record."""

    entities = "entities"
    embeddings = "embeddings"
    graph = "graph"


@app.command(rich_help_panel=PANEL, epilog=options.examples("memory-pipelines status", "memory-pipelines status --json"))
def status(json: options.Json = False) -> None:
    """Show what is owed to each projection, since when, what is parked, and how the engines are.

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
            }
        )
    else:
        output.say(f"Home: {output.shown(home)}")
        counts = {name: count for name, count in found.counts.items() if isinstance(count, int)}
        output.table("Held by the record", tuple(counts), [list(counts.values())], right=tuple(counts))
        output.table("Owed", ("projection", "changes"), found.owed.items(), right=("changes",))
        if found.oldest_owed_seconds is not None and any(found.owed.values()):
            output.say(f"The oldest has been owed for {found.oldest_owed_seconds:,.0f} s.")
        if found.parked:
            output.say(f"[yellow]{found.parked:,} parked[/yellow]: they failed for a reason of their own; see memory-pipelines dead list.")
        if found.dropped:
            output.say(f"{found.dropped:,} given up knowingly: their debt stays, and audits name it.")
        if found.dead_events:
            output.say(f"[yellow]{found.dead_events:,} events[/yellow] could not be read; see memory-pipelines dead list.")
        output.table("Engines", ("engine", "answers", "what it is"), [_engine(name, facts) for name, facts in found.engines.items()])
        columns = ("dependency", "breaker", "failures in a row", "reason", "open for, s", "next probe in, s")
        fields = ("mode", "failures", "reason", "open_seconds", "probe_in_seconds")
        rows = [(name, *(facts[field] for field in fields)) for name, facts in found.breakers.items()]
        output.table("Breakers", columns, rows, right=(columns[2], *columns[4:]))
        for name, facts in found.engines.items():
            for warning in facts.get("warnings", ()):
                output.say(f"[yellow]{name}[/yellow]: {output.shown(warning)}")
    if not all(facts.get("ok") for facts in found.engines.values()):
        raise typer.Exit(errors.FAILED)


def _engine(name: str, facts: Mapping[str, Any]) -> tuple[str, str, str]:
    if not facts.get("ok"):
        return name, "no", str(facts.get("message", ""))
    known = {field: value for field, value in facts.items() if field not in {"ok", "identity"} and isinstance(value, (str, int))}
    return name, "yes", ", ".join(f"{field} {value}" for field, value in known.items())


@app.command(rich_help_panel=PANEL, epilog=options.examples("memory-pipelines sync", "memory-pipelines sync entities embeddings --json"))
def sync(
    projections: Annotated[list[Projection] | None, typer.Argument(help="Which; by default all, in order.")] = None,
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


@app.command(
    rich_help_panel=PANEL, epilog=options.examples("memory-pipelines rebuild embeddings", "memory-pipelines rebuild graph --drop --json")
)
def rebuild(
    projection: Annotated[Projection, typer.Argument(help="Which.")],
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
        columns = ("projection", "done", "per second", "seconds", "still owed", "parked", "failed")
        rows = [(r.projection, r.done, round(r.rate), r.seconds, r.owed, r.parked, r.failed) for r in results]
        output.table(None, columns, rows, right=columns[1:])
        for result in results:
            if result.busy:
                output.note(f"[yellow]{result.projection}[/yellow] is being drained by another process, so nothing was done here.")
    if any(result.failed for result in results):
        raise typer.Exit(errors.FAILED)


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
                bar.update(task, total=max(total, owed) or None, completed=max(total - owed, 0), shown=f"{owed:,} owed")

        watcher = threading.Thread(target=follow, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join(timeout=10)
