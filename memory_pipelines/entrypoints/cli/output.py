"""What the command line prints, and where: results on standard output, everything else on standard error.

Lives here: the two consoles, the JSON document, progress, and making foreign text safe for a terminal. To print a new
kind of thing, add a function that takes a model. Must stay out: deciding what to do (the commands) and asking stores.

With `--json`, standard output is one document: file descriptor 1 is handed to standard error for the duration, so that
neither a library nor a child process can add to it.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.models import as_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from memory_pipelines.domain.models import Memory

UNWRITABLE = "output_unwritable"
_WIDTH_OF_A_PIPE = 160
_WHOLE = {"id", "memory", "check", "projection", "took", "owed for"}
_document: IO[str] | None = None


def begin(as_document: bool) -> None:
    """Set up the streams for one command. With `as_document`, keep standard output for the document alone."""
    global _document
    _fill_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows ? rather than a traceback
    if as_document:
        _document = _told(os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace"))
        os.dup2(2, 1)
        sys.stdout = sys.stderr
    elif not isinstance(sys.stdout, _Told):
        sys.stdout = _told(sys.stdout)


def _fill_what_is_closed() -> None:
    """Where a standard stream is closed, put one there that cannot be used.

    Else the next file or socket that is opened would get its number, and be written to. Reading or writing it fails as a closed one does.
    """
    for number, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDWR)):
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            opened = os.open(os.devnull, mode)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # it lives as long as the process
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


class _Told:
    """A stream whose failures are told as ours: a full disk or a closed descriptor is no defect of the program."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with _telling():
            return self._stream.write(text)

    def flush(self) -> None:
        with _telling():
            self._stream.flush()


def _told(stream: IO[str]) -> Any:
    return _Told(stream)


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read us has gone: that is an end, and no failure to tell
    except OSError as error:
        raise InvalidInput(
            UNWRITABLE,
            f"Standard output cannot be written: {error.strerror}. "
            "What the command had done by then stays done; give it a place to write to.",
        ) from None


def abandon() -> None:
    """Let standard output go nowhere, so that what is left in its buffer does not fail once more while Python exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in {1, _document.fileno() if _document is not None else 1}:
        os.dup2(nowhere, number)
    os.close(nowhere)


def wants_document() -> bool:
    """Whether this command was asked for JSON."""
    return _document is not None


def document(value: Any) -> None:
    """Print the one JSON document."""
    stream = _document or sys.stdout
    json.dump(as_json(value), stream, ensure_ascii=False, indent=2)
    stream.write("\n")
    stream.flush()


def results() -> Console:
    """The console for results, on standard output."""
    return _console(sys.stdout)


def notes() -> Console:
    """The console for everything else, on standard error."""
    return _console(sys.stderr)


def _console(stream: IO[str]) -> Console:
    from rich.console import Console

    return Console(file=stream, width=None if stream.isatty() else _WIDTH_OF_A_PIPE, highlight=False)


def say(text: str) -> None:
    """A sentence for a person; silent with `--json`. `text` is rich markup."""
    if not wants_document():
        results().print(text)


def note(text: str) -> None:
    """A remark on standard error. `text` is rich markup."""
    notes().print(text)


def failure(code: str, message: str, *, retryable: bool = False, detail: Mapping[str, Any] | None = None) -> None:
    """Say what went wrong: as the document with `--json`, else on standard error."""
    if code == UNWRITABLE:
        abandon()
    elif wants_document():
        document({"error": {"code": code, "message": message, "retryable": retryable, "detail": dict(detail or {})}})
        return
    from rich.text import Text

    again = " It is safe to try again." if retryable else ""
    notes().print(Text.assemble(("Error ", "bold red"), (f"{code}: ", "bold"), visible(message) + again))


def visible(text: str, *, line: bool = False) -> str:
    """`text` without anything a terminal would obey: control characters become `·`; with `line`, on one line."""
    if line:
        text = " ".join(text.split())
    keep = "\n\t"
    return "".join("·" if unicodedata.category(character) == "Cc" and character not in keep else character for character in text)


def shown(text: str, *, line: bool = False) -> str:
    """`text` as a part of markup: what a terminal or rich would obey (`[bold]`, `[/x]`) is shown as it is."""
    from rich.markup import escape

    return escape(visible(text, line=line))


def cut(text: str, size: int) -> str:
    """The beginning of a text, on one line."""
    short = visible(text, line=True)
    return short if len(short) <= size else short[: size - 1].rstrip() + "…"


def when(moment: datetime | None) -> str:
    """A time as people read it, in UTC."""
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M").removesuffix(" 00:00")


def table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()) -> None:
    """Print a table; its title and cells are shown as they are, never as markup. `right` names the columns of numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    heading = None if title is None else Text(visible(title), "bold")  # it may name an entity: never markup
    shown = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        whole = name in _WHOLE or name.endswith("(UTC)")  # somebody copies it, or reads it at a glance
        widest = max(map(len, name.split()), default=0)  # a narrow terminal breaks a heading between words only
        shown.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=whole, min_width=widest or None)
    for row in rows:
        shown.add_row(*(cell if isinstance(cell, Text) else Text(visible(_cell(cell))) for cell in row))
    results().print(shown)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return str(value)


def memories(found: Iterable[Memory]) -> None:
    """Print memories, each with its id, time and key on a line of its own, so that an id is never broken in a narrow terminal."""
    from rich.text import Text

    for memory in found:
        key = f"  {visible(memory.key, line=True)}" if memory.key else ""
        results().print(Text.assemble((memory.id, "bold"), f"  {when(memory.created_at)}", key), soft_wrap=True)
        results().print(Text(f"  {cut(memory.text, 120)}"))


@contextmanager
def progress(*, counted: bool = True) -> Iterator[Progress | None]:
    """A progress bar on standard error, or None where nobody watches (no terminal)."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = [SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
    if counted:
        columns[2:2] = [BarColumn(), TextColumn("{task.fields[shown]}")]
    with Progress(*columns, console=notes(), transient=True) as bar:
        yield bar


def text(body: str) -> None:
    """A memory's text, as it is but for what a terminal would obey."""
    results().print(visible(body), markup=False, soft_wrap=True)
