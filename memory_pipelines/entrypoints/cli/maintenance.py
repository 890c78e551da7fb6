"""`maintain`: the nightly work, now and in this process.

Must stay out: what the work is (`services/maintenance.py`).
"""

from __future__ import annotations

import typer

from memory_pipelines.entrypoints.cli import options, output
from memory_pipelines.entrypoints.cli.session import open_platform

app = typer.Typer()


@app.command(rich_help_panel="Operations", epilog=options.examples("memory-pipelines maintain", "memory-pipelines maintain --json"))
def maintain(json: options.Json = False) -> None:
    """Sweep what has expired, fold new vectors into their index, purge old tombstones from the graph.

    Dagster does it each night; where there is no Dagster, do it yourself. Safe at any time, and to repeat.
    """
    from memory_pipelines.services import maintenance

    with open_platform() as platform, output.progress() as bar:
        task = bar.add_task("Maintaining", total=None, shown="") if bar else None

        def advance(done: int, _: int) -> None:
            if bar and task is not None:
                bar.update(task, shown=f"{done:,} rows")

        done = maintenance.maintain(platform, on_progress=advance)
    if json:
        output.document(done)
    elif any(done.values()):
        output.say(
            f"{done['expired']:,} memories had expired and were swept, {done['folded']:,} vectors folded into their index, "
            f"{done['purged']:,} tombstones purged from the graph."
        )
    else:
        output.say("There was nothing to do.")
