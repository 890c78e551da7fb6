"""Import and export without a database: what stops, what goes on, what is counted, and that a repetition changes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import pytest

from memory_pipelines.domain.errors import Conflict, Gone, InvalidInput, NotFound
from memory_pipelines.domain.models import ForgetResult, HistoryEntry, ImportResult, LineError, Memory, MemoryInput, MemoryPage, SaveResult
from memory_pipelines.services.transfer import importer as transfer_importer
from memory_pipelines.services.transfer import repeats as transfer_repeats
from memory_pipelines.services.transfer import transfer


@dataclass
class Record:
    """Stands for `services.memories` and the record behind it, in a dictionary."""

    settings: Any = field(default_factory=lambda: SimpleNamespace(passage_chars=400, text_limit=1000))
    memories: dict[str, Memory] = field(default_factory=dict)
    versions: dict[str, list[HistoryEntry]] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    batches: list[int] = field(default_factory=list)
    refuse: str | None = None

    @property
    def record(self) -> Record:
        return self

    def namespaces(self) -> list[str]:
        return sorted({memory.namespace for memory in self.memories.values()})

    def find(self, given: MemoryInput) -> str | None:
        if given.id_given:
            return given.id if given.id in self.memories or given.id in self.forgotten else None
        return self.by_key(given.namespace, given.key)

    def by_key(self, namespace: str, key: str | None) -> str | None:
        known = [m.id for m in self.memories.values() if key is not None and (m.namespace, m.key) == (namespace, key)]
        return known[0] if known else next((name for name in self.forgotten if name == f"{namespace}/{key}"), None)

    def save_inputs(self, _: Any, inputs: Sequence[MemoryInput], *, revive: bool) -> list[SaveResult]:
        for index, given in enumerate(inputs):
            if self.refuse is not None and self.refuse in given.text:
                raise Conflict("id_taken", "The id belongs to another namespace.", {"index": index})
        self.batches.append(len(inputs))
        return [self.save_one(given, revive) for given in inputs]

    def save_one(self, given: MemoryInput, revive: bool) -> SaveResult:
        known = self.find(given)
        if known in self.forgotten and not revive:
            return SaveResult(given.id, 1, 1, "forgotten")
        now = given.created_at or datetime(2026, 1, 1, tzinfo=UTC)
        fields = {
            name: getattr(given, name) for name in ("namespace", "text", "key", "thread", "metadata", "source", "entities", "relations")
        }
        new = Memory(
            id=known if known in self.memories and known else given.id, version=1, revision=1, created_at=now, updated_at=now, **fields
        )
        old = self.memories.get(new.id)
        if old is not None and replace(new, version=old.version) == old:
            return SaveResult(old.id, old.version, 1, "unchanged")
        self.forgotten.discard(known or "")
        self.memories[new.id] = replace(new, version=old.version + 1 if old else 1)
        self.versions.setdefault(new.id, []).append(HistoryEntry(1, 1, "save", now, new.text, new.metadata))
        return SaveResult(new.id, self.memories[new.id].version, 1, "updated" if old else "created")

    def forget(self, _: Any, *, id: str | None, key: str | None, namespace: str | None) -> ForgetResult:  # noqa: A002
        known = id or self.by_key(namespace or "default", key)
        if known in self.forgotten:
            return ForgetResult(0, (str(known),))
        if known not in self.memories:
            raise NotFound("memory_unknown", "There is no such memory.")
        gone = self.memories.pop(str(known))
        self.forgotten |= {gone.id, f"{gone.namespace}/{gone.key}"}
        return ForgetResult(1, (gone.id,))

    def get(self, _: Any, *, id: str | None, key: str | None, namespace: str) -> Memory:  # noqa: A002
        known = id or self.by_key(namespace, key)
        if known in self.forgotten:
            raise Gone("memory_forgotten", "Forgotten.")
        if known not in self.memories:
            raise NotFound("memory_unknown", "There is no such memory.")
        return self.memories[str(known)]

    def history(self, _: Any, id: str) -> tuple[HistoryEntry, ...]:  # noqa: A002
        return tuple(self.versions[id])

    def list_page(self, _: Any, *, namespace: str, limit: int, cursor: str | None, **__: Any) -> MemoryPage:
        found = [memory for memory in self.memories.values() if memory.namespace == namespace]
        start = int(cursor or 0)
        return MemoryPage(tuple(found[start : start + limit]), str(start + limit) if start + limit < len(found) else None)


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    fake = Record()
    for module in (transfer, transfer_importer, transfer_repeats):
        monkeypatch.setattr(module, "memories_service", fake)
    monkeypatch.setattr(transfer_importer, "forgetting", fake)
    return fake


def lines(folder: Path, *items: Any, name: str = "file.jsonl") -> Path:
    path = folder / name
    path.write_text("".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in items), encoding="utf-8")
    return path


def texts(record: Record) -> list[str]:
    return [memory.text for memory in record.memories.values()]


def test_fields_become_a_memory_and_the_rest_metadata(record: Record, tmp_path: Path) -> None:
    path = lines(
        tmp_path,
        {"text": "one", "key": "a", "thread": "t", "metadata": {"m": 1}, "mood": None, "created_at": "1660-01-01"},
        {"text": "two", "key": 7, "namespace": "own", "entities": [{"name": "Anna"}]},
    )
    assert transfer.import_file(record, path, namespace="given") == ImportResult(imported=2)
    one, two = record.memories.values()
    assert (one.namespace, one.key, one.thread, one.metadata) == ("given", "a", "t", {"m": 1, "mood": None})
    assert one.created_at == datetime(1660, 1, 1, tzinfo=UTC)
    assert (two.namespace, two.key, two.entities[0].name) == ("given", "7", "Anna")


def test_a_mapped_column_serves_its_field_only(record: Record, tmp_path: Path) -> None:
    path = lines(
        tmp_path, {"id": "entry-1", "date": "1660-01-01", "text": "one", "mood": "good"}, {"id": "entry-2", "date": None, "text": "two"}
    )
    result = transfer.import_file(record, path, mapping={"key": "id", "created_at": "date"})
    assert result == ImportResult(imported=2)
    one, two = record.memories.values()
    assert (one.key, one.metadata, one.created_at.year) == ("entry-1", {"mood": "good"}, 1660)
    assert (two.key, two.metadata) == ("entry-2", {})


@pytest.mark.parametrize("mapping", [{"key": "idd"}, {"keys": "id"}])
def test_a_mapping_to_nothing_is_refused_before_anything_is_written(record: Record, tmp_path: Path, mapping: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        transfer.import_file(record, lines(tmp_path, {"id": "a", "text": "one"}), mapping=mapping)
    assert caught.value.code == "mapping_unknown"
    assert not record.memories


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("{", "json_invalid"), ("[1]", "json_invalid"), ('{"text": NaN}', "json_invalid"), ('{"text": ' + "[" * 100_000, "json_invalid"),
        ('{"text": "", "key": "k"}', "text_empty"), ('{"key": "k"}', "text_missing"), ('{"text": "a\\u0000"}', "text_invalid"),
        ('{"text": "a\\ud800"}', "text_invalid"), ('{"text": "a", "key": "' + "k" * 600 + '"}', "key_invalid"),
        ('{"text": "a", "metadata": []}', "metadata_invalid"), ('{"text": "a", "a": 1, "metadata": {"a": 2}}', "metadata_invalid"),
        ('{"text": "a", "b": 1e999}', "metadata_invalid"), ('{"text": "a", "id": "entry-1"}', "id_invalid"),
        ('{"text": "a", "created_at": 5}', "timestamp_invalid"), ('{"text": "a", "forget": "soon"}', "forget_invalid"),
        ('{"forget": true}', "forget_invalid"), ('{"forget": true, "namespace": "mara"}', "forget_invalid"),
    ],
)  # fmt: skip
def test_a_bad_line_stops_or_is_skipped_with_its_number_and_reason(record: Record, tmp_path: Path, bad: str, code: str) -> None:
    good = [{"text": f"good {number}"} for number in range(6)]
    path = lines(tmp_path, *good[:3], "", *good[3:5], bad, *good[5:])
    settled: list[int] = []
    result = transfer.import_file(record, path, batch=2, on_progress=lambda line, _: settled.append(line))
    assert (result.imported, result.rejected, [(error.line, error.code) for error in result.errors]) == (4, 1, [(7, code)])
    assert transfer.stopped(result, "stop")
    assert settled[-1] == 5  # the batch that line 6 was in was not written: the first line that is not in is 6
    again = transfer.import_file(record, path, batch=2, on_error="skip")
    assert (again.imported, again.unchanged, again.rejected) == (2, 4, 1)
    assert not transfer.stopped(again, "skip")
    assert texts(record) == [item["text"] for item in good]


def test_bytes_that_are_not_utf8(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "one"}\n{"text": "\xff"}\n{"text": "three"}')
    result = transfer.import_file(record, path, on_error="skip")
    assert (result.imported, [(error.line, error.code) for error in result.errors]) == (2, [(2, "encoding_invalid")])


def test_a_line_that_never_ends(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memory_pipelines.services.transfer.reading.LONGEST_LINE", 50)
    path = lines(tmp_path, {"text": "one"}, {"text": "x" * 300}, {"text": "three"})
    result = transfer.import_file(record, path, on_error="skip")
    assert (result.imported, [(error.line, error.code) for error in result.errors]) == (2, [(2, "line_too_long")])


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_importing_twice_changes_nothing(record: Record, tmp_path: Path, on_error: Any) -> None:
    story = [
        {"text": "lives in Hamburg", "key": "home"}, {"text": "likes tea"}, {"text": "lives in Lisbon", "key": "home"},
        {"text": "a secret", "key": "secret"}, {"text": "lives in Porto", "key": "home", "mood": "good"},
        {"key": "secret", "forget": True}, {"text": "likes tea"},
    ]  # fmt: skip
    path = lines(tmp_path, *story)
    first = transfer.import_file(record, path, on_error=on_error, batch=2)
    assert first == ImportResult(imported=3, updated=2, unchanged=1, forgotten=1)
    before, versions = dict(record.memories), {name: len(past) for name, past in record.versions.items()}
    again = transfer.import_file(record, path, on_error=on_error, batch=3)
    assert again == ImportResult(unchanged=7)
    assert record.memories == before
    assert {name: len(past) for name, past in record.versions.items()} == versions


def test_what_was_forgotten_by_hand_is_reported_and_does_not_stop(record: Record, tmp_path: Path) -> None:
    path = lines(tmp_path, {"text": "one", "key": "a"}, {"text": "two", "key": "b"})
    transfer.import_file(record, path)
    record.forget(None, id=None, key="a", namespace="default")
    result = transfer.import_file(record, path)
    assert (result.unchanged, result.rejected, result.errors[0].line, result.errors[0].code) == (1, 1, 1, "memory_forgotten")
    assert not transfer.stopped(result, "stop")
    assert transfer.import_file(record, path, revive=True).imported == 1


def test_forgetting_what_is_unknown_is_reported_and_does_not_stop(record: Record, tmp_path: Path) -> None:
    result = transfer.import_file(record, lines(tmp_path, {"key": "never", "forget": True}, {"text": "one"}))
    assert (result.imported, result.rejected, result.errors[0].code) == (1, 1, "memory_unknown")
    assert not transfer.stopped(result, "stop")


def test_a_forget_waits_for_the_lines_before_it(record: Record, tmp_path: Path) -> None:
    items = [{"text": "one", "key": "a"}, {"key": "a", "forget": True}, {"text": "two", "key": "b"}]
    assert transfer.import_file(record, lines(tmp_path, *items)) == ImportResult(imported=2, forgotten=1)
    assert texts(record) == ["two"]


def test_a_line_that_the_record_refuses(record: Record, tmp_path: Path) -> None:
    path = lines(tmp_path, *({"text": f"{'bad' if number in (2, 5) else 'good'} {number}"} for number in range(8)))
    record.refuse = "bad"
    stopped = transfer.import_file(record, path, batch=8)
    assert (stopped.imported, [(error.line, error.code) for error in stopped.errors]) == (0, [(3, "id_taken")])
    result = transfer.import_file(record, path, batch=8, on_error="skip")
    assert (result.imported, [error.line for error in result.errors]) == (6, [3, 6])
    assert texts(record) == [f"good {number}" for number in (0, 1, 3, 4, 6, 7)]


def test_under_stop_the_first_bad_line_is_the_one_that_is_told(record: Record, tmp_path: Path) -> None:
    record.refuse = "bad"  # found by the record, while the next batch is already being read
    items = [{"text": "good 1"}, {"text": "bad 2"}, {"text": "good 3"}, "{", {"text": "good 5"}]
    result = transfer.import_file(record, lines(tmp_path, *items), batch=2)
    assert (result.imported, result.rejected, [(error.line, error.code) for error in result.errors]) == (0, 1, [(2, "id_taken")])
    assert not record.memories


def test_a_file_that_is_not_there(record: Record, tmp_path: Path) -> None:
    for name, code in (("none.jsonl", "file_unreadable"), ("none.parquet", "file_unreadable"), ("", "file_unreadable")):
        with pytest.raises(InvalidInput) as caught:
            transfer.import_file(record, tmp_path / name)
        assert caught.value.code == code
    with pytest.raises(InvalidInput) as caught:
        transfer.import_file(record, tmp_path / "a.jsonl", format="xml")
    assert caught.value.code == "format_unknown"
    with pytest.raises(InvalidInput) as caught:
        transfer.import_file(record, lines(tmp_path, "not parquet", name="a.parquet"))
    assert caught.value.code == "parquet_invalid"


STORY = [
    {"text": 'Line one,\nline "two"\r\nthree', "key": "a", "thread": "t", "source": "chat", "created_at": "2026-05-01T09:30:00+02:00"},
    {"text": "ünïcode 🎈; a, b", "key": "007", "metadata": {"n": 1.5, "deep": [{"x": None}], "ü": True}, "namespace": "mara"},
    {
        "text": "with links",
        "entities": [{"name": "Anna", "type": "person"}],
        "relations": [{"source": "A", "predicate": "p", "target": "B"}],
    },
]


@pytest.mark.parametrize("name", ["all.jsonl", "all.csv", "all.parquet"])
def test_what_is_exported_can_be_imported(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    transfer.import_file(record, lines(tmp_path, *STORY, *({"text": f"more {number}"} for number in range(1200))))
    counted: list[int] = []
    assert transfer.export_file(record, tmp_path / name, on_progress=counted.append) == 1203
    assert counted[-1] == 1203
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"file.jsonl", name})
    assert transfer.import_file(record, tmp_path / name) == ImportResult(unchanged=1203)
    other = Record()
    for module in (transfer, transfer_importer, transfer_repeats):
        monkeypatch.setattr(module, "memories_service", other)
    assert transfer.import_file(other, tmp_path / name) == ImportResult(imported=1203)
    assert other.memories == record.memories


def test_an_export_that_fails_leaves_nothing(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transfer.import_file(record, lines(tmp_path, *STORY))
    target = tmp_path / "out.jsonl"
    target.write_text("what was there")
    monkeypatch.setattr(record, "list_page", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        transfer.export_file(record, target)
    assert target.read_text() == "what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.jsonl", "out.jsonl"]
    with pytest.raises(InvalidInput) as caught:
        transfer.export_file(record, tmp_path / "missing" / "out.jsonl")
    assert caught.value.code == "file_unwritable"


def test_a_device_is_written_to_and_not_replaced(record: Record, tmp_path: Path) -> None:
    transfer.import_file(record, lines(tmp_path, *STORY))
    assert transfer.export_file(record, "/dev/null") == 3
    assert not Path("/dev/null").is_file()


def test_csv_rows_that_are_wrong_do_not_spoil_the_others(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(
        b'text,key,metadata,extra,forget\r\n"two\nlines",007,,x,\r\nshort,1\r\nbad json,2,{,,\r\nbytes \xff,3,,,\r\n\r\nfine,4,,,false\r\n'
    )
    result = transfer.import_file(record, path, on_error="skip")
    assert result.imported == 2
    assert [(error.line, error.code) for error in result.errors] == [(4, "csv_invalid"), (5, "metadata_invalid"), (6, "encoding_invalid")]
    one, two = record.memories.values()
    assert (one.text, one.key, one.metadata) == ("two\nlines", "007", {"extra": "x"})
    assert (two.text, two.metadata) == ("fine", {})


@pytest.mark.parametrize("content", ["", "a,a\n1,2\n"])
def test_csv_headers(record: Record, tmp_path: Path, content: str) -> None:
    path = tmp_path / "file.csv"
    path.write_text(content)
    if content:
        with pytest.raises(InvalidInput, match="same name"):
            transfer.import_file(record, path)
    else:
        assert transfer.import_file(record, path) == ImportResult()


def test_frames(record: Record) -> None:
    frame = pandas.DataFrame(
        {
            "text": ["one", "two", None],
            "number": [1, None, 3],
            "when": pandas.to_datetime(["2026-05-01T09:30:00.123456789Z", None, None]),
            "metadata": [{"a": [1, 2]}, None, None],
            "score": [0.5, float("nan"), 1.0],
        }
    )
    result = transfer.import_frame(record, frame, mapping={"key": "number", "created_at": "when"}, on_error="skip", namespace="frames")
    assert (result.imported, [(error.line, error.code) for error in result.errors]) == (2, [(3, "text_missing")])
    one, two = record.memories.values()
    assert (one.key, one.metadata, one.namespace) == ("1", {"a": [1, 2], "score": 0.5}, "frames")
    assert one.created_at == datetime(2026, 5, 1, 9, 30, 0, 123456, tzinfo=UTC)
    assert (two.key, two.metadata) == (None, {})
    assert transfer.import_frame(record, frame.iloc[:2], mapping={"key": "number", "created_at": "when"}, namespace="frames").unchanged == 2


def test_frames_without_a_zone_are_refused(record: Record) -> None:
    frame = pandas.DataFrame({"text": ["one"], "created_at": pandas.to_datetime(["2026-05-01 09:30"])})
    assert transfer.import_frame(record, frame).errors[0].code == "timestamp_invalid"


def test_many_errors_are_counted_and_the_first_are_kept(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_importer, "MOST_ERRORS", 3)
    result = transfer.import_file(record, lines(tmp_path, *["{"] * 10), on_error="skip")
    assert (result.rejected, len(result.errors)) == (10, 3)
    assert isinstance(result.errors[0], LineError)
