"""Files and frames as lines: JSON lines, CSV, Parquet, pandas.

Lives here: one reader (an iterator of `Line`) for each format. To add a format, add a reader, its name in `READERS` and
its suffix, and a writer in `writing.py`. Must stay out: what a line means (`transfer.py`).
Nothing is held whole in memory. pandas and pyarrow are imported only when a file needs them.
"""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

from memory_pipelines.domain.errors import InvalidInput

if TYPE_CHECKING:
    import pandas

SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
LONGEST_LINE = 16 * 1024 * 1024
ROWS = 500


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a source: its fields, or the (code, message) why it could not be read.

    Attributes:
        number: counts from 1; in CSV the line of the file on which the row ends, in Parquet and frames the row.
        read: share of the source read so far, 0 to 1, where that is known.
    """

    number: int
    fields: Mapping[str, Any] | None = None
    problem: tuple[str, str] | None = None
    read: float | None = None


def format_of(path: str, given: str | None, *, known: bool = False) -> str:
    """The format by its name, else by the file's suffix, else JSON lines.

    Args:
        known: refuse a suffix that is there and says no format, instead of taking it for JSON lines.

    Raises:
        InvalidInput: `format_unknown`
    """
    suffix = Path(path).suffix.lower()
    if known and given is None and suffix and suffix not in SUFFIXES and not os.path.isdir(path):
        raise InvalidInput(
            "format_unknown",
            f"The suffix {suffix} says no format: name the file {', '.join(sorted(SUFFIXES))}, or give the format.",
            {"allowed": list(READERS)},
        )
    name = given or SUFFIXES.get(suffix, "jsonl")
    if name not in READERS:
        raise InvalidInput("format_unknown", f"There is no format {name!r}; known are {', '.join(READERS)}.", {"allowed": list(READERS)})
    if path == "-" and name == "parquet":
        raise InvalidInput("format_unknown", "Parquet cannot be streamed: name a file instead of `-`, or use jsonl or csv.")
    return name


def read_jsonl(path: str) -> Iterator[Line]:
    """One JSON object a line, UTF-8; blank lines are skipped."""
    with _opened(path) as (stream, size):
        number, position = 0, 0
        while raw := stream.readline(LONGEST_LINE):
            number += 1
            position += len(raw)
            whole = True
            while len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):  # far too long: walk to its end
                whole = False
                raw = stream.readline(LONGEST_LINE)
                position += len(raw)
            read = position / size if size else None
            if not whole:
                yield Line(number, problem=("line_too_long", f"The line is longer than {LONGEST_LINE:,} bytes."), read=read)
            elif raw.strip():
                fields, problem = _parsed(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw)
                yield Line(number, fields, problem, read)


def _parsed(raw: bytes) -> tuple[Mapping[str, Any] | None, tuple[str, str] | None]:
    try:
        value = json.loads(raw.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        return None, ("encoding_invalid", f"Not UTF-8 at byte {error.start + 1} of the line: save the file as UTF-8.")
    except json.JSONDecodeError as error:
        return None, ("json_invalid", f"Not JSON: {error.msg} at column {error.colno}. Each line must be one object.")
    except (ValueError, RecursionError):
        return None, ("json_invalid", "Not JSON: NaN, Infinity, a number of thousands of digits, or nested too deeply.")
    if not isinstance(value, dict):
        return None, ("json_invalid", "Not a JSON object: each line must be one object, {…}, with at least `text`.")
    return value, None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def read_csv(path: str) -> Iterator[Line]:
    """CSV with a header, UTF-8. Empty cells are None.

    The standard library reads it rather than pandas: it knows on which line of the file a row stands, types nothing by
    guessing (`007` stays a string), and one bad row does not spoil those around it.
    """
    csv.field_size_limit(LONGEST_LINE)
    with _opened(path) as (stream, size):
        lines = _decoded(stream)
        rows = csv.reader(lines, strict=True)
        try:
            header = next(rows, None)
        except csv.Error as error:
            raise InvalidInput("csv_invalid", f"The header cannot be read: {error}.") from None
        if header is None:
            return
        header = [name.strip() for name in header]
        if len(set(header)) < len(header):
            raise InvalidInput("csv_invalid", "Two columns have the same name: rename one.")
        while True:
            try:
                cells = next(rows, None)
            except csv.Error as error:
                yield Line(rows.line_num, problem=("csv_invalid", f"Not CSV: {error}."))
                continue
            if cells is None:
                return
            read = stream.tell() / size if size else None
            if not cells:
                continue
            if len(cells) != len(header):
                message = f"The row has {len(cells)} cells, the header {len(header)}: is a comma or a line break not quoted?"
                yield Line(rows.line_num, problem=("csv_invalid", message), read=read)
            elif any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
                yield Line(rows.line_num, problem=("encoding_invalid", "Not UTF-8: save the file as UTF-8."), read=read)
            else:
                yield Line(rows.line_num, {name: cell or None for name, cell in zip(header, cells, strict=True)}, read=read)


def _decoded(stream: IO[bytes]) -> Iterator[str]:
    for number, raw in enumerate(iter(stream.readline, b"")):
        yield raw.decode("utf-8-sig" if number == 0 else "utf-8", "surrogateescape")


def read_parquet(path: str) -> Iterator[Line]:
    """Parquet, a few hundred rows at a time. Nulls and NaN are None."""
    import pyarrow
    from pyarrow import parquet

    with _opened(path):  # says what is wrong with the path in our words
        pass
    try:
        with parquet.ParquetFile(path) as source:
            total, number = source.metadata.num_rows, 0
            for batch in source.iter_batches(batch_size=ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield Line(number, _cells(row), read=number / total)
    except (pyarrow.ArrowException, OSError) as error:
        raise InvalidInput("parquet_invalid", f"The file cannot be read as Parquet: {str(error).splitlines()[0]}") from None


def read_frame(frame: pandas.DataFrame) -> Iterator[Line]:
    """Rows of a DataFrame; the index is left out, missing values are None."""
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise InvalidInput("frame_invalid", "Two columns have the same name: rename one.")
    total, number = len(frame), 0
    for start in range(0, total, ROWS):
        for row in frame.iloc[start : start + ROWS].itertuples(index=False, name=None):
            number += 1
            yield Line(number, _cells(dict(zip(names, row, strict=True))), read=number / total)


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in row.items()}


def plain(value: Any) -> Any:
    """A cell as plain data: numpy and pandas scalars unwrapped, NaN, NaT and NA as None, times kept at the top level."""
    if hasattr(value, "tolist") and not isinstance(value, (str, bytes)):  # numpy scalars and arrays
        value = value.tolist()
    if isinstance(value, float) and math.isnan(value):
        return None
    if type(value).__name__ in {"NaTType", "NAType"}:
        return None
    if hasattr(value, "to_pydatetime"):
        return value.floor("us").to_pydatetime() if hasattr(value, "floor") else value.to_pydatetime()
    if isinstance(value, Mapping):
        return {str(name): jsonable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return value


def jsonable(value: Any) -> Any:
    """A value for metadata: as `plain`, and times, UUIDs and decimals as strings."""
    value = plain(value)
    return value.isoformat() if isinstance(value, (datetime, date, time)) else str(value) if isinstance(value, (UUID, Decimal)) else value


def _check_stdin() -> None:
    """Standard input may be closed, which would else read as an end, or fail at the first line."""
    try:
        os.read(sys.stdin.fileno(), 0)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput("file_unreadable", f"Standard input cannot be read: {reason}.", {"file": "-"}) from None


@contextmanager
def _opened(path: str) -> Iterator[tuple[IO[bytes], int]]:
    if path == "-":
        _check_stdin()
        yield sys.stdin.buffer, 0
        return
    if "\0" in path:
        raise InvalidInput("file_unreadable", "A file's name cannot hold a NUL character.", {"field": "path"})
    try:
        stream = open(path, "rb")  # noqa: SIM115  # closed below; only its opening is translated
    except OSError as error:
        raise InvalidInput("file_unreadable", f"The file cannot be read ({error.strerror}): {path}", {"file": path}) from None
    with stream:
        yield stream, os.fstat(stream.fileno()).st_size


READERS: dict[str, Callable[[str], Iterator[Line]]] = {"jsonl": read_jsonl, "csv": read_csv, "parquet": read_parquet}
