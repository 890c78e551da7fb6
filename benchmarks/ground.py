"""The ground of every benchmark: engines in a folder of their own, emptied before each round, and a table at the end."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import psycopg
from rich.console import Console
from rich.table import Table

from memory_pipelines import embedded, wiring
from memory_pipelines.config import Settings, load
from memory_pipelines.services.platform import Platform

DIARY = Path(__file__).resolve().parents[2] / "shared" / "data" / "pepys_diary.jsonl"
T = TypeVar("T")
_WIDTH = 160  # columns of a table that is written to a file


@contextmanager
def engines() -> Iterator[Settings]:
    """Settings for engines that live as long as the block, in a temporary home."""
    home = Path(tempfile.mkdtemp(prefix="mp-bench-"))
    try:
        embedded.up(home)
        yield load(home=home)
    finally:
        embedded.down(home)
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def empty(settings: Settings) -> Iterator[Platform]:
    """A platform on emptied stores, everything opened and every model loaded, so that no first use is measured."""
    with database(settings) as connection:
        connection.execute("drop schema if exists memory cascade")
    opened = wiring.open_platform(settings)
    try:
        opened.record.health()
        graph: Any = opened.graph
        graph._transport.run("MATCH (n) DETACH DELETE n", write=True)
        opened.graph.prepare()
        stream: Any = opened.stream
        stream._patient.client.flushall()
        opened.embedder.embed(["warm"])
        opened.extractor.extract(["warm"])
        yield opened
    finally:
        opened.close()


@contextmanager
def database(settings: Settings) -> Iterator[psycopg.Connection]:
    """A bare connection to the record's database."""
    url = embedded.addresses(settings.home_path).database_url
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def seconds(work: Callable[[], T]) -> tuple[float, T]:
    """How long `work` takes, and what it returned."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def median_ms(work: Callable[[], object], rounds: int) -> float:
    """Median milliseconds of one call, after a tenth of the rounds as warm-up."""
    for _ in range(max(3, rounds // 10)):
        work()
    return median(seconds(work)[0] for _ in range(rounds)) * 1000


def show(title: str, rows: list[dict[str, Any]], path: Path | None = None) -> None:
    """Print rows as a table, and append them to a JSON file if one is named."""
    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        table.add_row(*(f"{value:,.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)
    if path is not None:
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(known | {title: rows}, indent=2) + "\n")
