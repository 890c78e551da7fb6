"""Nodes that differ from the record: each kind of drift is found, named, repaired, and then nothing differs any more."""

from __future__ import annotations

from contextlib import suppress

import pytest
from redis import ResponseError

from memory_pipelines.domain.errors import Refused
from tests import engines
from tests.integration import drift
from tests.integration.drift import Case, Found, World, unknown

CASES, case = drift.cases()

MEMORY = "MATCH (m:Memory {id: $id}) "
ENTITY = "MATCH (e:Entity {id: $id}) "


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_drift_of_a_node_is_found_and_repaired(world: World, one: Case) -> None:
    drift.check(world, one)


def test_the_graph_refuses_a_second_node_of_the_same_id(world: World) -> None:
    world.platform.graph.prepare(again=True)  # another test may have taken it away
    for label, id_ in (("Memory", world.memory("note-1")), ("Entity", world.entity("Ada"))):
        engines.until(lambda name=label: (name, "id") in world.graph.laid_out().unique, "the constraint is built")  # type: ignore[misc]
        with pytest.raises(Refused, match="unique constraint"):
            world.cypher(f"CREATE (:{label} {{id: $id}})", id=id_)
    drift.agree(world)


# -- memories ------------------------------------------------------------------------------------------------------------


def of_memory(world: World, key: str, kind: str, change: str, **values: object) -> list[Found]:
    id_ = world.memory(key)
    world.cypher(MEMORY + change, id=id_, **values)
    return [(kind, "graph", "memory", id_)]


def older(world: World, key: str) -> dict[str, object]:
    """What the node of a memory that was updated showed of the version before: no longer what its digest says."""
    ((props,),) = world.cypher(MEMORY + "RETURN properties(m)", id=world.memory(key))
    return {**props, "revision": props["revision"] - 1, "dh": 17, "dl": 4}


@case
def a_memory_is_removed(world: World) -> list[Found]:
    id_ = world.memory("note-3")
    world.cypher(MEMORY + "DETACH DELETE m", id=id_)
    return [
        ("settled_absent", "graph", "memory", id_),
        *(("settled_absent", "graph", "mention", name) for name in world.mentions(memory=id_)),
    ]


@case
def a_memory_is_removed_and_its_edges_hang_on_another_node(world: World) -> list[Found]:
    """The label is gone; node and edges are still there."""
    id_ = world.memory("note-3")
    world.cypher(MEMORY + "REMOVE m:Memory", id=id_)
    mentions = [("settled_absent", "graph", "mention", name) for name in world.mentions(memory=id_)]
    return [("settled_absent", "graph", "memory", id_), *mentions, *[("dangling_edge", "graph", "mention", "")] * len(mentions)]


@case
def a_memory_is_stale(world: World) -> list[Found]:
    return of_memory(world, "moved", "stale", "SET m = $props", props=older(world, "moved"))


@case(deep=True)
def a_memory_is_stale_and_keeps_its_digest(world: World) -> list[Found]:
    return of_memory(world, "moved", "stale", "SET m.revision = m.revision - 1")


@case
def a_memory_is_ahead(world: World) -> list[Found]:
    return of_memory(world, "note-1", "ahead", "SET m.revision = m.revision + 3, m.dl = 99")


@case
def a_memory_is_further_ahead_than_the_record_can_count(world: World) -> list[Found]:
    return of_memory(world, "note-1", "ahead", "SET m.revision = 4611686018427387904, m.dl = 99")


@case(deep=True)
def a_memory_is_ahead_and_keeps_its_digest(world: World) -> list[Found]:
    return of_memory(world, "note-1", "ahead", "SET m.revision = m.revision + 1")


@case(deep=True)
def a_time_is_edited_and_the_digest_kept(world: World) -> list[Found]:
    return of_memory(world, "note-1", "edited", "SET m.created_at = m.created_at + 1")


@case
def a_time_is_edited_and_the_digest_too(world: World) -> list[Found]:
    return of_memory(world, "note-1", "edited", "SET m.created_at = m.created_at + 1, m.dl = m.dl - 1")


@case(deep=True)
def a_memory_shows_another_namespace(world: World) -> list[Found]:
    return of_memory(world, "note-1", "wrong_namespace", "SET m.namespace = 'somebody'")


@case(deep=True)
def a_property_is_removed(world: World) -> list[Found]:
    return of_memory(world, "note-1", "edited", "SET m.created_at = NULL")


@case(deep=True)
def a_property_is_added(world: World) -> list[Found]:
    return of_memory(world, "note-1", "edited", "SET m.text = 'what should not be here'")


@case(deep=True)
def a_number_becomes_a_fraction_of_the_same_value(world: World) -> list[Found]:
    of_memory(world, "note-1", "", "SET m.was = toFloat(m.created_at), m.created_at = NULL")
    return of_memory(world, "note-1", "edited", "SET m.created_at = m.was, m.was = NULL")


@case
def a_revision_becomes_text(world: World) -> list[Found]:
    return of_memory(world, "note-1", "edited", "SET m.revision = 'two', m.dl = m.dl + 1")


@case
def a_revision_becomes_the_text_of_a_higher_one(world: World) -> list[Found]:
    return of_memory(world, "note-1", "edited", "SET m.revision = '9999', m.dl = m.dl + 1")


@case
def a_digest_becomes_text(world: World) -> list[Found]:
    return of_memory(world, "note-1", "edited", "SET m.dh = 'abc'")


@case
def a_live_memory_is_marked_as_not_deleted(world: World) -> list[Found]:
    """Whatever `deleted` says, having it is what a tombstone is known by."""
    return of_memory(world, "note-1", "edited", "SET m.deleted = false")


@case
def a_live_memory_becomes_a_tombstone(world: World) -> list[Found]:
    return of_memory(world, "note-1", "settled_absent", "SET m = {id: $id, revision: m.revision, deleted: true}")


@case
def a_live_memory_becomes_a_newer_tombstone(world: World) -> list[Found]:
    return of_memory(world, "note-1", "settled_absent", "SET m = {id: $id, revision: m.revision + 3, deleted: true}")


@case
def a_memory_moves_to_another_bucket(world: World) -> list[Found]:
    return of_memory(world, "note-2", "edited", "SET m.bucket = (m.bucket + 1) % 4096")


@case
def a_memory_moves_to_a_bucket_that_does_not_exist(world: World) -> list[Found]:
    return of_memory(world, "note-2", "edited", "SET m.bucket = 70000")


@case
def a_bucket_becomes_text(world: World) -> list[Found]:
    return of_memory(world, "note-2", "edited", "SET m.bucket = 'seven'")


@case
def a_memory_loses_its_bucket(world: World) -> list[Found]:
    return of_memory(world, "note-2", "edited", "SET m.bucket = NULL")


@case(deep=True)
def a_memory_moves_to_another_leaf(world: World) -> list[Found]:
    return of_memory(world, "note-2", "edited", "SET m.leaf = (m.leaf + 1) % 256")


@case
def a_memory_loses_its_leaf(world: World) -> list[Found]:
    return of_memory(world, "note-2", "edited", "SET m.leaf = NULL")


@case
def a_memory_loses_everything_but_its_id(world: World) -> list[Found]:
    return of_memory(world, "note-2", "stale", "SET m = {id: $id}")


def like(world: World, label: str, key: str, **changes: object) -> dict[str, object]:
    """The properties of a memory's or an entity's node, with changes."""
    id_ = world.memory(key) if label == "Memory" else world.entity(key)
    ((props,),) = world.cypher(f"MATCH (n:{label} {{id: $id}}) RETURN properties(n)", id=id_)
    return {**props, **changes}


@case
def a_memory_that_nobody_saved(world: World) -> list[Found]:
    id_ = unknown()
    world.cypher("CREATE (m:Memory) SET m = $props", props=like(world, "Memory", "note-1", id=id_))
    return [("extra", "graph", "memory", id_)]


@case
def a_memory_that_nobody_saved_mentions_somebody(world: World) -> list[Found]:
    id_, ada = unknown(), world.entity("Ada")
    props = like(world, "Memory", "note-1", id=id_, revision=7)
    world.cypher("MATCH (e:Entity {id: $ada}) CREATE (m:Memory)-[:MENTIONS {dh: 1, dl: 2}]->(e) SET m = $props", ada=ada, props=props)
    return [("extra", "graph", "memory", id_), ("extra", "graph", "mention", f"{id_}:{ada}")]


@case
def a_memory_whose_id_is_none_of_ours(world: World) -> list[Found]:
    world.cypher("CREATE (m:Memory) SET m = $props", props=like(world, "Memory", "note-1", id='it\'s "mine": ü'))
    return [("extra", "graph", "memory", 'it\'s "mine": ü')]


@case
def a_memory_whose_id_is_an_uppercase_copy(world: World) -> list[Found]:
    id_ = world.memory("note-1").upper()
    world.cypher("CREATE (m:Memory) SET m = $props", props=like(world, "Memory", "note-1", id=id_))
    return [("extra", "graph", "memory", id_)]


@case
def a_memory_that_is_nothing_but_an_id(world: World) -> list[Found]:
    id_ = unknown()
    world.cypher("CREATE (:Memory {id: $id})", id=id_)
    return [("extra", "graph", "memory", id_)]


@case
def an_extra_memory_in_a_bucket_that_does_not_exist(world: World) -> list[Found]:
    id_ = unknown()
    world.cypher("CREATE (:Memory {id: $id, revision: 1, bucket: 5000, leaf: 3, dh: 1, dl: 1})", id=id_)
    return [("extra", "graph", "memory", id_)]


@case
def an_extra_memory_without_a_leaf(world: World) -> list[Found]:
    id_ = unknown()
    world.cypher("CREATE (:Memory {id: $id, revision: 1, bucket: 5, dh: 1, dl: 1})", id=id_)
    return [("extra", "graph", "memory", id_)]


@case
def memories_without_an_id(world: World) -> list[Found]:
    world.cypher("CREATE (:Memory), (:Memory {bucket: 5, leaf: 6, dh: 1, dl: 1}), (:Memory {text: 'x'})")
    return [("extra", "graph", "memory", "")]


@case
def a_memory_whose_id_is_a_number(world: World) -> list[Found]:
    world.cypher("CREATE (:Memory {id: 7, bucket: 5, leaf: 6, dh: 1, dl: 1})")
    return [("extra", "graph", "memory", "")]


@case
def a_memory_without_an_id_mentions_somebody(world: World) -> list[Found]:
    world.cypher(ENTITY + "CREATE (:Memory)-[:MENTIONS]->(e)", id=world.entity("Ada"))
    return [("extra", "graph", "memory", ""), ("dangling_edge", "graph", "mention", "")]


@case
def the_ghost_of_a_forgotten_memory(world: World) -> list[Found]:
    id_ = world.tombstone("memories")
    props = like(world, "Memory", "note-1", id=id_, revision=1)
    world.cypher("MERGE (m:Memory {id: $id}) SET m = $props", id=id_, props=props)
    return [("extra", "graph", "memory", id_)]


@case
def the_ghost_of_a_forgotten_memory_from_the_future(world: World) -> list[Found]:
    id_, ada = world.tombstone("memories"), world.entity("Ada")
    props = like(world, "Memory", "note-1", id=id_, revision=50)
    world.cypher(
        "MATCH (e:Entity {id: $ada}) MERGE (m:Memory {id: $id}) SET m = $props CREATE (m)-[:MENTIONS]->(e)", id=id_, props=props, ada=ada
    )
    return [("extra", "graph", "memory", id_), ("extra", "graph", "mention", f"{id_}:{ada}")]


# -- what only the ledger tells apart, and what no constraint prevents ----------------------------------------------------


@case
def a_memory_that_the_ledger_does_not_say_was_settled(world: World) -> list[Found]:
    """Its mentions hang on the same debt."""
    id_ = world.memory("note-4")
    world.cypher(MEMORY + "DETACH DELETE m", id=id_)
    settled = "settled_revision = null, settled_version = null, settled_marker = null, settled_at = null"
    world.sql.execute(f"update memory.ledger set {settled} where projection = 'graph' and id = %s", [id_])
    return [("missing", "graph", "memory", id_), *(("missing", "graph", "mention", name) for name in world.mentions(memory=id_))]


@case
def a_memory_is_there_twice(world: World) -> list[Found]:
    id_ = world.memory("note-3")
    without_constraint(world, "Memory")
    world.cypher(MEMORY + "WITH properties(m) AS props CREATE (again:Memory) SET again = props", id=id_)
    return [("duplicate_node", "graph", "memory", id_)]


@case
def an_entity_is_there_thrice_and_its_edges_hang_on_a_copy(world: World) -> list[Found]:
    """The copy that stays need not be the one that has the edges: what is missing then is put right by a second look."""
    ada, plain = world.entity("Ada"), world.memory("plain")
    without_constraint(world, "Entity")
    world.cypher("MATCH (e:Entity {id: $id}) WITH properties(e) AS p CREATE (a:Entity), (b:Entity) SET a = p SET b = p", id=ada)
    world.cypher("MATCH (m:Memory {id: $m}) MATCH (e:Entity {id: $e}) CREATE (m)-[:MENTIONS]->(e)", m=plain, e=ada)
    return [("duplicate_node", "graph", "entity", ada), ("extra", "graph", "mention", f"{plain}:{ada}")]


def without_constraint(world: World, label: str) -> None:
    """A graph in which somebody else has dropped the uniqueness of ids."""
    graph = world.graph._graph()  # type: ignore[attr-defined]  # FalkorDB's own client
    with suppress(ResponseError):  # another case has done it
        graph.drop_node_unique_constraint(label, "id")


def test_a_constraint_that_copies_made_fail_is_made_again_without_them(world: World) -> None:
    id_ = world.memory("note-3")
    without_constraint(world, "Memory")
    world.cypher(MEMORY + "WITH properties(m) AS props CREATE (again:Memory) SET again = props", id=id_)
    world.platform.graph.prepare(again=True)
    failed = "CALL db.constraints() YIELD label, status WITH label, status WHERE label = 'Memory' RETURN status"
    engines.until(lambda: world.cypher(failed) == [["FAILED"]], "the constraint has failed")
    world.client.audit(deep=True, repair=True)
    world.platform.graph.prepare(again=True)
    engines.until(lambda: ("Memory", "id") in world.graph.laid_out().unique, "the constraint is built")  # type: ignore[union-attr]
    drift.agree(world)
