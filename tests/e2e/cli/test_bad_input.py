"""Bad input, engines that are down, wrong settings: a clear error with a stable code, and never a traceback."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.command import COMMAND, Cli, Warm, environment, runner, space

UNKNOWN = "0198c7a2-5d3e-7c41-9f6b-2f1d7f0a9c55"


BAD: list[tuple[tuple[str, ...], int, str]] = [
    (("save", ""), 1, "text_empty"),
    (("save", "  \n "), 1, "text_empty"),
    (("save", "x" * 100_001), 1, "text_too_long"),
    (("save", "x", "--metadata", "[1]"), 2, "usage"),
    (("save", "x", "--metadata", json.dumps({"a": "b" * 70_000})), 1, "metadata_too_large"),
    (("save", "x", "--id", "7"), 1, "id_invalid"),
    (("save", "x", "--key", ""), 1, "key_invalid"),
    (("save", "x", "--namespace", "a\nb"), 1, "namespace_invalid"),
    (("save", "x", "--created-at", "yesterday"), 1, "timestamp_invalid"),
    (("save", "x", "--relation", "A|B"), 2, "usage"),
    (("save", "x", "--relation", "A||B"), 1, "relation_invalid"),
    (("save", "x", "--wait", "soon"), 2, "usage"),
    (("get", UNKNOWN), 1, "memory_unknown"),
    (("get", "7"), 1, "id_invalid"),
    (("get",), 2, "usage"),
    (("get", "--key", "never-saved"), 1, "memory_unknown"),
    (("update", UNKNOWN, "--text", "x"), 1, "memory_unknown"),
    (("update", UNKNOWN), 2, "usage"),
    (("update", UNKNOWN, "--clear", "text"), 2, "usage"),
    (("forget", UNKNOWN), 1, "memory_unknown"),
    (("forget",), 2, "usage"),
    (("forget", UNKNOWN, "--namespace", "x"), 2, "usage"),
    (("forget", "--namespace", "never-saved", "--yes"), 1, "namespace_unknown"),
    (("history", UNKNOWN), 1, "memory_unknown"),
    (("list", "--namespace", "never-saved"), 1, "namespace_unknown"),
    (("list", "--limit", "0"), 1, "limit_invalid"),
    (("list", "--cursor", "nonsense"), 1, "cursor_invalid"),
    (("search", "x", "--namespace", "never-saved"), 1, "namespace_unknown"),
    (("search", "", "-n", "bad-input"), 1, "query_empty"),
    (("search", "x", "--limit", "0", "-n", "bad-input"), 1, "limit_invalid"),
    (("search", "x", "--limit", "1000000000", "-n", "bad-input"), 1, "limit_invalid"),
    (("search", "x", "--limit", "many"), 2, "usage"),
    (("related", "Nobody", "-n", "bad-input"), 1, "entity_unknown"),
    (("sync", "everything"), 2, "usage"),
    (("import", "missing.jsonl"), 1, "file_unreadable"),
    (("import", "missing.jsonl", "--map", "created_at"), 2, "usage"),
    (("import", "missing.jsonl", "--map", "when=date"), 2, "mapping_unknown"),
    (("import", "missing.jsonl", "--on-error", "ignore"), 2, "usage"),
    (("export", "missing/folder/out.jsonl"), 1, "file_unwritable"),
    (("export", "out.jsonl", "--namespace", "never-saved"), 1, "namespace_unknown"),
    (("remember",), 2, "usage"),
    (("list", "--nonsense"), 2, "usage"),
]


@pytest.fixture(scope="session")
def with_namespaces(cli: Cli) -> Cli:
    """`cli`, where the namespaces `default` and `bad-input` hold one memory each."""
    for arguments in (("-k", "something"), ("-k", "something", "-n", "bad-input")):
        assert cli("save", "something", *arguments).code == 0
    return cli


@pytest.mark.parametrize(("arguments", "code", "name"), BAD, ids=[" ".join(arguments)[:40] for arguments, _, _ in BAD])
def test_bad_input_is_a_clear_error(with_namespaces: Cli, arguments: tuple[str, ...], code: int, name: str) -> None:
    ran, plain = with_namespaces(*arguments, "--json"), with_namespaces(*arguments)
    assert (ran.error["code"], ran.code) == (name, code), ran.out
    assert ran.error["message"]
    assert (plain.code, plain.out) == (code, "")
    assert plain.err
    assert "Traceback" not in ran.err + plain.err


def test_nothing_was_written_by_any_of_them(with_namespaces: Cli) -> None:
    for namespace in ("default", "bad-input"):
        assert [item["text"] for item in with_namespaces("list", "-n", namespace, "--json").json["memories"]] == ["something"]


def test_nul_and_bytes_that_are_not_utf8_from_standard_input(cli: Cli) -> None:
    assert cli("save", "-", "--json", stdin=b"a\0b").error["code"] == "text_invalid"
    assert cli("save", "-", "--json", stdin=b"\xff\xfe").error["code"] == "usage"


def test_engines_that_are_down_are_named(warm: Warm, tmp_path: Path) -> None:
    run = runner(warm, tmp_path / "home", tmp_path)
    urls = {
        "MEMORY_DATABASE_URL": "postgresql://nobody:secret-word@127.0.0.1:9/none", "MEMORY_REDIS_URL": "redis://127.0.0.1:9",
        "MEMORY_GRAPH_URL": "falkor://127.0.0.1:9",
    }  # fmt: skip
    for command in (("save", "x"), ("audit",), ("migrate",)):
        ran = run(*command, "--json", **urls)
        assert ran.code == 1
        assert ran.error["code"] in {"record_unavailable", "graph_unavailable"}
        assert ran.error["retryable"] is True
        assert "secret-word" not in ran.out + ran.err
    assert run("up", **urls).out.strip() == "Every engine has a URL: there is nothing to start."


def test_a_stream_that_is_down_costs_no_save(cli: Cli) -> None:
    saved = cli("save", "Still saved.", "-n", space(), "--json", MEMORY_REDIS_URL="redis://127.0.0.1:9")
    assert (saved.code, saved.json["outcome"]) == (0, "created")
    status = cli("status", "--json", MEMORY_REDIS_URL="redis://127.0.0.1:9")
    assert (status.code, status.json["engines"]["redis"]["ok"]) == (1, False)


def test_a_setting_that_is_wrong_is_named_and_not_repeated(warm: Warm, tmp_path: Path) -> None:
    ran = runner(warm, tmp_path / "home", tmp_path)("status", "--json", MEMORY_PASSAGE_CHARS="a-secret")
    assert (ran.code, ran.error["code"]) == (1, "config_invalid")
    assert "passage_chars" in ran.error["message"]
    assert "a-secret" not in ran.out + ran.err


def test_a_reader_that_leaves_early_is_no_error(cli: Cli, home: Path) -> None:
    cli("save", "something", "-k", "something")
    with subprocess.Popen([*COMMAND, "list"], env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
    assert b"Traceback" not in err


def test_what_looks_like_markup_is_shown_as_it_is(cli: Cli) -> None:
    name = f"{space()} [/b]"
    named = ("--entity", "Ada [/i]:person", "--entity", "Bea:person", "--relation", "Ada [/i]|met [/u]|Bea")
    saved = cli("save", "Ada met [bold]Bea[/x].", "-n", name, *named)
    assert saved.code == 0, saved.err
    assert cli("sync").code == 0
    for shown, command in (
        ("Ada [/i]", ("related", "Bea")), ("Ada [/i]", ("entities", "show", "Ada [/i]")), ("Ada [/i]", ("entities", "list")),
        ("[bold]Bea[/x]", ("search", "whom?")), ("[bold]Bea[/x]", ("list",)), ("", ("policy", "set", name, "adopt")),
        (name, ("namespaces",)),
    ):  # fmt: skip
        ran = cli(*command, *(() if command[0] in {"policy", "namespaces"} else ("-n", name)))
        assert ran.code == 0, f"{command}: {ran.err}"
        assert shown in ran.out, command
