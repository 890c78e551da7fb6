"""`maintain`: the nightly work, now and in this process.

Must stay out: what the work is (`services/maintenance.py`).
"""

from __future__ import annotations

import typer

from memory_pipelines.entrypoints.cli import options, output, panels, units
from memory_pipelines.entrypoints.cli.session import open_platform

app = typer.Typer()


@app.command(rich_help_panel=panels.OPERATIONS, epilog=options.examples("memory-pipelines maintain", "memory-pipelines maintain --json"))
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
            f"{units.count(done['expired'], 'memory')} had expired and were swept, "
            f"{units.count(done['folded'], 'vector')} folded into their index, "
            f"{units.count(done['purged'], 'tombstone')} purged from the graph."
        )
    else:
        output.say("There was nothing to do: nothing had expired, no vector waited for its index, no tombstone was old enough.")
