"""Entities and relations: who supports them, who may replace what, and what happens when two write at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import Gone
from memory_pipelines.domain.models import Claim, EntityMention, Links, Ref, RelationMention
from memory_pipelines.services.platform import Platform
from tests import engines

ADA = {"name": "Ada", "type": "person"}
BEN = {"name": "Ben", "type": "person"}
KNOWS = {"source": "Ada", "predicate": "knows", "target": "Ben"}


def links(*entities: str, relations: Sequence[tuple[str, str, str]] = ()) -> Links:
    return Links(tuple(EntityMention(name, "person") for name in entities), tuple(RelationMention(*relation) for relation in relations))


def claim(platform: Platform, *ids: str) -> Claim:
    return platform.record.claim("entities", refs=[Ref("memory", id_) for id_ in ids], limit=100)


def extracted(platform: Platform, claimed: Claim, found: Links) -> dict[str, Any]:
    """Store `found` as the result of extracting from each memory of a claim, as the entities projection does."""
    rows = [{"id": row.id, "number": row.number, "version": (row.state or {}).get("version", 0), "links": found} for row in claimed.rows]
    return dict(platform.record.store_links(rows))


def extract(platform: Platform, id_: str, found: Links) -> dict[str, Any]:
    platform.record.owe([{"projection": "entities", "kind": "memory", "id": id_}])
    return extracted(platform, claim(platform, id_), found)


def mentions(settings: Settings, id_: str) -> dict[str, str]:
    """Names a memory mentions, each with who says so: `given`, `extracted` or `both`."""
    with engines.connect(settings) as connection:
        rows = connection.execute(
            "select e.name, m.given, m.extracted from memory.mentions m join memory.entities e on e.id = m.entity_id where memory_id = %s",
            [id_],
        ).fetchall()
    return {name: "both" if given and found else "given" if given else "extracted" for name, given, found in rows}


def entities(settings: Settings) -> dict[str, tuple[str, int]]:
    """Live entities with type and revision."""
    with engines.connect(settings) as connection:
        rows = connection.execute("select name, type, revision from memory.entities where deleted_at is null").fetchall()
    return {name: (type_, revision) for name, type_, revision in rows}


def relations(settings: Settings) -> dict[tuple[str, str, str], int]:
    """Live relations with their revision."""
    with engines.connect(settings) as connection:
        rows = connection.execute(
            "select s.name, r.predicate, t.name, r.revision from memory.relations r join memory.entities s on s.id = r.source_id"
            " join memory.entities t on t.id = r.target_id where r.deleted_at is null"
        ).fetchall()
    return {(source, predicate, target): revision for source, predicate, target, revision in rows}


def agree(client: MemoryClient) -> None:
    """Bring every projection up and compare all of it with the record."""
    client.sync()
    verdict = client.audit(deep=True)
    assert verdict.findings == ()
    assert verdict.pending == 0


# -- given and extracted -------------------------------------------------------------------------------------------------


def test_extraction_replaces_what_was_extracted_never_what_was_given(client: MemoryClient, platform: Platform, settings: Settings) -> None:
    saved = client.save("x", entities=[ADA, BEN], relations=[KNOWS]).id
    extract(platform, saved, links("Ada", "Cleo", relations=[("Ada", "knows", "Ben"), ("Cleo", "likes", "Ada")]))
    assert mentions(settings, saved) == {"Ada": "both", "Ben": "both", "Cleo": "extracted"}  # a relation mentions both its ends
    extract(platform, saved, links("Dora"))
    assert mentions(settings, saved) == {"Ada": "given", "Ben": "given", "Dora": "extracted"}
    assert set(relations(settings)) == {("Ada", "knows", "Ben")}
    assert set(entities(settings)) == {"Ada", "Ben", "Dora"}
    client.update(saved, text="y")
    extract(platform, saved, Links())  # of another text, finding nothing is a finding
    assert mentions(settings, saved) == {"Ada": "given", "Ben": "given"}
    agree(client)


def test_giving_other_links_leaves_the_extracted_ones(client: MemoryClient, platform: Platform, settings: Settings) -> None:
    saved = client.save("x", entities=[ADA], relations=[KNOWS]).id
    extract(platform, saved, links("Ada", "Cleo", relations=[("Cleo", "likes", "Ada")]))
    client.update(saved, entities=[], relations=[])
    assert mentions(settings, saved) == {"Ada": "extracted", "Cleo": "extracted"}
    assert set(relations(settings)) == {("Cleo", "likes", "Ada")}
    agree(client)


def test_a_new_text_keeps_the_old_links_until_the_new_ones_are_found(client: MemoryClient, platform: Platform, settings: Settings) -> None:
    saved = client.save("Ada.").id
    extract(platform, saved, links("Ada"))
    client.update(saved, text="Ben.")
    assert mentions(settings, saved) == {"Ada": "extracted"}
    extract(platform, saved, links("Ben"))
    assert mentions(settings, saved) == {"Ben": "extracted"}
    agree(client)


def test_a_result_from_an_older_version_is_refused_and_stays_owed(client: MemoryClient, platform: Platform, settings: Settings) -> None:
    saved = client.save("Ada.").id
    slow = claim(platform, saved)
    client.update(saved, text="Ben.")
    answer = extracted(platform, slow, links("Ada"))
    assert (answer["stored"], answer["superseded"], answer["touched"]) == (0, 1, ())
    assert mentions(settings, saved) == {}
    assert client.sync_state(saved).projections["entities"].owed
    extracted(platform, claim(platform, saved), links("Ben"))
    assert mentions(settings, saved) == {"Ben": "extracted"}
    assert not client.sync_state(saved).projections["entities"].owed


def test_a_debt_that_arrives_while_a_result_is_made_stays_owed(client: MemoryClient, platform: Platform) -> None:
    saved = client.save("Ada.").id
    slow = claim(platform, saved)
    platform.record.owe([{"projection": "entities", "kind": "memory", "id": saved}])
    assert extracted(platform, slow, links("Ada"))["stored"] == 0
    assert client.sync_state(saved).projections["entities"].owed


def test_a_result_for_what_was_forgotten_meanwhile_settles_and_writes_nothing(
    client: MemoryClient, platform: Platform, settings: Settings
) -> None:
    saved = client.save("Ada.").id
    slow = claim(platform, saved)
    client.forget(saved)
    extracted(platform, slow, links("Ada"))
    assert not client.sync_state(saved).projections["entities"].owed
    assert entities(settings) == {}
    late = extract(platform, saved, links("Ada"))  # owed again, as a rebuild does
    assert late["stored"] == 1
    assert not client.sync_state(saved).projections["entities"].owed
    assert entities(settings) == {}
    agree(client)


# -- support -------------------------------------------------------------------------------------------------------------


def test_an_entity_lives_as_long_as_one_memory_mentions_it(client: MemoryClient, settings: Settings) -> None:
    first, second = client.save("a", entities=[ADA], relations=[KNOWS]).id, client.save("b", entities=[ADA], relations=[KNOWS]).id
    client.sync()
    client.forget(first)
    assert entities(settings)["Ada"] == ("person", 1)
    assert relations(settings) == {("Ada", "knows", "Ben"): 1}
    agree(client)
    assert [memory.id for memory in client.related("Ada").memories] == [second]
    client.forget(second)
    assert (entities(settings), relations(settings)) == ({}, {})
    agree(client)
    assert client._platform.graph.counts() == {"memory": 0, "entity": 0, "mention": 0, "relation": 0}


@pytest.mark.parametrize("drained", [True, False], ids=["shown in between", "not shown in between"])
def test_an_entity_and_a_relation_that_come_back_go_on_with_their_numbers(client: MemoryClient, settings: Settings, drained: bool) -> None:
    first = client.save("a", entities=[ADA, BEN], relations=[KNOWS]).id
    if drained:
        client.sync()
    client.forget(first)
    if drained:
        client.sync()
    client.save("b", entities=[{"name": "ADA", "type": "poet"}], relations=[KNOWS | {"source": "ADA"}])
    assert entities(settings) == {"ADA": ("poet", 3), "Ben": ("thing", 3)}
    assert relations(settings) == {("ADA", "knows", "Ben"): 3}
    agree(client)


def test_support_that_an_update_takes_away_counts_like_a_forget(client: MemoryClient, settings: Settings) -> None:
    saved = client.save("a", entities=[ADA, BEN], relations=[KNOWS]).id
    client.update(saved, relations=[])
    assert (set(entities(settings)), relations(settings)) == ({"Ada", "Ben"}, {})
    client.update(saved, entities=[ADA])
    assert set(entities(settings)) == {"Ada"}
    agree(client)


def test_names_are_one_entity_in_every_spelling_and_two_in_two_namespaces(client: MemoryClient, settings: Settings) -> None:
    client.save("a", entities=[{"name": "St. Paul’s", "type": "place"}])
    client.save("b", entities=[{"name": "ST PAUL'S"}])
    client.save("c", entities=[{"name": "st paul", "type": "church"}], namespace="other")
    assert entities(settings) == {"St. Paul’s": ("place", 1), "st paul": ("church", 1)}
    agree(client)


def test_a_thing_learns_its_type_and_keeps_it(client: MemoryClient, settings: Settings) -> None:
    client.save("a", relations=[KNOWS])
    assert {type_ for type_, _ in entities(settings).values()} == {"thing"}
    client.sync()
    client.save("b", entities=[ADA])
    assert entities(settings)["Ada"] == ("person", 2)
    client.save("c", entities=[{"name": "Ada", "type": "ship"}, {"name": "Ben"}])
    client.save("d", entities=[{"name": "Ada"}])
    assert entities(settings) == {"Ada": ("person", 2), "Ben": ("thing", 1)}
    agree(client)
    assert (client.related("Ada").type, client.related("Ben").neighbours[0].type) == ("person", "person")


def test_a_memory_that_names_a_thing_twice_takes_the_better_type(client: MemoryClient, settings: Settings) -> None:
    client.save("a", entities=[{"name": "Ada"}, ADA], relations=[KNOWS])
    assert entities(settings) == {"Ada": ("person", 1), "Ben": ("thing", 1)}
    client.save_many([{"text": "b", "entities": [{"name": "Cleo"}]}, {"text": "c", "entities": [{"name": "Cleo", "type": "cat"}]}])
    assert entities(settings)["Cleo"] == ("cat", 1)
    agree(client)


def test_a_memory_that_is_twice_in_a_batch_has_the_later_links(client: MemoryClient, settings: Settings) -> None:
    earlier, later = {"text": "a", "entities": [ADA], "relations": [KNOWS]}, {"text": "b", "entities": [BEN]}
    first, second = client.save_many([earlier | {"key": "k"}, later | {"key": "k"}])
    assert mentions(settings, first.id) == {"Ben": "given"}
    third, _ = client.save_many([{"text": "c", "key": "k"}, {"text": "d", "key": "other", "entities": [ADA]}])
    assert (first.id, mentions(settings, first.id), set(entities(settings))) == (second.id, {}, {"Ada"})
    assert third.outcome == "updated"
    agree(client)


def test_a_relation_of_an_entity_with_itself_is_kept(client: MemoryClient, settings: Settings) -> None:
    client.save("a", relations=[{"source": "Ada", "predicate": "trusts", "target": "ada"}])
    assert set(relations(settings)) == {("Ada", "trusts", "Ada")}
    agree(client)


# -- at once -------------------------------------------------------------------------------------------------------------


def consistent(client: MemoryClient, settings: Settings) -> None:
    """An entity is live exactly if a live memory mentions it, a relation if one states it; and every store says the same."""
    with engines.connect(settings) as connection:
        wrong = connection.execute(
            "select name from memory.entities e where (deleted_at is null) <> exists (select from memory.mentions m join memory.memories o"
            " on o.id = m.memory_id and o.deleted_at is null where m.entity_id = e.id)"
            " union all select predicate from memory.relations r where (deleted_at is null) <> exists (select from memory.statements s"
            " join memory.memories o on o.id = s.memory_id and o.deleted_at is null where s.relation_id = r.id)"
        ).fetchall()
    assert wrong == []
    agree(client)


def test_one_memory_lets_go_of_an_entity_while_another_takes_it_up(client: MemoryClient, settings: Settings) -> None:
    client.close()
    before = engines.deadlocks(settings)
    crowd = [{"name": f"Person {n}", "type": "person"} for n in range(6)]
    ring = [{"source": a["name"], "predicate": "knows", "target": b["name"]} for a, b in pairwise(crowd)]

    with MemoryClient.from_env(settings) as busy:

        def live_and_die(name: str) -> None:
            for turn in range(25):
                order = slice(None, None, -1 if turn % 2 else 1)
                busy.save(f"{name} {turn}", key=name, entities=crowd[order], relations=ring[order], revive=True)
                if turn % 3:
                    busy.update(busy.get(key=name).id, entities=crowd[:2], relations=[])
                busy.forget(key=name)

        def show() -> None:
            for _ in range(6):
                busy.sync("entities", "graph")

        engines.at_once(lambda: live_and_die("a"), lambda: live_and_die("b"), show)
        assert entities(settings) == {}
        consistent(busy, settings)
        busy.save("c", entities=crowd, relations=ring)
        assert len(entities(settings)) == 6
        consistent(busy, settings)
    assert engines.deadlocks(settings) == before


def test_two_workers_that_create_the_same_relation_make_one(client: MemoryClient, platform: Platform, settings: Settings) -> None:
    for turn in range(10):
        one, two = client.save(f"a {turn}").id, client.save(f"b {turn}").id
        found = links("Ada", "Ben", relations=[("Ada", f"met {turn}", "Ben"), ("Ben", f"met {turn}", "Ada")])
        answers = engines.at_once(*(partial(extracted, platform, claim(platform, id_), found) for id_ in (one, two)))
        assert [answer["stored"] for answer in answers] == [1, 1]
    assert len(relations(settings)) == 20
    with engines.connect(settings) as connection:
        assert connection.execute("select count(*) from memory.statements").fetchone() == (40,)
    consistent(client, settings)


def test_extraction_against_saves_and_forgets_of_the_same_memories(client: MemoryClient, platform: Platform, settings: Settings) -> None:
    keys = [f"k{n}" for n in range(5)]

    def write() -> None:
        for turn in range(12):
            people = [ADA, BEN][turn % 2 :]
            client.save_many([{"text": f"{key} {turn}", "key": key, "entities": people} for key in keys], revive=True)
            client.forget(key=keys[turn % 5])

    def read_again() -> None:
        for turn in range(12):
            owed = platform.record.claim("entities", refs=None, limit=100, owed_for_seconds=0)
            if owed.rows:
                extracted(platform, owed, links("Ada", "London", relations=[("Ada", f"knows {turn % 3}", "London")]))

    engines.at_once(write, read_again, read_again)
    consistent(client, settings)


def test_a_save_that_waits_brings_what_others_owe_of_its_links(client: MemoryClient) -> None:
    client.save("a", entities=[ADA, BEN], relations=[KNOWS])  # owed, and nobody drains
    saved = client.save("b", entities=[ADA, BEN], relations=[KNOWS], wait="graph").id
    related = client.related("Ada")
    assert [(other.name, [(by.predicate, by.direction) for by in other.predicates]) for other in related.neighbours] == [
        ("Ben", [("knows", "out")])
    ]
    assert [memory.id for memory in related.memories] == [saved]


def test_a_save_that_waits_returns_with_its_links_in_the_graph(client: MemoryClient) -> None:
    saved = client.save("Ada Lovelace met Charles Babbage in London.", entities=[BEN], wait="graph")
    assert {entity.name for entity in client.related("London").neighbours} == {"Ada Lovelace", "Charles Babbage", "Ben"}
    client.forget(saved.id, wait="graph")
    assert client._platform.graph.counts()["mention"] == 0
    with pytest.raises(Gone):
        client.get(saved.id)
