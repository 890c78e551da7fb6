"""One run over one source of lines: batches, forgets in their order, what stops and what goes on, and the counting.

Lives here: `Importer`. To add a way of going on after an error, see `_reject`. Must stay out: files
(`reading.py`), what a line means (`lines.py`), the functions users call (`transfer.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import Any, Literal

from memory_pipelines.domain.errors import Conflict, Gone, InvalidInput, MemoryPipelinesError, NotFound
from memory_pipelines.domain.models import ImportResult, LineError, MemoryInput
from memory_pipelines.domain.validation import identifier, key, memory_input, namespace
from memory_pipelines.services import forgetting
from memory_pipelines.services import memories as memories_service
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.transfer.lines import arrange, columns_of, copied_id, identity, with_id
from memory_pipelines.services.transfer.reading import Line
from memory_pipelines.services.transfer.repeats import History, Repeats

OnError = Literal["stop", "skip"]
OnImport = Callable[[int, float | None], None]

MOST_ERRORS = 10_000
_COUNTED = {"created": "imported", "revived": "imported", "updated": "updated", "unchanged": "unchanged"}


class _Stopped(Exception):  # a signal, not a failure
    pass


# Lines that an import passes by even under `stop`: what they ask for was settled earlier, by a forget.
PASSED_BY = frozenset({"memory_forgotten", "memory_unknown", "namespace_unknown"})


class Importer:
    """One run over one source: `_pending` are lines checked and not yet written, `_flying` the batch under way."""

    def __init__(
        self,
        platform: Platform,
        default_namespace: str | None,
        mapping: Mapping[str, str],
        on_error: OnError,
        revive: bool,
        batch: int,
        on_progress: OnImport | None,
        *,
        tabular: bool,
    ) -> None:
        if not 1 <= batch <= 1000:
            raise InvalidInput("limit_invalid", "`batch` must be 1 to 1000.", {"field": "batch", "limit": 1000})
        if on_error not in ("stop", "skip"):
            raise InvalidInput("on_error_invalid", "`on_error` must be `stop` or `skip`.", {"field": "on_error"})
        self._platform = platform
        self._namespace = None if default_namespace is None else namespace(default_namespace)
        self._mapping = mapping
        self._columns = columns_of(mapping)
        self._on_error = on_error
        self._revive = revive
        self._batch = batch
        self._on_progress = on_progress
        self._tabular = tabular
        self._repeats = Repeats()
        self._history = History(platform)
        self._pending: list[tuple[int, MemoryInput]] = []
        self._errors: list[LineError] = []
        self._writer = ThreadPoolExecutor(1, "import")  # one batch is written while the next one is read
        self._flying: tuple[Future[list[tuple[int, str | MemoryPipelinesError]]], Line | None] | None = None
        self._counts = dict.fromkeys(("imported", "updated", "unchanged", "forgotten", "rejected"), 0)

    def run(self, source: Callable[[], Iterator[Line]], *, twice: bool = True) -> ImportResult:
        """Take every line in order, and return the counts.

        Args:
            source: opens the lines from the beginning.
            twice: whether they can be read a second time, as a pipe's cannot.
        """
        if twice:
            lines = source()
            self._repeats = Repeats((line.number, identity(line.fields or {}, self._columns, self._namespace)) for line in lines)
        with self._writer:
            try:
                line: Line | None = None
                for line in _mapped(source(), self._mapping, self._batch):
                    self._take(line)
                    if len(self._pending) >= self._batch:
                        self._flush(line)
                self._flush(line)
                self._land()
            except _Stopped:
                pass
        return ImportResult(**self._counts, errors=tuple(sorted(self._errors, key=lambda error: error.line)))

    def _take(self, line: Line) -> None:
        if line.fields is None:
            code, message = line.problem or ("line_invalid", "The line cannot be read.")
            self._refuse(line, code, message)
            return
        settings = self._platform.settings
        try:
            item, forget = arrange(line.fields, self._columns, self._namespace, tabular=self._tabular)
            if forget:
                target = _target(item)
            else:
                checked = memory_input(with_id(item), passage_chars=settings.passage_chars, text_limit=settings.text_limit)
        except InvalidInput as error:
            hint = " To use it as the key instead: --map key=id." if error.code == "id_invalid" and "id" not in self._mapping else ""
            self._refuse(line, error.code, error.message + hint)
            return
        known = identity(line.fields, self._columns, self._namespace)
        if forget:
            self._flush(None)  # the order of the file is kept
            self._land()
            self._forget(line, target)
        elif known and self._repeats.overtaken(known, line.number) and self._history.holds(known, checked):
            self._counts["unchanged"] += 1
        else:
            self._pending.append((line.number, checked))

    def _refuse(self, line: Line, code: str, message: str) -> None:
        """Reject a line that has not reached the record; under `stop`, the batch under way counts first."""
        if self._on_error == "stop":
            self._land()
        self._reject(line.number, code, message)

    def _forget(self, line: Line, target: Mapping[str, str]) -> None:
        try:
            result = forgetting.forget(
                self._platform, id=self._meant(target.get("id")), key=target.get("key"), namespace=target.get("namespace")
            )
        except NotFound as error:
            self._reject(line.number, error.code, error.message)
        else:
            self._counts["forgotten" if result.forgotten else "unchanged"] += 1
        self._report(line)

    def _meant(self, given: str | None) -> str | None:
        """Where one namespace takes every line, an id means what is in it, or the copy in it, and never a memory of another one."""
        if given is None or self._namespace is None:
            return given
        copy = str(copied_id(given, self._namespace))
        try:
            return given if self._platform.record.get(id=given).namespace == self._namespace else copy
        except (NotFound, Gone):
            return copy if self._knows(copy) else given

    def _knows(self, memory_id: str) -> bool:
        try:
            self._platform.record.get(id=memory_id)
        except NotFound:
            return False
        except Gone:
            return True
        return True

    def _flush(self, line: Line | None) -> None:
        """Hand the pending lines to the writer, after the batch before them."""
        self._land()
        if self._pending:
            self._flying = self._writer.submit(self._write, self._pending), line
            self._pending = []
        else:
            self._report(line)

    def _land(self) -> None:
        """Wait for the batch under way, and count what came of it."""
        if self._flying is None:
            return
        (future, line), self._flying = self._flying, None
        for number, outcome in future.result():
            if isinstance(outcome, MemoryPipelinesError):
                self._reject(number, outcome.code, outcome.message)
            elif outcome == "forgotten":
                message = "The memory was forgotten and stays so, unless the import is told to revive."
                self._reject(number, "memory_forgotten", message)
            else:
                self._counts[_COUNTED[outcome]] += 1
        self._report(line)

    def _write(self, batch: Sequence[tuple[int, MemoryInput]]) -> list[tuple[int, str | MemoryPipelinesError]]:
        """Save one batch, in the writer's thread. What the record refuses is left out, or under `stop` the whole batch."""
        settled: list[tuple[int, str | MemoryPipelinesError]] = []
        rest = [batch]
        while rest:
            part = rest.pop(0)
            if not part:
                continue
            try:
                results = memories_service.save_inputs(self._platform, [memory for _, memory in part], revive=self._revive)
            except (InvalidInput, Conflict) as error:
                index = error.detail.get("index")
                if not isinstance(index, int) or not 0 <= index < len(part):
                    raise
                settled.append((part[index][0], error))
                if self._on_error == "stop":
                    break
                rest[:0] = [part[:index], part[index + 1 :]]
            else:
                settled += [(number, result.outcome) for (number, _), result in zip(part, results, strict=True)]
        return sorted(settled, key=lambda item: item[0])

    def _report(self, line: Line | None) -> None:
        if line is not None and self._on_progress is not None:
            self._on_progress(line.number, line.read)

    def _reject(self, number: int, code: str, message: str) -> None:
        self._counts["rejected"] += 1
        if len(self._errors) < MOST_ERRORS:
            self._errors.append(LineError(number, code, message))
        if self._on_error == "stop" and code not in PASSED_BY:
            raise _Stopped


def _target(item: Mapping[str, Any]) -> dict[str, str]:
    """Which memory a line forgets: never a whole namespace."""
    if item.get("id") is not None:
        return {"id": identifier(item["id"])}
    name = key(item.get("key"))
    if name is None:
        raise InvalidInput("forget_invalid", "A line that forgets needs a `key` or an `id`.", {"field": "forget"})
    return {"key": name, "namespace": namespace(item.get("namespace") or "default")}


def _mapped(lines: Iterator[Line], mapping: Mapping[str, str], count: int) -> Iterator[Line]:
    """`lines`, after a look at the first of them: a mapped column that none of them has is a mistake in the call."""
    first = list(islice(lines, count)) if mapping else []
    seen = {name for line in first for name in line.fields or ()}
    if seen and (absent := [column for column in mapping.values() if column not in seen]):
        raise InvalidInput(
            "mapping_unknown",
            f"No line among the first {len(first)} has a field {absent[0]!r}; there are {', '.join(sorted(seen)[:20])}.",
            {"missing": absent},
        )
    return chain(first, lines)
