"""`demo`: the main job as a newcomer sees it, on engines that start themselves.

To add a step, add a function and a line in `_tell`. Must stay out: use cases; every step is one a user could take.
Dagster is reached only through `memory_pipelines.assets.runs`, loaded when it is needed.
"""

from __future__ import annotations

import importlib
import json as json_module
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memory_pipelines.domain.errors import ConfigurationError, Unavailable
from memory_pipelines.domain.models import as_json
from memory_pipelines.entrypoints import errors
from memory_pipelines.entrypoints.cli import audit, options, output, panels
from memory_pipelines.entrypoints.cli.search import shown

if TYPE_CHECKING:
    from memory_pipelines.client import MemoryClient
    from memory_pipelines.embedded import Engine
    from memory_pipelines.services.platform import Platform

app = typer.Typer()
ANSWERS = 3


@app.command(
    rich_help_panel=panels.FIRST, epilog=options.examples("memory-pipelines demo", "MEMORY_HOME=~/try memory-pipelines demo --keep")
)
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the engines running.")] = False,
    json: options.Json = False,
) -> None:
    """Save, sync, audit and search a small sample, on engines that start themselves. Running it again changes nothing.

    Exits with 3 when the audit has findings.
    """
    from memory_pipelines import embedded, wiring
    from memory_pipelines.client import MemoryClient
    from memory_pipelines.config import load

    settings = load()
    started = time.monotonic()
    wanted = wiring.embedded_engines(settings)
    ours = bool(wanted) and not any(engine.running for engine in embedded.status(settings.home_path).values())
    platform = wiring.open_platform(settings)
    try:
        told = _tell(platform, MemoryClient(platform), wanted)
    finally:
        platform.close()
        if ours and not keep:
            embedded.down(settings.home_path)
    told["seconds"] = round(time.monotonic() - started, 1)
    if json:
        output.document(told)
    else:
        _farewell(told, settings.home_path, stopped=ours and not keep)
    if not told["clean"]:
        raise typer.Exit(errors.DIFFERS)


def _tell(platform: Platform, client: MemoryClient, wanted: tuple[Engine, ...]) -> dict[str, Any]:
    told: dict[str, Any] = {"home": str(platform.settings.home_path), "engines": list(wanted)}
    _heading(1, "Engines and schema")
    _open(platform, wanted)
    _heading(2, "Import: what an assistant noted about two users over ten months")
    told["import"] = _import(platform)
    _heading(3, "Sync: Dagster runs, requested as the queue sensors would")
    told["runs"] = _runs(platform)
    _heading(4, "Audit: do the graph and the vectors hold what the record says?")
    told["audits"] = [_audit(client, deep) for deep in (False, True)]
    _heading(5, "Three questions")
    told["questions"] = _ask(client)
    _heading(6, "What each store holds")
    told["stores"] = _stores(platform, client)
    told["clean"] = all(found["clean"] for found in told["audits"]) and all(row["equal"] for row in told["stores"])
    return told


def _heading(number: int, words: str) -> None:
    output.say(f"\n[bold cyan]{number}. {words}[/bold cyan]")


def _open(platform: Platform, wanted: tuple[Engine, ...]) -> None:
    from memory_pipelines import embedded, wiring

    began = time.monotonic()
    if wanted:
        embedded.up(platform.settings.home_path, wanted)
    schema = wiring.bring_schema(platform)
    platform.graph.prepare()
    what = (
        f"Embedded: {', '.join(wanted)}, in {output.shown(str(platform.settings.home_path))}." if wanted else "Engines: those of your URLs."
    )
    unseen = "The record is reached over REST."
    reached = unseen if schema is None else f"Schema {schema}."
    output.say(f"{what} {reached} {time.monotonic() - began:.1f} s.")


def _import(platform: Platform) -> dict[str, Any]:
    from importlib.resources import as_file

    from memory_pipelines.samples import ASSISTANT
    from memory_pipelines.services.transfer.transfer import import_file

    with as_file(ASSISTANT) as path:
        result = import_file(platform, path)
    counts = {name: value for name, value in as_json(result).items() if name != "errors"}
    output.say(", ".join(f"{value} {name}" for name, value in counts.items() if value) + ".")
    if result.rejected:
        first = result.errors[0]
        raise ConfigurationError("sample_rejected", f"Line {first.line} of the sample was not taken: {first.message}")
    return {**counts, "errors": []}


def _runs(platform: Platform) -> list[dict[str, Any]]:
    from memory_pipelines.dagster_home import prepare_home

    home = prepare_home(platform.settings.home_path)
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["MEMORY_HOME"] = str(platform.settings.home_path)
    log = home / "demo.log"
    with output.progress(counted=False) as bar:
        if bar:
            bar.add_task("Loading Dagster and draining", total=None)
        with _quiet(log):
            definitions = importlib.import_module("memory_pipelines.definitions").defs
            runs = importlib.import_module("memory_pipelines.assets.runs").run_wanted(definitions, launched_by="memory-pipelines demo")
    rows = [
        {"job": run.job, "run_id": run.run_id, "success": run.success, "seconds": round(run.seconds, 2), "done": run.done} for run in runs
    ]
    if not output.wants_document():
        if rows:
            cells = [(row["job"], row["done"], row["seconds"], "✓" if row["success"] else "✗ failed", row["run_id"]) for row in rows]
            output.table(None, ("job", "rows", "seconds", "", "run"), cells, right=("rows", "seconds"))
        else:
            output.say("Nothing was owed: everything is in step already.")
    if failed := [row["job"] for row in rows if not row["success"]]:
        raise Unavailable(
            "run_failed", f"Dagster run failed: {', '.join(failed)}. See {log}, or open memory-pipelines dev and look under Runs."
        )
    return rows


@contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Everything that libraries have to say goes to a file."""
    handlers = logging.root.handlers[:]
    with open(log, "a", encoding="utf-8") as file, warnings.catch_warnings(), redirect_stderr(file), redirect_stdout(file):
        warnings.simplefilter("ignore")
        logging.root.handlers[:] = [logging.StreamHandler(file)]
        try:
            yield
        finally:
            logging.root.handlers[:] = handlers


def _audit(client: MemoryClient, deep: bool) -> dict[str, Any]:
    verdict = client.audit(deep=deep)
    if not output.wants_document():
        audit.show(verdict)
    return audit.shape(verdict)


def _ask(client: MemoryClient) -> list[dict[str, Any]]:
    from rich.text import Text

    from memory_pipelines.samples import QUESTIONS

    told = []
    for item in json_module.loads(QUESTIONS.read_text("utf-8")):
        hits = client.search(item["question"], namespace=item["namespace"], limit=ANSWERS)
        place = next((number for number, hit in enumerate(hits, 1) if hit.key == item["expect_key"]), None)
        told.append({**item, "place": place, "answers": [{"key": hit.key, "passage": hit.passage, "score": hit.score} for hit in hits]})
        if output.wants_document():
            continue
        mark = {1: "[green]✓[/green]", None: "[red]✗[/red]"}.get(place, f"[yellow]✓ in place {place}[/yellow]")
        output.say(f"\n{mark} [bold]{output.shown(item['question'])}[/bold] [dim]({item['namespace']})[/dim]")
        for number, hit in enumerate(hits, 1):
            output.results().print(Text.assemble(f"   {number}. ", shown(hit), (f"  {output.when(hit.created_at)}", "dim")))
        if place is None:
            output.say(f"   [red]Expected was {item['expect_key']}, which is not among the first {ANSWERS}.[/red]")
    return told


def _stores(platform: Platform, client: MemoryClient) -> list[dict[str, Any]]:
    record, graph = client.status().counts, platform.graph.counts()
    held = [
        ("memories", record["memories"], "graph", graph["memory"]),
        ("entities", record["entities"], "graph", graph["entity"]),
        ("mentions", record["mentions"], "graph", graph["mention"]),
        ("relations", record["relations"], "graph", graph["relation"]),
        ("passages and entities", record["passages"] + record["entities"], "vectors", record["embeddings"]),
    ]
    rows = [{"what": what, "record": ours, "store": store, "held": theirs, "equal": ours == theirs} for what, ours, store, theirs in held]
    if not output.wants_document():
        cells = [(row["what"], row["record"], row["store"], row["held"], "✓" if row["equal"] else "✗ differs") for row in rows]
        output.table(None, ("", "record", "store", "holds", "equal"), cells, right=("record", "holds"))
    return rows


def _farewell(told: dict[str, Any], home: Path, *, stopped: bool) -> None:
    if told["clean"]:
        output.say(f"[bold green]✓ Done in {told['seconds']} s.[/bold green] All stores hold the same, and it was checked row by row.")
    else:
        differing = [
            f"{row['store']}: {row['held']} {row['what']}, the record {row['record']}" for row in told["stores"] if not row["equal"]
        ]
        said = "; ".join(differing) or "see the findings above"
        output.say(f"[bold red]✗ The stores differ:[/bold red] {output.shown(said)}. To repair: memory-pipelines audit --deep --repair")
    name = "memory-pipelines"
    output.say("\n[bold]Where to look next[/bold]")
    output.table(
        None,
        ("command", "what it shows"),
        [
            (f"{name} dev", "the same in Dagster's UI: lineage, the runs above, checks, sensors"),
            (f'{name} search "where does Mara live?" -n mara', "search, with the passage that matched"),
            (f"{name} related Mara -n mara", "the neighbours of an entity in the graph"),
            (f"{name} import FILE --help", "your own memories"),
        ],
    )
    output.say(f"[dim]The data is in {output.shown(str(home))}{'; the engines are stopped' if stopped else ''}.[/dim]")
    sys.stdout.flush()
