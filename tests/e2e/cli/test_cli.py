"""Every command as a user meets it: its help, and what memories go through."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from memory_pipelines.entrypoints.cli import app
from tests.e2e.command import COMMAND, ROOT, Cli, Warm, environment, runner, space

TOP: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group
# Commands of a group are named with it: `policy set`.
COMMANDS: dict[str, Any] = {
    f"{group} {name}".strip(): command for group, found in TOP.items() for name, command in getattr(found, "commands", {"": found}).items()
}
EXPECTED = {
    "demo", "dev", "up", "down", "import", "export", "save", "get", "list", "search", "update", "forget", "history", "related",
    "status", "sync", "rebuild", "audit", "explain", "repair", "policy set", "policy list", "doctor", "migrate",
    "dead list", "dead show", "dead retry", "dead drop", "namespaces", "maintain",
    "entities list", "entities merge", "entities unmerge", "entities aliases", "entities show",
}  # fmt: skip


def test_the_commands_are_those_that_were_promised() -> None:
    assert set(COMMANDS) == EXPECTED


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself_with_examples_and_speaks_json(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert f"memory-pipelines {name}" in (command.epilog or ""), "its help needs an example: epilog=options.examples(…)"
    assert "--json" in {option for parameter in command.params for option in parameter.opts}
    for parameter in command.params:
        assert getattr(parameter, "help", None) or parameter.name == "help", f"{parameter.name} has no help text"


def test_the_page_for_users_has_every_command_in_its_tables() -> None:
    rows = [line for line in (ROOT / "docs" / "using.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z]+)", row.split("|")[1])}
    assert set(TOP) - named == set()


def test_help_is_printed_and_loads_nothing_heavy(warm: Warm, tmp_path: Path) -> None:
    run = runner(warm, tmp_path / "home", tmp_path)
    alone, asked, one = run(), run("--help"), run("import", "--help")
    assert (alone.code, asked.code, one.code) == (0, 0, 0)
    assert "forget" in alone.out
    assert "Examples:" in one.out
    assert run("--version").out.startswith("memory-pipelines 0.")
    assert not (tmp_path / "home").exists()
    heavy = "{'dagster', 'pandas', 'pyarrow', 'openai', 'wordllama', 'psycopg', 'redis', 'numpy', 'fastapi'}"
    check = f"import sys, memory_pipelines.entrypoints.cli; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, env=environment(tmp_path), check=True)
    assert loaded.stdout.strip() == "[]"
    apart = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, env=environment(tmp_path), check=True)
    assert apart.stdout == asked.out


def test_main_is_the_installed_command() -> None:
    assert 'memory-pipelines = "memory_pipelines.entrypoints.cli:main"' in (ROOT / "pyproject.toml").read_text()


def test_the_life_of_a_memory(cli: Cli) -> None:
    name = space()
    given = ("--namespace", name, "--key", "home", "--metadata", '{"topic": "home"}', "--entity", "Mara:person", "--thread", "t1")
    saved = cli("save", "Mara moved to Lisbon.", *given, "--relation", "Mara|lives_in|Lisbon", "--created-at", "2026-05-01", "--json")
    assert saved.code == 0, saved.err
    assert set(saved.json) == {"id", "key", "version", "revision", "outcome"}
    assert (saved.json["outcome"], saved.json["version"], saved.json["key"]) == ("created", 1, "home")
    memory_id = saved.json["id"]

    again = cli("save", "Mara moved to Lisbon.", *given, "--relation", "Mara|lives_in|Lisbon", "--created-at", "2026-05-01", "--json")
    assert (again.json["outcome"], again.json["id"]) == ("unchanged", memory_id)

    found = cli("get", memory_id, "--json").json
    assert found == cli("get", "--key", "home", "-n", name, "--json").json
    assert (found["text"], found["metadata"], found["thread"]) == ("Mara moved to Lisbon.", {"topic": "home"}, "t1")
    assert found["created_at"] == "2026-05-01T00:00:00+00:00"
    assert {"name": "Mara", "type": "person"} in found["entities"]

    changed = cli(
        "update", memory_id, "--text", "-", "--clear", "thread", "--expected-version", "1", "--json", stdin="Mara lives in Porto.\n"
    )
    assert (changed.code, changed.json["outcome"], changed.json["version"]) == (0, "updated", 2)
    assert cli("update", memory_id, "--text", "x", "--expected-version", "1", "--json").error["code"] == "version_conflict"
    past = cli("history", memory_id, "--json").json
    assert past["id"] == memory_id
    assert [(item["version"], item["text"]) for item in past["versions"]] == [(1, "Mara moved to Lisbon."), (2, "Mara lives in Porto.")]

    assert cli("forget", memory_id, "--wait", "all", "--json").json["forgotten"] == 1
    assert cli("forget", "--key", "home", "-n", name, "--json").json["forgotten"] == 0
    gone = cli("get", memory_id, "--json")
    assert (gone.code, gone.error["code"]) == (1, "memory_forgotten")
    assert cli("search", "Porto", "-n", name, "--json").json == {"results": []}
    assert [item["text"] for item in cli("history", memory_id, "--json").json["versions"]] == [None, None, None]
    assert cli("save", "Back.", "-n", name, "-k", "home", "--json").error["code"] == "memory_forgotten"
    assert cli("save", "Back.", "-n", name, "-k", "home", "--revive", "--json").json["outcome"] == "revived"


def test_lists_are_paged_and_filtered(cli: Cli, tmp_path: Path) -> None:
    name = space()
    path = tmp_path / "five.jsonl"
    items = [{"text": f"memory {n}", "n": n % 2, "created_at": f"2026-01-0{n + 1}"} for n in range(5)]
    path.write_text("\n".join(map(json.dumps, items)))
    cli("import", path, "-n", name)
    first = cli("list", "-n", name, "--limit", "3", "--json").json
    assert set(first) == {"memories", "cursor"}
    rest = cli("list", "-n", name, "--limit", "3", "--cursor", first["cursor"], "--json").json
    assert [item["text"] for item in first["memories"] + rest["memories"]] == [f"memory {n}" for n in (4, 3, 2, 1, 0)]
    assert rest["cursor"] is None
    odd = cli("list", "-n", name, "--metadata", '{"n": 1}', "--created-after", "2026-01-03", "--json").json
    assert [item["text"] for item in odd["memories"]] == ["memory 3"]


def test_entities_are_merged_and_taken_apart(cli: Cli) -> None:
    name = space()
    saved = cli("save", "Bob came.", "-n", name, "--entity", "Bob:person", "--json").json["id"]
    cli("save", "Robert left.", "-n", name, "--entity", "Robert:person")
    merged = cli("entities", "merge", "Bob", "Robert", "-n", name, "--by", "mara", "--json").json
    assert merged == {"outcome": "merged", "entity": "Robert", "alias": "Bob", "memories": 1}
    assert "Nothing to do" in cli("entities", "merge", "Bob", "Robert", "-n", name).out
    (alias,) = cli("entities", "aliases", "-n", name, "--json").json["aliases"]
    assert (alias["name"], alias["entity"], alias["merged_by"]) == ("Bob", "Robert", "mara")
    assert "mara" in cli("entities", "aliases", "-n", name).out
    found = cli("entities", "show", "Bob", "-n", name, "--json").json
    assert (found["name"], found["mentions"]) == ("Robert", 2)
    assert [item["name"] for item in found["memories"] if item["memory"] == saved] == ["Bob"]
    assert "Bob" in cli("entities", "show", "Robert", "-n", name).out
    itself = cli("entities", "merge", "Robert", "Bob", "-n", name, "--json")
    assert itself.error["code"] == "entity_merged_with_itself"
    assert cli("entities", "unmerge", "Bob", "-n", name, "--json").json == {"outcome": "unmerged", "entity": "Bob", "memories": 1}
    assert cli("entities", "unmerge", "Bob", "-n", name, "--json").error["code"] == "alias_unknown"


def test_search_and_related(cli: Cli) -> None:
    name = space()
    cli(
        "save", "Anna works at Acme as a carpenter.", "-n", name, "-k", "job", "--relation", "Anna|works_at|Acme", "--entity", "Anna:person"
    )
    cli("save", "Boris likes tea.", "-n", name, "--wait", "all")
    saved = cli("save", "Anna's dog is called Waffle.", "-n", name, "--entity", "Anna", "--wait", "all", "--json")
    assert saved.code == 0, saved.out
    cli("sync")
    hits = cli("search", "what is the job of Anna?", "-n", name, "--limit", "2", "--json").json["results"]
    assert len(hits) == 2
    assert set(hits[0]) == {"id", "key", "namespace", "text", "passage", "score", "created_at", "metadata"}
    assert (hits[0]["key"], hits[0]["namespace"]) == ("job", name)
    plain = cli("search", "carpenter", "-n", name)
    assert plain.code == 0
    assert "Anna works at Acme as a carpenter." in plain.out

    found = cli("related", "anna", "-n", name, "--json").json
    assert (found["name"], found["type"], found["namespace"]) == ("Anna", "person", name)
    (acme,) = [item for item in found["neighbours"] if item["name"] == "Acme"]
    assert acme["predicates"] == [{"predicate": "works_at", "direction": "out"}]
    assert (acme["memories"], acme["newest"] is None) == (1, False)
    assert {item["text"] for item in found["memories"]} == {"Anna works at Acme as a carpenter.", "Anna's dog is called Waffle."}
    unknown = cli("related", "Ann", "-n", name, "--json")
    assert (unknown.code, unknown.error["code"]) == (1, "entity_unknown")
    assert "Anna" in cli("related", "Anna", "-n", name).out


def test_a_namespace_is_forgotten_only_on_purpose(cli: Cli) -> None:
    name = space()
    cli("save", "one", "-n", name)
    cli("save", "two", "-n", name)
    for arguments in (("--json",), ()):
        asked = cli("forget", "--namespace", name, *arguments)
        assert asked.code == 2
        assert "--yes" in asked.out + asked.err
    assert len(cli("list", "-n", name, "--json").json["memories"]) == 2
    done = cli("forget", "--namespace", name, "--yes", "--json")
    assert done.json["forgotten"] == 2
    assert set(done.json) == {"forgotten", "ids", "at"}
    assert cli("search", "one", "-n", name, "--json").json == {"results": []}


def test_what_is_stored_cannot_drive_the_terminal(cli: Cli) -> None:
    name = space()
    saved = cli("save", "-", "-n", name, "-k", "[red]k[/red]", "--json", stdin="\x1b[31mred\x07 [bold]markup[/bold] [/nonsense]")
    assert saved.code == 0, saved.err
    for command in (("list",), ("get", "-k", "[red]k[/red]"), ("search", "markup"), ("export", "-")):
        ran = cli(*command, "-n", name)
        assert ran.code == 0, ran.err
        assert "\x1b" not in ran.out
        assert "[bold]markup[/bold] [/nonsense]" in ran.out
    assert cli("get", "-k", "[red]k[/red]", "-n", name, "--json").json["text"].startswith("\x1b[31mred\x07")


def test_dead_letters_are_listed_and_what_is_none_is_refused(cli: Cli) -> None:
    listed = cli("dead", "list", "--json")
    assert listed.code == 0, listed.err
    assert listed.json == {"letters": [], "cursor": None}
    assert cli("dead", "show", "graph:memory:nobody", "--json").error["code"] == "dead_letter_unknown"
    assert cli("dead", "retry", "nonsense", "--json").error["code"] == "dead_letter_invalid"
    assert cli("dead", "retry", "--json").error["code"] == "dead_letter_invalid"
    dropped = cli("dead", "drop", "event:12345", "--json")
    assert (dropped.code, dropped.json["unknown"]) == (1, ["event:12345"])
    assert cli("dead", "retry", "--all", "--json").json["rows"] == 0
    breakers = cli("status", "--json").json["breakers"]
    assert {name: facts["mode"] for name, facts in breakers.items()} == dict.fromkeys(
        ("graph", "embedder", "extractor", "record", "redis"), "closed"
    )


def test_namespaces_and_entities_are_listed(cli: Cli) -> None:
    name = space()
    cli("save", "Ada met Ben.", "-n", name, "--entity", "Ada:person", "--entity", "Ben:person", "--relation", "Ada|met|Ben")
    (one,) = [one for one in cli("namespaces", "--json").json["namespaces"] if one["name"] == name]
    assert (one["memories"], one["entities"], one["relations"], one["bytes"]) == (1, 2, 1, len("Ada met Ben.{}"))
    assert f"{one['bytes']} B" in cli("namespaces").out
    page = cli("entities", "list", "-n", name, "-l", "1", "--json").json
    assert [entity["name"] for entity in page["entities"]] == ["Ada"]
    rest = cli("entities", "list", "-n", name, "--cursor", page["cursor"], "--json").json
    assert ([entity["name"] for entity in rest["entities"]], rest["cursor"]) == (["Ben"], None)
    assert "No entity here" in cli("entities", "list", "-n", name, "--type", "place").out
    assert cli("entities", "list", "-n", name, "--cursor", "odd", "--json").error["code"] == "cursor_invalid"


def test_some_of_a_namespace_are_forgotten_only_on_purpose(cli: Cli) -> None:
    name = space()
    for text, thread in (("one", "t"), ("two", "t"), ("three", "u")):
        cli("save", text, "-n", name, "--thread", thread, "--created-at", "2026-01-01", "--metadata", json.dumps({"thread": thread}))
    asked = cli("forget", "--namespace", name, "--thread", "t")
    assert asked.code == 2
    assert "2 memories" in " ".join(asked.err.split())
    assert len(cli("list", "-n", name, "--json").json["memories"]) == 3
    assert cli("forget", "-n", name, "--metadata", '{"thread": "t"}', "--before", "2025-01-01", "--yes", "--json").json["forgotten"] == 0
    assert cli("forget", "-n", name, "--metadata", '{"thread": "t"}', "--before", "2027-01-01", "--yes", "--json").json["forgotten"] == 2
    assert [memory["text"] for memory in cli("list", "-n", name, "--json").json["memories"]] == ["three"]
    for wrong in (("--thread", "t"), ("--thread", "t", "--key", "k", "-n", name), ("--before", "2026-01-01", space())):
        assert cli("forget", *wrong, "--yes").code == 2


def test_a_key_stands_for_an_id(cli: Cli) -> None:
    name = space()
    cli("save", "Mara lives in Porto.", "-n", name, "--key", "home")
    assert cli("update", "--key", "home", "-n", name, "--text", "Mara lives in Lisbon.", "--json").json["version"] == 2
    assert [one["version"] for one in cli("history", "--key", "home", "-n", name, "--json").json["versions"]] == [1, 2]
    assert cli("history").code == cli("update", "--text", "x").code == 2


def test_maintenance_by_hand(cli: Cli) -> None:
    name = space()
    cli("save", "Over.", "-n", name, "--expires-at", "2020-01-01")
    done = cli("maintain", "--json")
    assert done.code == 0, done.err
    assert done.json["expired"] >= 1
    assert cli("maintain").code == 0
