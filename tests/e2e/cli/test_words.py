"""What is printed for people: that nothing is there, what is owed, what became of a row. In words, with the next command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memory_pipelines.entrypoints.cli import panels, units
from tests.e2e.command import Cli, Warm, runner, space


def test_nothing_is_said_in_words_with_the_next_command(cli: Cli) -> None:
    name = space()
    cli("save", "Olga sings.", "-n", name, "--entity", "Olga:person", "--wait", "all")
    empty = {
        ("list", "-n", name, "--thread", "none"): f"memory-pipelines list -n {name}",
        ("search", "Olga", "-n", name, "--created-after", "2100-01-01"): f"memory-pipelines list -n {name}",
        ("entities", "aliases", "-n", name): "memory-pipelines entities merge",
        ("dead", "list"): "memory-pipelines status",
        ("dead", "list", "--projection", "graph"): "memory-pipelines status",
    }
    for command, following in empty.items():
        ran = cli(*command)
        assert ran.code == 0, ran.err
        assert following in ran.out, command
        assert "─" not in ran.out, f"{command} prints a table of nothing"
        assert cli(*command, "--json").code == 0
    alone = cli("related", "Olga", "-n", name)
    assert "Olga (person)" in alone.out
    assert "has no neighbours" in alone.out
    cli("forget", "--namespace", name, "--yes")
    assert "No live memories in this namespace" in cli("list", "-n", name).out


def test_a_record_without_anything_says_how_to_begin(fresh: Cli) -> None:
    assert 'memory-pipelines save "…"' in fresh("status").out
    assert "memory-pipelines audit" in fresh("audit", "--history").out
    assert "No audit has ended yet" in fresh("audit", "--history").out
    assert "There are no namespaces yet" in fresh("policy", "list").out


def test_what_is_owed_is_told_with_since_when_who_drains_it_and_what_to_do(cli: Cli) -> None:
    name = space()
    cli("sync")
    assert "Nothing is owed" in cli("status").out
    assert "Nothing was owed" in cli("sync").out
    saved = cli("save", "Olga sings in Oslo.", "-n", name, "--json").json["id"]
    told = cli("status").out
    assert "3 rows of the ledger are owed" in told
    assert "within the sync budget of 30 s" in told
    assert "Nobody drains entities, embeddings and graph at this moment." in told
    assert "memory-pipelines sync" in told
    late = cli("status", MEMORY_SYNC_BUDGET_SECONDS="0.001").out
    assert "longer than the sync budget" in late
    known = cli("status", "--json").json["projections"]
    assert {what: (one["owed"], one["ready"], one["draining"]) for what, one in known.items()} == dict.fromkeys(
        ("entities", "embeddings", "graph"), (1, 1, False)
    )

    audited = cli("audit", MEMORY_SYNC_BUDGET_SECONDS="0.001")
    assert audited.code == 3
    lines = [line for line in audited.out.splitlines() if saved in line]
    assert len(lines) == 1, audited.out
    assert f"memory {saved}  owed to entities, embeddings, graph since " in lines[0]
    assert "memory-pipelines sync" in audited.out
    assert "--repair" not in audited.out
    document = cli("audit", "--json", MEMORY_SYNC_BUDGET_SECONDS="0.001").json
    assert (document["counts"], len(document["findings"])) == ({"owed_too_long": 3}, 3)

    story = cli("explain", saved).out
    assert "The graph does not show it yet." in story
    assert "owed to graph" in story
    assert "memory-pipelines sync" in story
    assert "Nothing is owed any more" in cli("sync").out


def test_an_explanation_is_a_story_and_the_numbers_are_for_verbose(cli: Cli) -> None:
    name = space()
    saved = cli("save", "Olga sings in Oslo.", "-n", name, "--wait", "all", "--json").json["id"]
    story, numbers = cli("explain", saved).out, cli("explain", saved, "--verbose").out
    inner = r"\b(dh|dl|digest|bucket|leaf|marker|generation|owed.number|revision)\b"
    assert re.findall(inner, story) == []
    assert set(re.findall(inner, numbers)) >= {"dh", "dl", "bucket", "leaf", "marker", "generation", "owed number", "revision"}
    assert "The graph shows it as the record holds it." in story
    assert "settled: graph holds it" in story
    assert "Olga sings" not in story
    assert "Olga sings in Oslo." in cli("explain", saved, "--text").out
    cli("forget", saved, "--wait", "all")
    gone = cli("explain", saved).out
    assert "The record: forgotten" in gone
    assert "version 2" in gone


def test_help_shows_the_panels_in_the_order_in_which_they_are_needed(warm: Warm, tmp_path: Path) -> None:
    told = runner(warm, tmp_path / "home", tmp_path)("--help").out
    shown = [name for name in re.findall(r"^╭─ (.+?) ─+╮?$", told, re.MULTILINE) if name != "Options"]
    assert shown == list(panels.ORDER)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_300_000, "1.2 MiB"), (5 * 1024**3, "5.0 GiB"), (3000 * 1024**3, "3,000.0 GiB")],
)
def test_sizes(value: int, words: str) -> None:
    assert units.size(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.184, "0.18 s"),
        (3.04, "3.0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (73, "1 min 13 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (273_700, "3 d 4 h"),
    ],
)
def test_durations(value: float, words: str) -> None:
    assert units.lasting(value) == words


def test_counts() -> None:
    assert [units.count(1, "memory"), units.count(2, "memory"), units.count(1200, "row")] == ["1 memory", "2 memories", "1,200 rows"]
