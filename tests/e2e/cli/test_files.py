"""`import` and `export` as a user meets them, on real engines."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import Cli, space

COUNTS = ("imported", "updated", "unchanged", "forgotten", "rejected")


def counted(document: dict[str, Any]) -> tuple[int, ...]:
    assert set(document) == {*COUNTS, "errors"}
    return tuple(document[name] for name in COUNTS)


def test_import_and_export(cli: Cli, fresh: Cli, tmp_path: Path) -> None:
    name = space()
    path = tmp_path / "in.jsonl"
    relation = {"source": "A", "predicate": "p", "target": "B"}
    items = [
        {"id": "e1", "date": "1660-01-01", "text": "Lay long in bed.", "mood": "good", "entities": [{"name": "Eliza", "type": "person"}]},
        {"id": "e2", "date": "1660-01-02", "text": 'The office; "ünïcode", a,b\nnext.', "relations": [relation]},
        {"id": "e3", "date": None, "text": "A secret."},
        {"id": "e3", "forget": True},
    ]  # fmt: skip
    path.write_text("\n".join(json.dumps(item) for item in items) + "\n", encoding="utf-8")
    options = ("--namespace", name, "--map", "created_at=date", "--map", "key=id")
    done = cli("import", path, *options, "--json")
    assert done.code == 0, done.out
    assert counted(done.json) == (3, 0, 0, 1, 0)
    again = cli("import", path, *options, "--json")
    assert (again.code, counted(again.json), again.json["errors"]) == (0, (0, 0, 4, 0, 0), [])
    before = cli("list", "-n", name, "--json").json["memories"]
    assert [item["key"] for item in before] == ["e2", "e1"]

    for file in ("out.jsonl", "out.csv", "out.parquet"):
        target = tmp_path / file
        assert cli("export", target, "-n", name, "--json").json == {"exported": 2, "file": str(target)}
        same = cli("import", target, "--json")
        assert counted(same.json) == (0, 0, 2, 0, 0)
    assert counted(fresh("import", tmp_path / "out.csv", "--json").json) == (2, 0, 0, 0, 0)
    after = fresh("list", "-n", name, "--json").json["memories"]
    fields = ("id", "key", "text", "metadata", "created_at", "entities", "relations", "thread", "source")
    assert [[item[field] for field in fields] for item in after] == [[item[field] for field in fields] for item in before]

    streamed = cli("export", "-", "-n", name)
    assert set(json.loads(streamed.out.splitlines()[0])) >= {"id", "key", "namespace", "text", "created_at"}
    piped = cli("import", "-", "--json", stdin=streamed.out)
    assert counted(piped.json) == (0, 0, 2, 0, 0)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == [item["text"] for item in before]
    assert cli("export", "-", "--json").code == 2


def test_a_bad_line_stops_or_is_skipped(cli: Cli, tmp_path: Path) -> None:
    name = space()
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "one", "key": "a"}\n{"text": "two", "key": "b"}\n{"text": ""}\n{broken\n{"text": "five", "key": "e"}\n')
    stopped = cli("import", path, "-n", name, "--batch", "2", "--json")
    assert (stopped.code, counted(stopped.json)) == (1, (2, 0, 0, 0, 1))
    (error,) = stopped.json["errors"]
    assert set(error) == {"line", "code", "message"}
    assert (error["line"], error["code"]) == (3, "text_empty")
    told = cli("import", path, "-n", name, "--batch", "2")
    assert told.code == 1
    assert "Stopped at line 3" in told.err
    assert "from 3 on were not imported" in " ".join(told.err.split())
    skipped = cli("import", path, "-n", name, "--on-error", "skip", "--json")
    assert (skipped.code, counted(skipped.json)) == (0, (1, 0, 2, 0, 2))
    assert [(item["line"], item["code"]) for item in skipped.json["errors"]] == [(3, "text_empty"), (4, "json_invalid")]
    assert cli("forget", "-k", "a", "-n", name).code == 0
    forgotten = cli("import", path, "-n", name, "--on-error", "skip", "--json").json
    assert ("memory_forgotten", 1) in {(item["code"], item["line"]) for item in forgotten["errors"]}
    assert cli("import", path, "-n", name, "--on-error", "skip", "--revive", "--json").json["imported"] == 1
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text("no\nmemories\n")
    assert cli("import", nothing, "--on-error", "skip", "--json").code == 1


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_an_export_imported_into_its_own_record_changes_nothing(cli: Cli, tmp_path: Path, suffix: str) -> None:
    name, file = space(), tmp_path / f"all.{suffix}"
    cli("save", "No time was given.", "-n", name, "--key", "a", "--metadata", '{"n": [1, 0.1, null], "z": "ü"}', "--thread", "t")
    cli("save", "One was.", "-n", name, "--created-at", "2026-01-02T03:04:05.678901Z", "--expires-at", "2199-01-01", "--source", "s")
    cli("save", "Ada met Ben.", "-n", name, "--entity", "Ada:person", "--relation", "Ada|met|Ben")
    changed = cli("save", "It changed.", "-n", name, "--json").json["id"]
    cli("update", changed, "--text", "It changed again.")
    before = cli("list", "-n", name, "--json").json
    assert cli("export", file, "-n", name).code == 0
    for _ in range(2):
        done = cli("import", file, "--json")
        assert (done.code, done.json["unchanged"], done.json["updated"], done.json["imported"]) == (0, 4, 0, 0), done.out
    assert cli("list", "-n", name, "--json").json == before
    assert [entry["operation"] for entry in cli("history", changed, "--json").json["versions"]] == ["created", "updated"]


def test_an_import_into_a_namespace_goes_over_the_files_own_and_a_memory_of_another_is_copied(cli: Cli, tmp_path: Path) -> None:
    name, other, file = space(), space(), tmp_path / "all.jsonl"
    saved = cli("save", "Ada sings.", "-n", name, "--key", "song", "--json").json["id"]
    cli("save", "Ben listens.", "-n", name)
    cli("export", file, "-n", name)
    done = cli("import", file, "--namespace", other, "--json").json
    assert (done["imported"], done["rejected"]) == (2, 0)
    assert cli("import", file, "--namespace", other, "--json").json["unchanged"] == 2, "copying twice changes nothing"
    assert cli("get", "--key", "song", "-n", other, "--json").json["id"] != saved
    assert cli("get", saved, "--json").json["namespace"] == name
    assert len(cli("list", "-n", name, "--json").json["memories"]) == len(cli("list", "-n", other, "--json").json["memories"]) == 2


def test_a_line_that_forgets_touches_no_namespace_but_the_one_that_was_asked_for(cli: Cli, tmp_path: Path) -> None:
    name, other, file = space(), space(), tmp_path / "lines.jsonl"
    saved = cli("save", "Ada sings.", "-n", name, "--json").json["id"]
    lines = [{"id": saved, "namespace": name, "text": "Ada sings."}, {"id": saved, "forget": True}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert counted(cli("import", file, "--namespace", other, "--json").json) == (1, 0, 0, 1, 0)
    assert cli("get", saved, "--json").json["namespace"] == name, "the copy is forgotten, and not what it was copied from"
    assert cli("list", "-n", other, "--json").json["memories"] == []
    assert counted(cli("import", file, "--namespace", other, "--json").json) == (0, 0, 2, 0, 0)

    own = cli("save", "Ben listens.", "-n", other, "--json").json["id"]
    file.write_text(json.dumps({"id": own, "forget": True}) + "\n")
    assert counted(cli("import", file, "--namespace", name, "--json").json) == (0, 0, 0, 0, 1), "it has no copy there"
    assert counted(cli("import", file, "--namespace", other, "--json").json) == (0, 0, 0, 1, 0), "what is in it is meant itself"


@pytest.mark.parametrize(
    ("command", "file", "code"),
    [
        ("export", ".", "file_unwritable"), ("export", "folder", "file_unwritable"), ("export", "folder.csv", "file_unwritable"),
        ("export", "nowhere/x.jsonl", "file_unwritable"), ("export", "memories.xlsx", "format_unknown"),
        ("import", ".", "file_unreadable"), ("import", "folder", "file_unreadable"), ("import", "folder.csv", "file_unreadable"),
        ("import", "nowhere.jsonl", "file_unreadable"), ("import", "folder.parquet", "file_unreadable"),
        ("export", "folder.parquet", "file_unwritable"),
    ],
)  # fmt: skip
def test_what_is_no_file_is_named(cli: Cli, tmp_path: Path, command: str, file: str, code: str) -> None:
    for name in ("folder", "folder.csv", "folder.parquet"):
        (tmp_path / name).mkdir()
    ran = cli(command, tmp_path / file, "--json")
    assert ran.error["code"] == code, ran.out
    assert ran.code in {1, 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "folder.csv", "folder.parquet"], "nothing is left behind"


@pytest.mark.parametrize("target", ["", "inside/nowhere/", "inside/", "/dev/full"])
def test_an_export_that_cannot_be_written_says_so_and_leaves_nothing(cli: Cli, tmp_path: Path, target: str) -> None:
    name, inside = space(), tmp_path / "inside"
    cli("save", "Ada sings.", "-n", name)
    inside.mkdir()
    ran = cli("export", target.replace("inside", str(inside)), "-n", name, "--format", "jsonl", "--json")
    assert (ran.error["code"], ran.code) == ("file_unwritable", 1), ran.out
    assert [*inside.iterdir(), *tmp_path.glob(".*.part")] == []
