"""`import` and `export`: files of memories.

To add a command, see the docstring of this package. Must stay out: formats and batches (`services/transfer`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from memory_pipelines.domain.errors import MemoryPipelinesError
from memory_pipelines.entrypoints import errors
from memory_pipelines.entrypoints.cli import options, output, panels
from memory_pipelines.entrypoints.cli.session import open_platform

if TYPE_CHECKING:
    from memory_pipelines.domain.models import ImportResult

app = typer.Typer()
PANEL = panels.FILES
_SHOWN_ERRORS = 20


class OnError(StrEnum):
    """What a bad line does."""

    stop = "stop"
    skip = "skip"


class Format(StrEnum):
    """Formats of files."""

    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


FileFormat = Annotated[Format | None, typer.Option("--format", "-f", help="By default what the suffix says, else jsonl.")]


@app.command(
    "import",
    rich_help_panel=PANEL,
    epilog=options.examples(
        "memory-pipelines import memories.jsonl",
        "memory-pipelines import diary.jsonl --namespace pepys --map created_at=date --map key=id",
        "memory-pipelines import notes.csv --on-error skip --json",
        "zcat memories.jsonl.gz | memory-pipelines import -",
    ),
)
def import_(
    file: Annotated[str, typer.Argument(help="JSON lines, CSV or Parquet; - reads standard input.")],
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="Where every line goes, whatever it says itself."),
    ] = None,
    map_: Annotated[list[str] | None, typer.Option("--map", help="Read a field from another column.", metavar="FIELD=COLUMN")] = None,
    on_error: Annotated[OnError, typer.Option("--on-error", help="At a bad line: stop, or skip it and go on.")] = OnError.stop,
    revive: Annotated[bool, typer.Option("--revive", help="Let forgotten keys and ids live again.")] = False,
    batch: Annotated[int, typer.Option("--batch", help="Lines written at once.", min=1, max=1000)] = 500,
    format: FileFormat = None,  # noqa: A002
    json: options.Json = False,
) -> None:
    """Import memories. Importing the same file twice changes nothing.

    Each line is one memory: [bold]text[/bold], and optionally id, key, namespace, thread, metadata, source, created_at,
    expires_at, entities \\[{name, type}] and relations \\[{source, predicate, target}].

    Other fields go to metadata. A line with a key and [bold]"forget": true[/bold] forgets.
    """
    from memory_pipelines.services.transfer import transfer

    mapping = options.pairs(map_, "--map")
    settled = 0
    with open_platform() as platform, output.progress() as bar:
        task = bar.add_task("Importing", total=1.0, shown="") if bar else None

        def advance(line: int, read: float | None) -> None:
            nonlocal settled
            settled = line
            if bar and task is not None:
                bar.update(task, completed=read or 0.0, total=1.0 if read is not None else None, shown=f"{line:,} lines")

        try:
            result = transfer.import_file(
                platform, file, namespace=namespace, mapping=mapping, on_error=on_error.value, revive=revive, batch=batch,
                format=format.value if format else None, on_progress=advance,
            )  # fmt: skip
        except MemoryPipelinesError as error:
            if settled:
                error.message += f" Lines 1 to {settled:,} are imported; the same import can be repeated."
            raise
    stopped = transfer.stopped(result, on_error.value)
    if json:
        output.document(result)
    else:
        _print(result, settled, stopped)
    taken = result.imported + result.updated + result.unchanged + result.forgotten
    if stopped or (result.rejected and not taken):
        raise typer.Exit(errors.FAILED)


def _print(result: ImportResult, settled: int, stopped: bool) -> None:
    counts = ("imported", "updated", "unchanged", "forgotten", "rejected")
    output.table(None, counts, [[getattr(result, name) for name in counts]], right=counts)
    if result.errors:
        output.table(
            "Lines not taken", ("line", "code", "reason"), [(item.line, item.code, item.message) for item in result.errors[:_SHOWN_ERRORS]]
        )
        if result.rejected > _SHOWN_ERRORS:
            output.say(f"… and {result.rejected - _SHOWN_ERRORS:,} more; --json lists them.")
    if stopped:
        bad = result.errors[-1].line
        output.note(
            f"[bold red]Stopped at line {bad:,}.[/bold red] Lines from {settled + 1:,} on were not imported. "
            "Mend the line and import the file again, or use --on-error skip; what is in already will be unchanged."
        )


@app.command(
    rich_help_panel=PANEL,
    epilog=options.examples(
        "memory-pipelines export memories.jsonl",
        "memory-pipelines export mara.parquet --namespace mara",
        "memory-pipelines export - --namespace mara | gzip > mara.jsonl.gz",
    ),
)
def export(
    file: Annotated[str, typer.Argument(help="JSON lines, CSV or Parquet; - writes to standard output.")],
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Only this namespace; by default all.")] = None,
    format: FileFormat = None,  # noqa: A002
    json: options.Json = False,
) -> None:
    """Export live memories to a file that import reads back. The file appears when it is complete."""
    from memory_pipelines.services.transfer import transfer

    if json and file == "-":
        raise typer.BadParameter("standard output cannot hold both the memories and the JSON document", param_hint="--json")
    with open_platform() as platform, output.progress() as bar:
        task = bar.add_task("Exporting", total=None, shown="") if bar else None

        def advance(count: int) -> None:
            if bar and task is not None:
                bar.update(task, shown=f"{count:,} memories")

        count = transfer.export_file(platform, file, namespace=namespace, format=format.value if format else None, on_progress=advance)
    if json:
        output.document({"exported": count, "file": file})
    elif file != "-":
        output.results().print(f"Exported {count:,} memories to {file}", markup=False)
