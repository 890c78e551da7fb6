"""`related`, on every graph engine: each neighbour once, with what joins it, how many memories are behind it and how new they are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain import validation
from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.models import Related, RelationMention
from memory_pipelines.domain.names import predicate_key
from memory_pipelines.stores.postgres import shapes
from tests import engines


def told(related: Related) -> list[tuple[str, list[str], int]]:
    """Each neighbour with arrows and number."""
    arrows = {"out": ">", "in": "<"}
    return [
        (other.name, [f"{arrows[by.direction]}{by.predicate}" for by in other.predicates], other.memories) for other in related.neighbours
    ]


def said(source: str, predicate: str, target: str) -> dict[str, Any]:
    return {"source": source, "predicate": predicate, "target": target}


@engines.ON_EVERY_GRAPH
def test_a_neighbour_is_listed_once_with_its_predicates_its_memories_and_the_newest_time(client: MemoryClient) -> None:
    client.save("a", created_at="2026-01-01", relations=[said("Ada", "lives in", "Porto"), said("Ada", "works_at", "Acme")])
    client.save("b", created_at="2026-03-01", relations=[said("Ada", "lives_in", "Porto"), said("Ada", "Lives-in", "Porto")])
    client.save("c", created_at="2026-02-01", relations=[said("Porto", "welcomes", "Ada")], entities=[{"name": "Ben", "type": "person"}])
    client.sync()
    related = client.related("Ada")
    assert told(related) == [("Porto", [">lives_in", "<welcomes"], 3), ("Acme", [">works_at"], 1), ("Ben", [], 1)]
    assert related.neighbours[0].newest == datetime(2026, 3, 1, tzinfo=UTC)
    assert [len(client.related("Ada", limit=n).neighbours) for n in (1, 2, 3)] == [1, 2, 3]
    assert client._platform.record.counts()["relations"] == 3, "spellings of one predicate are one relation"
    assert client.audit(deep=True).clean


@engines.ON_EVERY_GRAPH
def test_a_forgotten_memory_is_behind_nobody(client: MemoryClient) -> None:
    first, _ = (client.save(text, relations=[said("Ada", "knows", "Ben")], wait="graph").id for text in ("a", "b"))
    assert told(client.related("Ada")) == [("Ben", [">knows"], 2)]
    client.forget(first, wait="graph")
    assert told(client.related("Ada")) == [("Ben", [">knows"], 1)]


@engines.ON_EVERY_GRAPH
def test_nobody_is_related_to_itself_after_a_merge_and_all_is_back_after_it_was_undone(client: MemoryClient) -> None:
    client.save("a", relations=[said("Countess Lovelace", "is", "Ada"), said("Ada", "knows", "Ben")])
    client.save("b", relations=[said("Countess Lovelace", "knows", "Ben")])
    client.sync()
    before = {name: told(client.related(name)) for name in ("Ada", "Countess Lovelace", "Ben")}
    client.merge_entities("Countess Lovelace", "Ada")
    client.sync()
    assert told(client.related("Ada")) == [("Ben", [">knows"], 2)]
    assert told(client.related("Ben")) == [("Ada", ["<knows"], 2)]
    assert client.audit(deep=True).clean
    client.unmerge_entity("Countess Lovelace")
    client.sync()
    assert {name: told(client.related(name)) for name in before} == before


BEHIND = """
select e.name, count(distinct m.id), max(m.created_at)
from memory.entities a, memory.entities e, memory.memories m
where a.name = 'Ada' and e.id <> a.id and e.deleted_at is null and m.deleted_at is null
  and exists (select from memory.mentions n where n.memory_id = m.id and coalesce(n.shown_id, n.entity_id) = a.id)
  and exists (select from memory.mentions n where n.memory_id = m.id and coalesce(n.shown_id, n.entity_id) = e.id)
group by e.name
"""
UNMENTIONED = """
select count(*), count(*) filter (where (
  select count(*) from memory.mentions n where n.memory_id = s.memory_id and n.entity_id in (r.source_id, r.target_id)
) < (case when r.source_id = r.target_id then 1 else 2 end))
from memory.statements s join memory.relations r on r.id = s.relation_id
"""


@engines.ON_EVERY_GRAPH
def test_the_numbers_are_what_the_record_says(client: MemoryClient, settings: Settings) -> None:
    people = ("Ada", "Countess", "Ben", "Cleo", "Dora")
    ids = [
        client.save(
            f"{n}", created_at=f"2026-01-{n + 1:02}",
            relations=[said(people[n % 5], ("knows", "likes")[n % 2], people[(n * 3 + 1) % 5])],
            entities=[{"name": people[n * 7 % 5], "type": "person"}],
        ).id
        for n in range(20)
    ]  # fmt: skip
    client.merge_entities("Countess", "Ada")
    client.update(ids[3], relations=[said("Countess", "met", "Dora")])
    client.forget(ids[19])
    client.forget(ids[6])
    client.sync()
    with engines.connect(settings) as connection:
        rows = connection.execute(BEHIND).fetchall()
        stated, unmentioned = connection.execute(UNMENTIONED).fetchone()
    assert {(other.name, other.memories, other.newest) for other in client.related("Ada").neighbours} == set(rows)
    assert len(rows) == 3
    assert stated > 10
    assert unmentioned == 0, "whoever states a relation mentions its ends: no statement is left out of the number"


@engines.ON_EVERY_GRAPH
def test_spellings_that_somebody_drew_are_shown_as_one(client: MemoryClient, settings: Settings) -> None:
    client.save("a", relations=[said("Ada", "lives_in", "Porto")], wait="graph")
    graph = engines.graph_server(settings)
    graph.run(
        "MATCH (a:Entity {name: 'Ada'}), (p:Entity {name: 'Porto'}) CREATE (a)-[:RELATES_TO {id: 'x', predicate: 'lives in'}]->(p)",
        write=True,
    )
    graph.close()
    assert told(client.related("Ada")) == [("Porto", [">lives_in"], 1)]


@pytest.mark.parametrize(
    ("spelt", "key"),
    [
        ("lives in", "lives_in"), ("Lives-In", "lives_in"), ("  lives   in ", "lives_in"), ("lives_in", "lives_in"), ("is‐a", "is_a"),
        ("живёт в", "живёт_в"), ("_", "_"), ("WORKS AT", "works_at"), ("a__b", "a_b"),
    ],
)  # fmt: skip
def test_predicates_have_one_spelling(spelt: str, key: str) -> None:
    assert predicate_key(spelt) == key
    assert predicate_key(key) == key


@engines.ON_EVERY_GRAPH
def test_another_spelling_that_somebody_drew_is_adopted_as_the_relation_that_is_there(client: MemoryClient, settings: Settings) -> None:
    client.save("a", relations=[said("Ada", "lives_in", "Porto")], wait="graph")
    client.set_policy("default", "adopt")
    graph = engines.graph_server(settings)
    graph.run(
        "MATCH (a:Entity {name: 'Ada'}), (p:Entity {name: 'Porto'}) CREATE (a)-[:RELATES_TO {predicate: 'Lives in'}]->(p)"
        " CREATE (p)-[:RELATES_TO {predicate: 'Home of'}]->(a)",
        write=True,
    )
    graph.close()
    assert client.audit(deep=True, repair=True).clean
    assert client.audit(deep=True).findings == ()
    assert told(client.related("Ada")) == [("Porto", [">lives_in", "<home_of"], 1)]
    assert client._platform.record.counts()["relations"] == 2


def test_spellings_that_an_extractor_finds_are_one_relation_too() -> None:
    found = shapes.links((), [RelationMention("Ada", spelt, "Porto") for spelt in ("lives in", "lives_in", "Lives-In")])
    assert [row["predicate"] for row in found["relations"]] == ["lives_in"]


def test_what_is_exported_can_be_imported_however_long_a_predicate_becomes() -> None:
    """One sign may become eighteen: the limit holds for what is kept."""
    with pytest.raises(InvalidInput) as refused:
        validation.relations([said("Ada", "\ufdfa" * 20, "Porto")])
    assert (refused.value.code, refused.value.detail["length"]) == ("relation_invalid", 360)
    (kept,) = validation.relations([said("Ada", "\ufdfa" * 11, "Porto")])
    assert validation.relations([kept]) == (kept,)
