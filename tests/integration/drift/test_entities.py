"""Entities in the graph that differ from the record: found, named, repaired, and then nothing differs any more."""

from __future__ import annotations

import pytest

from tests.integration import drift
from tests.integration.drift import Case, Found, World, unknown

CASES, case = drift.cases()

ENTITY = "MATCH (e:Entity {id: $id}) "


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_drift_of_an_entity_is_found_and_repaired(world: World, one: Case) -> None:
    drift.check(world, one)


def of_entity(world: World, name: str, kind: str, change: str, **values: object) -> list[Found]:
    id_ = world.entity(name)
    world.cypher(ENTITY + change, id=id_, **values)
    return [(kind, "graph", "entity", id_)]


def like(world: World, whom: str, **changes: object) -> dict[str, object]:
    """The properties of an entity's node, with changes."""
    ((props,),) = world.cypher(ENTITY + "RETURN properties(e)", id=world.entity(whom))
    return {**props, **changes}


@case
def an_entity_is_removed(world: World) -> list[Found]:
    id_ = world.entity("Ben")
    world.cypher(ENTITY + "DETACH DELETE e", id=id_)
    mentions = [("settled_absent", "graph", "mention", name) for name in world.mentions(entity=id_)]
    relations = [("settled_absent", "graph", "relation", name) for name in world.relations(id_)]
    assert mentions
    assert relations
    return [("settled_absent", "graph", "entity", id_), *mentions, *relations]


@case
def an_entity_is_stale(world: World) -> list[Found]:
    assert like(world, "Emil")["revision"] == 2, "a thing that became a person"
    return of_entity(world, "Emil", "stale", "SET e = $props", props=like(world, "Emil", revision=1, type="thing", dl=5))


@case(deep=True)
def an_entity_is_stale_and_keeps_its_digest(world: World) -> list[Found]:
    return of_entity(world, "Emil", "stale", "SET e.revision = 1")


@case
def an_entity_is_ahead(world: World) -> list[Found]:
    return of_entity(world, "Ada", "ahead", "SET e.revision = 9, e.dl = 3")


@case(deep=True)
def a_name_is_edited_and_the_digest_kept(world: World) -> list[Found]:
    return of_entity(world, "Ada", "edited", "SET e.name = 'Eve'")


@case
def a_name_is_edited_and_the_digest_too(world: World) -> list[Found]:
    return of_entity(world, "Ada", "edited", "SET e.name = 'Eve', e.dh = 5")


@case(deep=True)
def an_entity_shows_another_namespace(world: World) -> list[Found]:
    return of_entity(world, "Ada", "wrong_namespace", "SET e.namespace = 'somebody'")


@case
def an_entity_moves_to_another_bucket(world: World) -> list[Found]:
    return of_entity(world, "Ada", "edited", "SET e.bucket = (e.bucket + 9) % 4096")


@case
def an_entity_loses_its_bucket(world: World) -> list[Found]:
    return of_entity(world, "Ada", "edited", "SET e.bucket = NULL")


@case
def an_entity_is_nothing_but_a_placeholder(world: World) -> list[Found]:
    return of_entity(world, "Ada", "stale", "SET e = {id: $id}")


@case
def a_live_entity_becomes_a_tombstone(world: World) -> list[Found]:
    return of_entity(world, "Ada", "settled_absent", "SET e = {id: $id, revision: e.revision, deleted: true}")


@case
def a_live_entity_becomes_a_newer_tombstone(world: World) -> list[Found]:
    return of_entity(world, "Ada", "settled_absent", "SET e = {id: $id, revision: 40, deleted: true}")


@case
def an_entity_that_nobody_mentions(world: World) -> list[Found]:
    id_ = unknown()
    world.cypher("CREATE (e:Entity) SET e = $props", props=like(world, "Ada", id=id_))
    return [("extra", "graph", "entity", id_)]


@case
def a_placeholder_that_nobody_mentions(world: World) -> list[Found]:
    id_ = unknown()
    world.cypher("CREATE (:Entity {id: $id})", id=id_)
    return [("extra", "graph", "entity", id_)]


@case
def an_entity_whose_id_is_none_of_ours(world: World) -> list[Found]:
    world.cypher("CREATE (e:Entity) SET e = $props", props=like(world, "Ada", id="Ada"))
    return [("extra", "graph", "entity", "Ada")]


@case
def an_entity_without_an_id_is_mentioned(world: World) -> list[Found]:
    world.cypher("MATCH (m:Memory {id: $id}) CREATE (m)-[:MENTIONS {dh: 1, dl: 2}]->(:Entity {name: 'Nobody'})", id=world.memory("note-1"))
    return [("extra", "graph", "entity", ""), ("dangling_edge", "graph", "mention", "")]


@case
def an_entity_whose_id_is_a_number(world: World) -> list[Found]:
    world.cypher("CREATE (:Entity {id: 7, name: 'Seven', bucket: 5, leaf: 6, dh: 1, dl: 1})")
    return [("extra", "graph", "entity", "")]


@case
def the_ghost_of_an_entity_that_nobody_mentions_any_more(world: World) -> list[Found]:
    id_ = world.tombstone("entities")
    world.cypher("MERGE (e:Entity {id: $id}) SET e = $props", id=id_, props=like(world, "Ada", id=id_, name="Zoe", revision=1))
    return [("extra", "graph", "entity", id_)]


@case
def the_ghost_of_an_entity_from_the_future(world: World) -> list[Found]:
    id_ = world.tombstone("entities")
    world.cypher("MERGE (e:Entity {id: $id}) SET e = $props", id=id_, props=like(world, "Ada", id=id_, name="Zoe", revision=30))
    return [("extra", "graph", "entity", id_)]
