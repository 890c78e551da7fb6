"""What lies beside the record, in the same database: passages, vectors and the ledger that differ from it are found and repaired."""

from __future__ import annotations

import pytest

from memory_pipelines.domain.models import PROJECTIONS
from tests.integration import drift
from tests.integration.drift import Case, Found, World, unknown

CASES, case = drift.cases()


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_drift_beside_the_record_is_found_and_repaired(world: World, one: Case) -> None:
    drift.check(world, one)


# -- vectors -------------------------------------------------------------------------------------------------------------


def of_vector(world: World, kind: str, change: str, owner: str, passage: int | None = 0) -> list[Found]:
    rows = world.sql.execute(f"{change} where id = %s and passage = coalesce(%s, 0)", [owner, passage]).rowcount
    assert rows == 1
    return [(kind, "embeddings", "embedding", owner if passage is None else f"{owner}#{passage}")]


def copied(world: World, owner: str, passage: int, kind: str = "memory") -> None:
    """Another vector, made from that of a note."""
    world.sql.execute(
        "insert into memory.embeddings (kind, id, passage, generation, version, namespace, v)"
        " select %s, %s, %s, generation, version, namespace, v from memory.embeddings where id = %s and passage = 0",
        [kind, owner, passage, world.memory("note-1")],
    )


@case
def a_vector_is_removed(world: World) -> list[Found]:
    return of_vector(world, "missing", "delete from memory.embeddings", world.memory("long"), 1)


@case
def the_vector_of_an_entity_is_removed(world: World) -> list[Found]:
    return of_vector(world, "missing", "delete from memory.embeddings", world.entity("Ada"), None)


@case
def a_vector_is_of_an_older_version(world: World) -> list[Found]:
    return of_vector(world, "stale", "update memory.embeddings set version = version - 1", world.memory("moved"))


@case
def the_vector_of_an_entity_is_of_an_older_version(world: World) -> list[Found]:
    return of_vector(world, "stale", "update memory.embeddings set version = version - 1", world.entity("Ada"), None)


@case
def a_vector_is_of_a_newer_version(world: World) -> list[Found]:
    return of_vector(world, "ahead", "update memory.embeddings set version = version + 1", world.memory("note-1"))


@case
def a_vector_has_too_few_dimensions(world: World) -> list[Found]:
    return of_vector(world, "wrong_dimension", "update memory.embeddings set v = '[1,0,0]', indexed = false", world.memory("note-1"))


@case
def a_vector_is_shown_to_another_namespace(world: World) -> list[Found]:
    return of_vector(world, "wrong_namespace", "update memory.embeddings set namespace = 'somebody'", world.memory("note-1"))


@case
def a_vector_of_another_generation(world: World) -> list[Found]:
    change = "update memory.embeddings set generation = generation + 1, indexed = false"
    return of_vector(world, "wrong_generation", change, world.memory("note-1"))


@case
def a_vector_of_another_generation_beside_the_right_one(world: World) -> list[Found]:
    id_ = world.memory("note-1")
    world.sql.execute(
        "insert into memory.embeddings (kind, id, passage, generation, version, namespace, v)"
        " select kind, id, passage, generation + 1, version, namespace, v from memory.embeddings where id = %s",
        [id_],
    )
    return [("wrong_generation", "embeddings", "embedding", f"{id_}#0")]


@case
def a_vector_of_a_memory_that_nobody_saved(world: World) -> list[Found]:
    id_ = unknown()
    copied(world, id_, 0)
    return [("orphan", "embeddings", "embedding", f"{id_}#0")]


@case
def a_vector_of_a_passage_that_is_not_there(world: World) -> list[Found]:
    id_ = world.memory("note-1")
    copied(world, id_, 5)
    return [("orphan", "embeddings", "embedding", f"{id_}#5")]


@case
def a_vector_of_a_forgotten_memory(world: World) -> list[Found]:
    id_ = world.tombstone("memories")
    copied(world, id_, 0)
    return [("orphan", "embeddings", "embedding", f"{id_}#0")]


@case
def a_vector_of_an_entity_that_nobody_mentions(world: World) -> list[Found]:
    id_ = unknown()
    copied(world, id_, 0, "entity")
    return [("orphan", "embeddings", "embedding", id_)]


@case
def a_vector_of_a_forgotten_entity(world: World) -> list[Found]:
    id_ = world.tombstone("entities")
    copied(world, id_, 0, "entity")
    return [("orphan", "embeddings", "embedding", id_)]


# -- passages ------------------------------------------------------------------------------------------------------------


def of_passage(world: World, kind: str, change: str, key: str = "long", ordinal: int = 1) -> list[Found]:
    id_ = world.memory(key)
    assert world.sql.execute(f"{change} where memory_id = %s and ordinal = %s", [id_, ordinal]).rowcount == 1
    return [(kind, "passages", "passage", f"{id_}#{ordinal}")]


@case
def a_passage_is_removed(world: World) -> list[Found]:
    removed = of_passage(world, "missing", "delete from memory.passages")
    return [*removed, ("orphan", "embeddings", "embedding", removed[0][3])]


@case
def the_last_passage_is_removed(world: World) -> list[Found]:
    last = world.value("select max(ordinal) from memory.passages where memory_id = %s", world.memory("long"))
    removed = of_passage(world, "missing", "delete from memory.passages", ordinal=last)
    return [*removed, ("orphan", "embeddings", "embedding", removed[0][3])]


@case
def the_last_passage_is_removed_together_with_its_vector(world: World) -> list[Found]:
    last = world.value("select max(ordinal) from memory.passages where memory_id = %s", world.memory("long"))
    world.sql.execute("delete from memory.embeddings where id = %s and passage = %s", [world.memory("long"), last])
    return of_passage(world, "missing", "delete from memory.passages", ordinal=last)


@case
def every_passage_of_a_memory_is_removed_together_with_the_vectors(world: World) -> list[Found]:
    world.sql.execute("delete from memory.embeddings where id = %s", [world.memory("note-2")])
    return of_passage(world, "missing", "delete from memory.passages", "note-2", 0)


@case
def a_passage_is_edited(world: World) -> list[Found]:
    return of_passage(world, "edited", "update memory.passages set text = 'something else'")


@case
def a_passage_is_of_an_older_version(world: World) -> list[Found]:
    return of_passage(world, "stale", "update memory.passages set version = version - 1", "moved", 0)


@case
def a_passage_is_shown_to_another_namespace(world: World) -> list[Found]:
    return of_passage(world, "wrong_namespace", "update memory.passages set namespace = 'somebody'")


@case
def a_passage_loses_its_end(world: World) -> list[Found]:
    """What is left is still a part of the text, and every passage is there."""
    last = world.value("select max(ordinal) from memory.passages where memory_id = %s", world.memory("long"))
    of_passage(world, "", "update memory.passages set text = left(text, 20)")
    return [("missing", "passages", "passage", f"{world.memory('long')}#{last + 1}")]


@case
def a_passage_of_a_memory_that_nobody_saved(world: World) -> list[Found]:
    id_ = unknown()
    world.sql.execute(
        "insert into memory.passages (memory_id, ordinal, version, namespace, text) values (%s, 0, 1, 'default', 'hm')", [id_]
    )
    return [("orphan", "passages", "passage", f"{id_}#0")]


@case
def a_passage_of_a_forgotten_memory(world: World) -> list[Found]:
    id_ = world.tombstone("memories")
    world.sql.execute(
        "insert into memory.passages (memory_id, ordinal, version, namespace, text) values (%s, 0, 1, 'default', 'hm')", [id_]
    )
    return [("orphan", "passages", "passage", f"{id_}#0")]


# -- the ledger ----------------------------------------------------------------------------------------------------------


@case
def a_memory_is_unknown_to_the_ledger(world: World) -> list[Found]:
    id_ = world.memory("note-1")
    world.sql.execute("delete from memory.ledger where kind = 'memory' and id = %s", [id_])
    return [("unledgered", "ledger", "memory", id_) for _ in PROJECTIONS]


@case
def an_entity_and_a_relation_are_unknown_to_the_ledger(world: World) -> list[Found]:
    ada, (met, _, _) = world.entity("Ada"), world.relation("Ada", "met", "Ben")
    world.sql.execute("delete from memory.ledger where id in (%s, %s)", [ada, met])
    return [*[("unledgered", "ledger", "entity", ada)] * 2, ("unledgered", "ledger", "relation", met)]


@case
def a_debt_is_older_than_the_budget(world: World) -> list[Found]:
    id_ = world.memory("note-1")
    world.platform.record.owe([{"projection": name, "kind": "memory", "id": id_} for name in PROJECTIONS])
    world.sql.execute("update memory.ledger set owed_since = now() - interval '1 hour' where owed_number is not null")
    return [("owed_too_long", "ledger", "memory", id_) for _ in PROJECTIONS]


@case
def a_row_is_parked(world: World) -> list[Found]:
    ada = world.entity("Ada")
    world.platform.record.owe([{"projection": "embeddings", "kind": "entity", "id": ada}])
    world.sql.execute("update memory.ledger set parked_at = now(), attempts = 5, last_error = 'hm' where owed_number is not null")
    return [("parked", "ledger", "entity", ada)]


@case
def a_ledger_row_is_left_without_its_subject(world: World) -> list[Found]:
    """The record never held these, and the ledger says that they were shown."""
    claimed = [
        ("graph", "memory", unknown()),
        ("embeddings", "entity", unknown()),
        ("graph", "relation", unknown()),
        ("entities", "memory", unknown()),
    ]
    for projection, kind, id_ in claimed:
        world.sql.execute(
            "insert into memory.ledger (projection, kind, id, settled_revision, settled_version, settled_at)"
            " values (%s, %s, %s, 1, 1, now())",
            [projection, kind, id_],
        )
    return [("without_subject", "ledger", kind, id_) for _, kind, id_ in claimed]


@case
def a_memory_vanishes_from_the_record_itself(world: World) -> list[Found]:
    """Nobody forgot it: its row, passages and links were deleted by hand. Every store still shows it."""
    id_ = world.memory("plain")
    for table, column in (("memories", "id"), ("passages", "memory_id"), ("history", "memory_id")):
        world.sql.execute(f"delete from memory.{table} where {column} = %s", [id_])
    beside = [("orphan", "embeddings", "embedding", f"{id_}#0"), ("extra", "graph", "memory", id_)]
    return [*beside, *[("without_subject", "ledger", "memory", id_)] * 3]
