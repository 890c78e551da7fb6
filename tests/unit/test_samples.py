"""The sample keeps its own rules: keys that exist before they change, facts that do change, answers that are there."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from memory_pipelines.samples import ASSISTANT, QUESTIONS


def _lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ASSISTANT.read_text(encoding="utf-8").splitlines()]


def test_lines_are_in_order_and_withdrawn_keys_were_there_and_do_not_return() -> None:
    live: dict[tuple[str, str], dict[str, Any]] = {}
    gone: set[tuple[str, str]] = set()
    changed = 0
    before = datetime.min
    for row in _lines():
        at = datetime.strptime(row["created_at"], "%Y-%m-%dT%H:%M:%SZ")
        assert before <= at, row
        before = at
        subject = (row["namespace"], row["key"])
        assert subject not in gone, row
        if row.get("forget"):
            assert subject in live, row
            gone.add(subject)
            del live[subject]
            continue
        assert row["text"].strip() == row["text"] != "", row
        if subject in live:
            assert live[subject]["text"] != row["text"], row
            changed += 1
        live[subject] = row
    assert len(gone) >= 6
    assert changed >= 12
    for question in json.loads(QUESTIONS.read_text(encoding="utf-8")):
        assert (question["namespace"], question["expect_key"]) in live


def test_every_question_turns_on_a_fact_that_changed() -> None:
    rows = _lines()
    for question in json.loads(QUESTIONS.read_text(encoding="utf-8")):
        versions = [row for row in rows if (row["namespace"], row["key"]) == (question["namespace"], question["expect_key"])]
        assert len(versions) > 1, question


def test_relations_join_entities_of_their_own_line_and_a_name_has_one_type() -> None:
    types: dict[tuple[str, str], str] = {}
    for row in _lines():
        names = {entity["name"] for entity in row.get("entities", [])}
        for entity in row.get("entities", []):
            assert types.setdefault((row["namespace"], entity["name"]), entity["type"]) == entity["type"], row
        for relation in row.get("relations", []):
            assert {relation["source"], relation["target"]} <= names, row
