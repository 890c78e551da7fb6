"""How long after `save` returns a memory is in the graph and in the vectors, with `memory-pipelines dev` running.

`python benchmarks/lag.py` starts `dev` on engines of its own; `--attach` measures one that runs already (same `MEMORY_HOME`).
The clock starts when `save` returns and stops when the graph itself holds the node, when the vector is stored, and when the graph
also shows the links that were extracted. Isolated saves wait until no drain is alive, and then some: each pays for the start of runs.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console
from rich.table import Table

from memory_pipelines import MemoryClient
from memory_pipelines.config import load
from memory_pipelines.domain.models import PROJECTIONS
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.sync import sync
from memory_pipelines.wiring import open_platform

POLL_SECONDS = 0.02
LIMIT_SECONDS = 120.0
MEASURES = ("graph", "vectors", "graph and vectors", "with links")
NAMES = ("Ada", "Babbage", "Lisbon", "London", "Greenwich", "Mara", "Tomas", "Porto")


@dataclass
class Saved:
    """One save, and how long after it each thing was seen, in seconds."""

    id: str
    at: float
    seen: dict[str, float]


def look(platform: Platform, waiting: list[Saved]) -> list[Saved]:
    """Note what has become visible; return the saves that are still not wholly visible."""
    shown = {row["id"] for row in platform.graph.rows("memory", ids=[save.id for save in waiting])}
    for save in waiting:
        state = sync.sync_state(platform, save.id)
        now = time.perf_counter() - save.at
        if save.id in shown:
            save.seen.setdefault("graph", now)
        if not state.projections["embeddings"].owed:
            save.seen.setdefault("vectors", now)
        if {"graph", "vectors"} <= save.seen.keys():
            save.seen.setdefault("graph and vectors", max(save.seen["graph"], save.seen["vectors"]))
        if state.settled and "graph" in save.seen:
            save.seen.setdefault("with links", now)
    return [save for save in waiting if "with links" not in save.seen]


def save(client: MemoryClient, number: int) -> Saved:
    """Save one memory that nobody has saved before."""
    text = f"{random.choice(NAMES)} met {random.choice(NAMES)} near {random.choice(NAMES)}, and they spoke of {number} engines."
    result = client.save(text, namespace="lag")
    return Saved(result.id, time.perf_counter(), {})


def until_seen(platform: Platform, waiting: list[Saved]) -> None:
    """Look until everything is visible.

    Raises:
        TimeoutError: something was not, within two minutes.
    """
    end = time.perf_counter() + LIMIT_SECONDS
    while waiting := look(platform, waiting):
        if time.perf_counter() > end:
            raise TimeoutError(f"{len(waiting)} memories are not visible after {LIMIT_SECONDS:.0f} s: is `memory-pipelines dev` running?")
        time.sleep(POLL_SECONDS)


def until_idle(platform: Platform, seconds: float) -> None:
    """Wait until no drain is alive and nothing is owed, and then `seconds` more."""
    while any(found.draining or found.work for found in (sync.wanted(platform, name) for name in PROJECTIONS)):
        time.sleep(0.2)
    time.sleep(seconds)


def isolated(platform: Platform, client: MemoryClient, saves: int, idle: float) -> list[Saved]:
    """Saves into a queue that has been idle, at no particular moment of the daemon's clock."""
    found = []
    for number in range(saves):
        until_idle(platform, idle + random.uniform(0, 5))
        found.append(save(client, number))
        until_seen(platform, found[-1:])
    return found


def steady(platform: Platform, client: MemoryClient, seconds: int) -> list[Saved]:
    """One save a second."""
    until_idle(platform, 5)
    found: list[Saved] = []
    waiting: list[Saved] = []
    began = time.perf_counter()
    while len(found) < seconds:
        if time.perf_counter() - began >= len(found):
            found.append(save(client, 1000 + len(found)))
            waiting.append(found[-1])
        waiting = look(platform, waiting) if waiting else []
        time.sleep(POLL_SECONDS)
    until_seen(platform, waiting)
    return found


def burst(platform: Platform, client: MemoryClient, saves: int) -> list[Saved]:
    """As fast as one caller can."""
    until_idle(platform, 5)
    found = [save(client, 10_000 + number) for number in range(saves)]
    until_seen(platform, found[-1:])
    return [found[-1]]


def runs() -> int:
    """Runs in Dagster's history so far."""
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        return instance.get_runs_count()


@contextmanager
def dev(home: Path, port: int) -> Iterator[None]:
    """`memory-pipelines dev` on engines of its own, ended as Ctrl-C would."""
    command = [sys.executable, "-m", "memory_pipelines.entrypoints.cli", "dev", "--port", str(port), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "MEMORY_HOME": str(home)}) as process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise RuntimeError("`memory-pipelines dev` did not start; its words are above.")
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--isolated", type=int, default=10, help="isolated saves")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds the queue is idle before each")
    parser.add_argument("--steady", type=int, default=60, help="seconds of one save a second")
    parser.add_argument("--burst", type=int, default=1000, help="saves in a row")
    parser.add_argument("--port", type=int, default=3077, help="port for the Dagster UI")
    parser.add_argument("--attach", action="store_true", help="measure what runs already")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        settings = load() if options.attach else load(home=Path(folder))
        os.environ["DAGSTER_HOME"] = str(settings.home_path / "dagster")
        with nullcontext() if options.attach else dev(settings.home_path, options.port):
            platform = open_platform(settings)
            try:
                report(platform, MemoryClient(platform), options)
            finally:
                platform.close()


def report(platform: Platform, client: MemoryClient, options: argparse.Namespace) -> None:
    """Each kind of load, one row a measure."""
    first = save(client, 0)
    until_seen(platform, [first])
    table = Table("load", "what", "saves", "median s", "min s", "max s", "runs", title="Lag from save to visible")
    figures: dict[str, dict[str, object]] = {}
    for name, measure in {
        "first after start": lambda: [first],
        f"isolated (idle {options.idle:.0f} s)": lambda: isolated(platform, client, options.isolated, options.idle),
        "one a second": lambda: steady(platform, client, options.steady),
        f"{options.burst} in a row, the last one": lambda: burst(platform, client, options.burst),
    }.items():
        before = runs()
        saves = measure()
        until_idle(platform, 1)
        made = runs() - before
        figures[name] = {"saves": len(saves), "runs": made}
        for what in MEASURES:
            lags = [item.seen[what] for item in saves]
            figures[name][what] = {"median": statistics.median(lags), "min": min(lags), "max": max(lags)}
            table.add_row(name, what, str(len(lags)), *(f"{f(lags):.2f}" for f in (statistics.median, min, max)), str(made))
    console = Console()
    Console(width=max(console.width, 100)).print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
