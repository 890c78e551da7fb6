"""Memories as files: JSON lines, CSV, Parquet. What is written here, `reading.py` reads back.

Lives here: one writer (a context manager that takes rows) for each format. To add a format, add it to `WRITERS`.
Must stay out: which memories are written, and in which file (`transfer.py`).
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import IO, Any

COLUMNS = ("id", "key", "namespace", "thread", "text", "metadata", "source", "created_at", "expires_at", "entities", "relations")

Write = Callable[[list[dict[str, Any]]], None]


@contextmanager
def write_jsonl(path: str) -> Iterator[Write]:
    """One JSON object a line; what is empty is left out."""
    with _sink(path) as stream:

        def write(rows: list[dict[str, Any]]) -> None:
            for row in rows:
                present = {name: value for name, value in row.items() if value not in (None, (), [], {})}
                stream.write(json.dumps(present, ensure_ascii=False) + "\n")

        yield write


@contextmanager
def write_csv(path: str) -> Iterator[Write]:
    """CSV with a header; `metadata`, `entities` and `relations` are JSON in their cells."""
    with _sink(path) as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        yield lambda rows: writer.writerows(_cells(row) for row in rows)


@contextmanager
def write_parquet(path: str) -> Iterator[Write]:
    """Parquet, every column a string, as in CSV."""
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([(name, pyarrow.string()) for name in COLUMNS])
    with parquet.ParquetWriter(path, schema) as writer:
        yield lambda rows: writer.write_table(pyarrow.Table.from_pylist([_cells(row) for row in rows], schema))


def _cells(row: Mapping[str, Any]) -> dict[str, str | None]:
    cells: dict[str, str | None] = {}
    for name in COLUMNS:
        value = row.get(name)
        nested = isinstance(value, (dict, list, tuple))
        cells[name] = (json.dumps(value, ensure_ascii=False) if value else None) if nested else value
    return cells


def _sink(path: str) -> AbstractContextManager[IO[str]]:
    return nullcontext(sys.stdout) if path == "-" else open(path, "w", encoding="utf-8", newline="")


WRITERS: dict[str, Callable[[str], AbstractContextManager[Write]]] = {"jsonl": write_jsonl, "csv": write_csv, "parquet": write_parquet}
