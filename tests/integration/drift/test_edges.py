"""Edges that differ from the record: found, named, repaired, and then nothing differs any more."""

from __future__ import annotations

import pytest

from tests.integration import drift
from tests.integration.drift import Case, Found, World, unknown

CASES, case = drift.cases()

MENTION = "MATCH (m:Memory {id: $memory})-[n:MENTIONS]->(e:Entity {id: $entity}) "
RELATION = "MATCH (s:Entity {id: $source})-[n:RELATES_TO {id: $id}]->(t:Entity {id: $target}) "
BETWEEN = "MATCH (s:Entity {id: $source}), (t:Entity {id: $target}) "


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_drift_of_an_edge_is_found_and_repaired(world: World, one: Case) -> None:
    drift.check(world, one)


# -- mentions ------------------------------------------------------------------------------------------------------------


def of_mention(world: World, kind: str, change: str, **values: object) -> list[Found]:
    memory, ada = world.memory("note-0"), world.entity("Ada")
    world.cypher(MENTION + change, memory=memory, entity=ada, **values)
    return [(kind, "graph", "mention", f"{memory}:{ada}")]


@case
def a_mention_is_removed(world: World) -> list[Found]:
    return of_mention(world, "settled_absent", "DELETE n")


@case
def a_mention_is_there_twice(world: World) -> list[Found]:
    return of_mention(world, "duplicate_edge", "CREATE (m)-[again:MENTIONS]->(e) SET again = n")


@case
def a_mention_is_there_thrice_without_properties(world: World) -> list[Found]:
    return of_mention(world, "duplicate_edge", "CREATE (m)-[:MENTIONS]->(e), (m)-[:MENTIONS]->(e)")


@case
def a_mention_has_another_digest(world: World) -> list[Found]:
    return of_mention(world, "edited", "SET n.dl = n.dl + 1")


@case(deep=True)
def a_mention_says_more_than_it_should(world: World) -> list[Found]:
    return of_mention(world, "edited", "SET n.quote = 'hello'")


@case(deep=True)
def two_mentions_swap_their_digests(world: World) -> list[Found]:
    memory, ada, ben = world.memory("note-0"), world.entity("Ada"), world.entity("Ben")
    world.cypher(
        "MATCH (m:Memory {id: $memory})-[a:MENTIONS]->(:Entity {id: $ada}) MATCH (m)-[b:MENTIONS]->(:Entity {id: $ben})"
        " WITH a, b, properties(a) AS was SET a = properties(b) SET b = was",
        memory=memory, ada=ada, ben=ben,
    )  # fmt: skip
    return [("edited", "graph", "mention", f"{memory}:{ada}"), ("edited", "graph", "mention", f"{memory}:{ben}")]


@case(deep=True)
def a_mention_points_to_somebody_else(world: World) -> list[Found]:
    memory, dan = world.memory("note-0"), world.entity("Dan")
    moved = of_mention(
        world, "settled_absent", "MATCH (o:Entity {id: $dan}) CREATE (m)-[other:MENTIONS]->(o) SET other = n DELETE n", dan=dan
    )
    return [*moved, ("extra", "graph", "mention", f"{memory}:{dan}")]


@case
def a_mention_that_nobody_made(world: World) -> list[Found]:
    memory, ada = world.memory("plain"), world.entity("Ada")
    world.cypher("MATCH (m:Memory {id: $m}), (e:Entity {id: $e}) CREATE (m)-[:MENTIONS {dh: 1, dl: 2}]->(e)", m=memory, e=ada)
    return [("extra", "graph", "mention", f"{memory}:{ada}")]


@case
def a_mention_of_a_forgotten_entity(world: World) -> list[Found]:
    memory, gone = world.memory("plain"), world.tombstone("entities")
    world.cypher("MATCH (m:Memory {id: $m}) MERGE (e:Entity {id: $e}) CREATE (m)-[:MENTIONS]->(e) SET e.deleted = true", m=memory, e=gone)
    return [("dangling_edge", "graph", "mention", f"{memory}:{gone}")]


@case
def a_memory_mentions_a_memory(world: World) -> list[Found]:
    one, other = world.memory("plain"), world.memory("note-1")
    world.cypher("MATCH (m:Memory {id: $m}), (o:Memory {id: $o}) CREATE (m)-[:MENTIONS]->(o)", m=one, o=other)
    return [("dangling_edge", "graph", "mention", f"{one}:{other}")]


@case
def a_memory_mentions_something_that_is_no_entity(world: World) -> list[Found]:
    world.cypher("MATCH (m:Memory {id: $m}) CREATE (m)-[:MENTIONS {dh: 1, dl: 1}]->(:Thing)", m=world.memory("note-1"))
    return [("dangling_edge", "graph", "mention", "")]


@case
def an_entity_mentions_an_entity(world: World) -> list[Found]:
    world.cypher(BETWEEN + "CREATE (s)-[:MENTIONS]->(t)", source=world.entity("Ada"), target=world.entity("Ben"))
    return [("dangling_edge", "graph", "mention", "")]


# -- relations -----------------------------------------------------------------------------------------------------------


def of_relation(world: World, kind: str, change: str, **values: object) -> list[Found]:
    id_, source, target = world.relation("Ada", "met", "Ben")
    world.cypher(RELATION + change, id=id_, source=source, target=target, **values)
    return [(kind, "graph", "relation", id_)]


@case
def a_relation_is_removed(world: World) -> list[Found]:
    return of_relation(world, "settled_absent", "DELETE n")


@case
def a_relation_is_there_twice(world: World) -> list[Found]:
    return of_relation(world, "duplicate_edge", "CREATE (s)-[again:RELATES_TO]->(t) SET again = n")


@case
def a_relation_is_ahead(world: World) -> list[Found]:
    return of_relation(world, "ahead", "SET n.revision = 8, n.dl = 1")


@case
def a_relations_revision_becomes_the_text_of_a_higher_one(world: World) -> list[Found]:
    return of_relation(world, "edited", "SET n.revision = '9999', n.dl = 1")


@case(deep=True)
def a_predicate_is_edited_and_the_digest_kept(world: World) -> list[Found]:
    return of_relation(world, "edited", "SET n.predicate = 'never met'")


@case
def a_predicate_is_edited_and_the_digest_too(world: World) -> list[Found]:
    return of_relation(world, "edited", "SET n.predicate = 'never met', n.dl = 1")


@case
def a_relation_loses_everything_but_its_id(world: World) -> list[Found]:
    return of_relation(world, "stale", "SET n = {id: $id}")


@case
def a_live_relation_becomes_a_newer_tombstone(world: World) -> list[Found]:
    return of_relation(world, "settled_absent", "SET n = {id: $id, revision: 8, deleted: true}")


@case(deep=True)
def a_relation_points_to_somebody_else(world: World) -> list[Found]:
    change = "MATCH (o:Entity {id: $dan}) CREATE (s)-[other:RELATES_TO]->(o) SET other = n DELETE n"
    missing = of_relation(world, "settled_absent", change, dan=world.entity("Dan"))
    return [*missing, ("extra", "graph", "relation", missing[0][3])]


@case
def a_relation_starts_from_somebody_else_and_is_ahead_there(world: World) -> list[Found]:
    """From somebody in another bucket: a quick audit sums by the source's, and one in 4,096 others shares it."""
    change = "MATCH (o:Entity {id: $other}) CREATE (o)-[other:RELATES_TO]->(t) SET other = n SET other.revision = 20 DELETE n"
    ada = world.entity("Ada")
    other = world.value(
        "select o.id::text from memory.entities o, memory.entities a where a.id::text = %s and o.bucket <> a.bucket"
        " and o.name in ('Dan', 'Cleo') order by o.name desc limit 1",
        ada,
    )
    missing = of_relation(world, "settled_absent", change, other=other)
    return [*missing, ("extra", "graph", "relation", missing[0][3])]


@case
def a_relation_is_also_drawn_in_two_other_places(world: World) -> list[Found]:
    change = (
        "MATCH (o:Entity {id: $dan}) CREATE (o)-[a:RELATES_TO]->(t) CREATE (s)-[b:RELATES_TO]->(o)"
        " SET a = n SET b = n SET a.revision = 5 SET b.revision = 9"
    )
    extra = of_relation(world, "extra", change, dan=world.entity("Dan"))
    return [*extra, *extra]


def drawn(world: World, id_: object, source: str = "Ada", target: str = "Dan") -> None:
    props = {"revision": 3, "predicate": "likes", "namespace": "default", "dh": 1, "dl": 2} | ({} if id_ is None else {"id": id_})
    world.cypher(
        BETWEEN + "CREATE (s)-[n:RELATES_TO]->(t) SET n = $props", source=world.entity(source), target=world.entity(target), props=props
    )


@case
def a_relation_that_nobody_stated(world: World) -> list[Found]:
    id_ = unknown()
    drawn(world, id_)
    return [("extra", "graph", "relation", id_)]


@case
def a_relation_whose_id_is_none_of_ours(world: World) -> list[Found]:
    drawn(world, "likes!")
    return [("extra", "graph", "relation", "likes!")]


@case
def a_relation_without_an_id(world: World) -> list[Found]:
    drawn(world, None)
    return [("extra", "graph", "relation", "")]


@case
def a_relation_whose_id_is_a_number(world: World) -> list[Found]:
    drawn(world, 12)
    return [("extra", "graph", "relation", "")]


@case
def a_relation_from_an_entity_to_itself(world: World) -> list[Found]:
    id_ = unknown()
    drawn(world, id_, "Ada", "Ada")
    return [("extra", "graph", "relation", id_)]


@case
def the_ghost_of_a_relation_that_nobody_states_any_more(world: World) -> list[Found]:
    id_ = world.tombstone("relations")
    drawn(world, id_)
    return [("extra", "graph", "relation", id_)]


@case
def a_relation_to_a_memory(world: World) -> list[Found]:
    id_ = unknown()
    world.cypher(
        "MATCH (s:Entity {id: $s}), (m:Memory {id: $m}) CREATE (s)-[:RELATES_TO {id: $id, revision: 4}]->(m)",
        s=world.entity("Ada"), m=world.memory("note-1"), id=id_,
    )  # fmt: skip
    return [("dangling_edge", "graph", "relation", id_)]


@case
def a_relation_from_a_memory(world: World) -> list[Found]:
    world.cypher(
        "MATCH (m:Memory {id: $m}), (t:Entity {id: $t}) CREATE (m)-[:RELATES_TO {id: $id, revision: 1}]->(t)",
        m=world.memory("note-1"), t=world.entity("Ada"), id=unknown(),
    )  # fmt: skip
    return [("dangling_edge", "graph", "relation", "")]
