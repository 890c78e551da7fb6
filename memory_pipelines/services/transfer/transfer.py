"""Import and export of memories: files and frames, line by line, in batches that are written whole or not at all.

Lives here: the use cases. To add a format, see `reading.py` and `writing.py`. Must stay out: what a
line means (`lines.py`), batches and counting (`importer.py`).

An import can be repeated: lines are known again by their key, their id or their content. A line with `"forget": true`
and a key or an id forgets; the order of the file is kept. What was forgotten stays forgotten unless revived.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.models import ImportResult, Memory, as_json
from memory_pipelines.services import memories as memories_service
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.transfer.importer import PASSED_BY, Importer, OnError, OnImport
from memory_pipelines.services.transfer.reading import READERS, format_of, read_frame
from memory_pipelines.services.transfer.writing import COLUMNS, WRITERS

if TYPE_CHECKING:
    import pandas

OnExport = Callable[[int], None]


def import_file(
    platform: Platform,
    path: str | Path,
    *,
    namespace: str | None = None,
    mapping: Mapping[str, str] | None = None,
    on_error: OnError = "stop",
    revive: bool = False,
    batch: int = 500,
    format: str | None = None,  # noqa: A002  # the word users know
    on_progress: OnImport | None = None,
) -> ImportResult:
    """Import a file of memories.

    Args:
        path: `-` for standard input. A file is read twice: see `repeats.py`.
        namespace: where every line goes; a line that names another becomes a copy, with an id of its own.
        mapping: field -> column, for files with other names.
        on_error: `stop` at the first bad line, writing nothing of its batch; `skip` leaves bad lines out.
        revive: let forgotten keys and ids live again.
        batch: lines written at once, 1 to 1000.
        format: `jsonl`, `csv` or `parquet`; by default what the suffix says.
        on_progress: called after each batch with the last line settled and the share of the file read, if known.

    Returns:
        Counts, and the lines that were not taken. Under `stop`, an error other than a forgotten or unknown memory means that
        the import ended there (see `stopped`).

    Raises:
        InvalidInput: `file_unreadable`, `format_unknown`, `mapping_unknown`; nothing was written.
        Unavailable: the record did not answer; batches reported so far are in, and the import can be repeated.
    """
    name = format_of(str(path), format)
    importer = Importer(platform, namespace, mapping or {}, on_error, revive, batch, on_progress, tabular=name != "jsonl")
    return importer.run(lambda: READERS[name](str(path)), twice=os.path.isfile(path))


def import_frame(
    platform: Platform,
    frame: pandas.DataFrame,
    *,
    namespace: str | None = None,
    mapping: Mapping[str, str] | None = None,
    on_error: OnError = "stop",
    revive: bool = False,
    batch: int = 500,
    on_progress: OnImport | None = None,
) -> ImportResult:
    """Import the rows of a pandas DataFrame; everything else as `import_file`."""
    importer = Importer(platform, namespace, mapping or {}, on_error, revive, batch, on_progress, tabular=True)
    return importer.run(lambda: read_frame(frame))


def stopped(result: ImportResult, on_error: OnError) -> bool:
    """Whether the import ended before the end of its source."""
    return on_error == "stop" and any(error.code not in PASSED_BY for error in result.errors)


def export_file(
    platform: Platform,
    path: str | Path,
    *,
    namespace: str | None = None,
    format: str | None = None,  # noqa: A002  # the word users know
    on_progress: OnExport | None = None,
) -> int:
    """Write every live memory, or those of one namespace, to a file that `import_file` reads back.

    The file appears when it is complete: until then it has another name. `-` is standard output.

    Returns:
        How many memories were written.

    Raises:
        NotFound: `namespace_unknown`
        InvalidInput: `file_unwritable`, `format_unknown` (also for a suffix that says no format, where none is given)
    """
    target = str(path)
    if "\0" in target:
        raise InvalidInput("file_unwritable", "A file's name cannot hold a NUL character.", {"field": "path"})
    name = format_of(target, format, known=True)
    count = 0
    with _completed(target) as file, WRITERS[name](file) as write:
        for page in _pages(platform, namespace):
            write([_row(memory) for memory in page])
            count += len(page)
            if on_progress is not None:
                on_progress(count)
    return count


def _pages(platform: Platform, only: str | None) -> Iterator[list[Memory]]:
    for space in [only] if only is not None else platform.record.namespaces():
        cursor: str | None = None
        while True:
            page = memories_service.list_page(
                platform, namespace=space, thread=None, metadata=None, created_after=None, created_before=None, limit=500, cursor=cursor
            )
            yield list(page.memories)
            cursor = page.cursor
            if cursor is None:
                break


def _row(memory: Memory) -> dict[str, Any]:
    row: dict[str, Any] = as_json(memory)
    return {name: row[name] for name in COLUMNS}


@contextmanager
def _completed(target: str) -> Iterator[str]:
    """The path to write to: renamed to its real name at the end, removed after a failure."""
    if not os.path.basename(target) or os.path.isdir(target):
        raise InvalidInput("file_unwritable", f"This names a folder, name a file in it: {target or 'nothing at all'}", {"file": target})
    try:
        if target == "-" or (os.path.exists(target) and not os.path.isfile(target)):  # a pipe or a device has no other name
            yield target
            return
        final = os.path.realpath(target)
        part = os.path.join(os.path.dirname(final), f".{os.path.basename(final)}.{os.getpid()}.part")
        open(part, "wb").close()
        try:
            yield part
            os.replace(part, final)
        except BaseException:
            os.unlink(part)
            raise
    except BrokenPipeError:
        raise  # whoever read it has seen enough
    except OSError as error:  # a folder that is not there, no permission, a full disk
        message = f"The file cannot be written ({error.strerror or error}): {target}"
        raise InvalidInput("file_unwritable", message, {"file": target}) from None
