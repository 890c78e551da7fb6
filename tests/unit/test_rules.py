"""What the rules find, and what they leave alone."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_pipelines.domain.names import name_key
from memory_pipelines.models.extractors.rules import RulesExtractor
from tests import capabilities


def entities(text: str) -> list[tuple[str, str]]:
    links = RulesExtractor().extract([text])[0].links
    assert links is not None
    return [(entity.name, entity.type) for entity in links.entities]


def relations(text: str) -> list[tuple[str, str, str]]:
    links = RulesExtractor().extract([text])[0].links
    assert links is not None
    return [(relation.source, relation.predicate, relation.target) for relation in links.relations]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I met Mr. Downing and Sir W. Batten.", [("Mr. Downing", "person"), ("Sir W. Batten", "person")]),
        ("The Duke of York saw my Lord Sandwich’s boat.", [("Duke of York", "person"), ("Lord Sandwich", "person")]),
        ("We told Alice Smith’s sister.", [("Alice Smith", "person")]),
        ("My cousin Zedekiah came, and J. R. Hobbs too.", [("Zedekiah", "person"), ("J. R. Hobbs", "person")]),
        ("He walked to Axe Yard, then by Fleet Street to Paris.", [("Axe Yard", "place"), ("Fleet Street", "place"), ("Paris", "place")]),
        ("It lies near Unthanke.", [("Unthanke", "place")]),
        ("The Bank of England and Apple Inc. met GmbH lawyers.", [("Bank of England", "organisation"), ("Apple Inc", "organisation")]),
        ("She studies at the University of Oxford.", [("University of Oxford", "organisation")]),
        ("King Street is not King Charles.", [("King Street", "place"), ("King Charles", "person")]),
        ("Due 2024-03-01, or 12 March 2024.", [("2024-03-01", "date"), ("12 March 2024", "date")]),
        ("On March 3rd and Jan. 1st, not on Monday.", [("March 3rd", "date"), ("Jan. 1st", "date")]),
        ("He bought a MacBook.", [("MacBook", "thing")]),
        ("It is written in Rust.", [("Rust", "thing")]),
        ("I like Zanthor. Creed came with Mr. Creed and saw Creed.", [("Zanthor", "thing"), ("Creed", "person"), ("Mr. Creed", "person")]),
    ],
)
def test_finds(text: str, found: list[tuple[str, str]]) -> None:
    assert entities(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Coffee is good. Water too.",
        "The house is old. I think so. But He said no.",
        "On Monday, in March, the Office was closed.",
        "BUY NOW CHEAP WATCHES TODAY",
        "my Lord and Sir and the King",
        "東京は日本の首都です。",
        "Ich habe den Hund im Garten mit einem Ball und der Katze gesehen.",
        "see https://Example.com/Path and mail Bob@Example.com and open Readme.md",
        "2024-13-45 and 1.5 March",
    ],
)
def test_leaves_alone(text: str) -> None:
    assert entities(text) == []


def test_a_capital_at_the_beginning_counts_if_the_name_stands_elsewhere() -> None:
    assert entities("Zanthor sleeps. Today Quorra and Zanthor ate.") == [("Zanthor", "thing"), ("Quorra", "thing")]
    assert entities("Zanthor sleeps.") == []


def test_german_names_need_more_than_a_capital() -> None:
    assert entities("Ich war mit Frau Müller in Berlin, und die Siemens AG hat den Vertrag.") == [
        ("Frau Müller", "person"),
        ("Berlin", "place"),
        ("Siemens AG", "organisation"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Alice works at Acme.", [("Alice", "works_at", "Acme")]),
        ("Zed is working for the Bank of England now.", [("Zed", "works_at", "Bank of England")]),
        ("Quentin lives in Foobar.", [("Quentin", "lives_in", "Foobar")]),
        ("Acme Corp moved to Austin.", [("Acme Corp", "moved_to", "Austin")]),
        ("Maria Lopez is married to Jonas Weber.", [("Maria Lopez", "married_to", "Jonas Weber")]),
        ("The man from Paris works at Acme.", []),
        ("If Alice moved to Rome, tell me.", []),
        ("Alice never lives in Rome.", []),
        ("Alice lives in Bob’s house.", []),
        ("Alice’s sister works at Acme.", []),
        ("Paris lives in Alice.", []),
        ("She works at Acme.", []),
    ],
)
def test_relations(text: str, found: list[tuple[str, str, str]]) -> None:
    assert relations(text) == found


@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from(["Mr. ", "Alice", " ", "’s", "of ", "St. ", "I ", "March ", "1", ".", "in ", "lives in ", "A."])).map(
            "".join
        ),
    )
)
def test_whatever_the_text(text: str) -> None:
    links = RulesExtractor().extract([text])[0].links
    assert links is not None
    keys = [name_key(entity.name) for entity in links.entities]
    assert len(keys) == len(set(keys)) <= 64
    starts = [text.index(entity.name) for entity in links.entities]
    assert len(starts) == len(links.entities)
    names = {entity.name for entity in links.entities}
    assert all({relation.source, relation.target} <= names for relation in links.relations)


def test_at_most_64_in_order_of_appearance() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [f"Q{a}{b}x" for a in letters for b in letters][:100]
    assert [name for name, _ in entities("see " + ", ".join(names))] == names[:64]


def test_a_diary_of_ten_years_in_seconds() -> None:
    capabilities.need("pepys")
    texts = [json.loads(line)["text"] for line in capabilities.PEPYS.read_text(encoding="utf-8").splitlines()]
    begun = time.perf_counter()
    results = RulesExtractor().extract(texts)
    assert time.perf_counter() - begun < 20  # about two on an idle machine
    found = [(entity.name, entity.type) for result in results for entity in (result.links.entities if result.links else ())]
    assert found.count(("Sir W. Batten", "person")) > 500
    assert found.count(("Whitehall", "place")) > 800
    assert found.count(("East India Company", "organisation")) > 20
