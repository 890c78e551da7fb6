"""Every manner of drift that `drift.py` seeds: one row, behind the record's back, by raw Cypher or SQL; and what an audit must call it.

To add one: a function under `@deed`, which takes its row from `Rows` (so that no two deeds touch the same one) and returns the id that
must be named; edges that go with a node, under their own kinds, come second. Kinds, stores and subjects are those of `Finding`. Must
stay out: looking for what was seeded. `given_up` is seeded nowhere: somebody has said that it may differ, and no repair takes it up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from redis import ResponseError

from tests.integration.drift import Found, World, unknown


@dataclass(frozen=True)
class Seeded:
    """One row that differs: what an audit must say of it, and of what went with it."""

    named: Found
    also: tuple[Found, ...] = ()


@dataclass(frozen=True)
class Deed:
    """A manner of drift. `deep`: stored digests and counts still agree, so that only a deep audit can see it."""

    what: str
    kind: str
    store: str
    subject: str
    deep: bool
    do: Callable[[World, Rows], str | tuple[str, list[Found]]]

    def seed(self, world: World, rows: Rows) -> Seeded:
        """Do it to one row."""
        done = self.do(world, rows)
        id_, also = done if isinstance(done, tuple) else (done, [])
        return Seeded((self.kind, self.store, self.subject, id_), tuple(also))


DEEDS: list[Deed] = []
MEMORY = "MATCH (m:Memory {id: $id}) "
ENTITY = "MATCH (e:Entity {id: $id}) "
RELATION = "MATCH (s:Entity {id: $s})-[n:RELATES_TO {id: $id}]->(t:Entity {id: $t}) "
MENTION = "MATCH (m:Memory {id: $m})-[n:MENTIONS]->(e:Entity {id: $e}) "
UNSETTLED = "settled_revision = null, settled_version = null, settled_marker = null, settled_at = null"


@dataclass
class Rows:
    """Rows of the record in random order; each is given away once. `alone` entities share no memory and no relation with what is given."""

    memories: list[str]
    entities: list[str]
    alone: list[str]
    relations: list[tuple[str, str, str]]  # id, source, target
    forgotten: list[str]
    buried: list[str]  # entities that are forgotten
    dice: random.Random
    given: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, world: World, dice: random.Random, alone: int) -> Rows:
        """All there are; `alone` entities are set aside, and what hangs on them is not given."""

        def column(statement: str, *values: Any) -> list[str]:
            return [row[0] for row in world.sql.execute(statement, list(values))]

        entities = column("select id::text from memory.entities where deleted_at is null order by namespace, name")
        dice.shuffle(entities)
        chosen, entities = entities[:alone], entities[alone:]
        memories = column(
            "select m.id::text from memory.memories m where deleted_at is null and not exists (select from memory.mentions n"
            " where n.memory_id = m.id and n.entity_id::text = any (%s)) order by m.key_hash", chosen,
        )  # fmt: skip
        relations = [
            (row[0], row[1], row[2])
            for row in world.sql.execute(
                "select id::text, source_id::text, target_id::text from memory.relations where deleted_at is null"
                " and not (source_id::text = any (%(a)s) or target_id::text = any (%(a)s)) order by name_hash",
                {"a": chosen},
            )
        ]
        forgotten = column("select id::text from memory.memories where deleted_at is not null order by id")
        buried = column("select id::text from memory.entities where deleted_at is not null order by name_hash")
        for pool in (memories, relations, forgotten, buried):
            dice.shuffle(pool)  # type: ignore[arg-type]  # a list of anything
        return cls(memories, entities, chosen, relations, forgotten, buried, dice)

    def memory(self) -> str:
        """Id of a live memory."""
        return self.memories.pop()

    def entity(self) -> str:
        """Id of a live entity; its edges may be others'."""
        return self.entities.pop()

    def mention(self, world: World) -> tuple[str, str]:
        """A memory, and one of the entities that it mentions."""
        memory, _, entity = self.dice.choice(sorted(world.mentions(memory=self.memory()))).partition(":")
        return memory, entity


def deed(kind: str, subject: str, store: str = "graph", *, deep: bool = False) -> Callable[[Any], Any]:
    """Makes a function one of the `DEEDS`."""

    def add(do: Callable[[World, Rows], str | tuple[str, list[Found]]]) -> Callable[[World, Rows], Any]:
        DEEDS.append(Deed(do.__name__.replace("_", " "), kind, store, subject, deep, do))
        return do

    return add


# -- nodes ---------------------------------------------------------------------------------------------------------------


def _node(label: str, kind: str, name: str, change: str, *, deep: bool = False) -> None:
    """A deed that changes one node of a label: `x`."""

    def do(world: World, rows: Rows) -> str:
        id_ = rows.memory() if label == "Memory" else rows.entity()
        _one(world.cypher(f"MATCH (x:{label} {{id: $id}}) {change} RETURN count(x)", id=id_))
        return id_

    DEEDS.append(Deed(name, kind, "graph", label.lower(), deep, do))


_node("Memory", "stale", "an older revision", "SET x.revision = x.revision - 1, x.dl = x.dl + 1")
_node("Memory", "stale", "an older revision, digest kept", "SET x.revision = x.revision - 1", deep=True)
_node("Entity", "stale", "nothing left but the id", "SET x = {id: $id}")
_node("Memory", "ahead", "a newer revision", "SET x.revision = x.revision + 5, x.dl = x.dl + 1")
_node("Memory", "ahead", "a newer revision, digest kept", "SET x.revision = x.revision + 5", deep=True)
_node("Entity", "ahead", "a newer revision", "SET x.revision = x.revision + 5, x.dl = x.dl + 1")
_node("Memory", "edited", "another time, digest kept", "SET x.created_at = x.created_at + 1", deep=True)
_node("Memory", "edited", "another digest", "SET x.dl = x.dl + 1")
_node("Memory", "edited", "in another bucket", "SET x.bucket = (x.bucket + 9) % 4096")
_node("Entity", "edited", "another name, digest kept", "SET x.name = 'Eve'", deep=True)
_node("Entity", "edited", "another name and digest", "SET x.name = 'Eve', x.dl = x.dl + 1")
_node("Memory", "settled_absent", "a newer tombstone", "SET x = {id: $id, revision: x.revision + 3, deleted: true}")
_node("Memory", "wrong_namespace", "shown to somebody else", "SET x.namespace = 'somebody'", deep=True)
_node("Entity", "wrong_namespace", "shown to somebody else", "SET x.namespace = 'somebody'", deep=True)


def _memory_removed(world: World, rows: Rows, kind: str) -> tuple[str, list[Found]]:
    id_ = rows.memory()
    world.cypher(MEMORY + "DETACH DELETE m", id=id_)
    return id_, [(kind, "graph", "mention", name) for name in world.mentions(memory=id_)]


def _entity_removed(world: World, rows: Rows) -> tuple[str, list[Found]]:
    id_ = rows.alone.pop()
    edges = [("mention", name) for name in world.mentions(entity=id_)] + [("relation", name) for name in world.relations(id_)]
    edges = [edge for edge in edges if edge[1] not in rows.given]  # one that joins two such entities goes once
    rows.given.update(name for _, name in edges)
    world.cypher(ENTITY + "DETACH DELETE e", id=id_)
    return id_, [("settled_absent", "graph", subject, name) for subject, name in edges]


def _unsettled(world: World, id_: str) -> None:
    _one([[world.sql.execute(f"update memory.ledger set {UNSETTLED} where projection = 'graph' and id = %s", [id_]).rowcount]])


@deed("settled_absent", "memory")
def a_memory_removed_with_its_edges(world: World, rows: Rows) -> tuple[str, list[Found]]:
    return _memory_removed(world, rows, "settled_absent")


@deed("missing", "memory")
def a_memory_removed_and_never_settled(world: World, rows: Rows) -> tuple[str, list[Found]]:
    removed = _memory_removed(world, rows, "missing")
    _unsettled(world, removed[0])
    return removed


@deed("settled_absent", "entity")
def an_entity_removed_with_its_edges(world: World, rows: Rows) -> tuple[str, list[Found]]:
    return _entity_removed(world, rows)


@deed("missing", "entity")
def an_entity_removed_and_never_settled(world: World, rows: Rows) -> tuple[str, list[Found]]:
    removed = _entity_removed(world, rows)
    _unsettled(world, removed[0])
    return removed


@deed("extra", "memory")
def nobody_saved_it(world: World, rows: Rows) -> str:  # noqa: ARG001  # every deed is asked the same
    id_ = unknown()
    world.cypher("CREATE (:Memory {id: $id, namespace: 'user-1', revision: 5, bucket: 17, leaf: 3, dh: 4, dl: 5})", id=id_)
    return id_


@deed("extra", "memory")
def the_ghost_of_a_forgotten_one(world: World, rows: Rows) -> str:
    id_ = rows.forgotten.pop()
    world.cypher("MERGE (m:Memory {id: $id}) SET m = {id: $id, revision: 1, bucket: 17, leaf: 4, dh: 4, dl: 5}", id=id_)
    return id_


@deed("extra", "entity")
def nobody_mentions_it(world: World, rows: Rows) -> str:  # noqa: ARG001  # as above
    id_ = unknown()
    world.cypher("CREATE (:Entity {id: $id, name: 'x', revision: 5, bucket: 17, leaf: 3, dh: 4, dl: 5})", id=id_)
    return id_


def _copied(world: World, label: str, id_: str) -> str:
    graph: Any = world.graph
    with suppress(ResponseError):  # it was dropped before
        graph._graph().drop_node_unique_constraint(label, "id")
    world.cypher(f"MATCH (x:{label} {{id: $id}}) WITH properties(x) AS props CREATE (again:{label}) SET again = props", id=id_)
    return id_


@deed("duplicate_node", "memory")
def a_memory_there_twice(world: World, rows: Rows) -> str:
    return _copied(world, "Memory", rows.memory())


@deed("duplicate_node", "entity")
def an_entity_there_twice(world: World, rows: Rows) -> str:
    return _copied(world, "Entity", rows.entity())


# -- edges ---------------------------------------------------------------------------------------------------------------


def _mention(kind: str, name: str, change: str, *, deep: bool = False) -> None:
    """A deed that changes one mention: `n`, from `m` to `e`."""

    def do(world: World, rows: Rows) -> str:
        memory, entity = rows.mention(world)
        _one(world.cypher(f"{MENTION} {change} RETURN count(m)", m=memory, e=entity))
        return f"{memory}:{entity}"

    DEEDS.append(Deed(name, kind, "graph", "mention", deep, do))


def _relation(kind: str, name: str, change: str, *, deep: bool = False, settled: bool = True) -> None:
    """A deed that changes one relation: `n`, from `s` to `t`."""

    def do(world: World, rows: Rows) -> str:
        id_, source, target = rows.relations.pop()
        _one(world.cypher(f"{RELATION} {change} RETURN count(s)", id=id_, s=source, t=target))
        if not settled:
            _unsettled(world, id_)
        return id_

    DEEDS.append(Deed(name, kind, "graph", "relation", deep, do))


_mention("settled_absent", "removed", "DELETE n")
_mention("edited", "another digest", "SET n.dl = n.dl + 1")
_mention("edited", "says more, digest kept", "SET n.quote = 'hello'", deep=True)
_mention("duplicate_edge", "there twice", "CREATE (m)-[again:MENTIONS]->(e) SET again = n")
_relation("settled_absent", "removed", "DELETE n")
_relation("missing", "removed and never settled", "DELETE n", settled=False)
_relation("stale", "nothing left but the id", "SET n = {id: $id}")
_relation("ahead", "a newer revision", "SET n.revision = n.revision + 5, n.dl = n.dl + 1")
_relation("edited", "another predicate, digest kept", "SET n.predicate = 'never met'", deep=True)
_relation("edited", "another predicate and digest", "SET n.predicate = 'never met', n.dl = n.dl + 1")
_relation("duplicate_edge", "there twice", "CREATE (s)-[again:RELATES_TO]->(t) SET again = n")
_relation("wrong_namespace", "shown to somebody else", "SET n.namespace = 'somebody'", deep=True)


@deed("extra", "mention")
def nobody_made_it(world: World, rows: Rows) -> str:
    memory, entity = rows.memory(), rows.entity()
    while f"{memory}:{entity}" in world.mentions(memory=memory):
        entity = rows.entity()
    world.cypher("MATCH (m:Memory {id: $m}), (e:Entity {id: $e}) CREATE (m)-[:MENTIONS {dh: 1, dl: 2}]->(e)", m=memory, e=entity)
    return f"{memory}:{entity}"


_DRAW = "MATCH (s:Entity {id: $s}), (t:Entity {id: $t}) CREATE (s)-[n:RELATES_TO]->(t) SET n = $props"


@deed("extra", "relation")
def nobody_stated_it(world: World, rows: Rows) -> str:
    id_ = unknown()
    props = {"id": id_, "revision": 3, "predicate": "likes", "namespace": "user-1", "dh": 1, "dl": 2}
    world.cypher(_DRAW, s=rows.entity(), t=rows.entity(), props=props)
    return id_


@deed("extra", "relation")
def without_an_id(world: World, rows: Rows) -> str:
    world.cypher(_DRAW, s=rows.entity(), t=rows.entity(), props={"revision": 3, "predicate": "likes"})
    return ""


@deed("dangling_edge", "mention")
def of_a_forgotten_entity(world: World, rows: Rows) -> str:
    memory, entity = rows.memory(), rows.buried.pop()
    tomb = "MERGE (e:Entity {id: $e}) SET e.deleted = true"
    world.cypher(f"MATCH (m:Memory {{id: $m}}) {tomb} CREATE (m)-[:MENTIONS]->(e)", m=memory, e=entity)
    return f"{memory}:{entity}"


@deed("dangling_edge", "mention")
def of_a_memory(world: World, rows: Rows) -> str:
    one, other = rows.memory(), rows.memory()
    world.cypher("MATCH (m:Memory {id: $m}), (o:Memory {id: $o}) CREATE (m)-[:MENTIONS]->(o)", m=one, o=other)
    return f"{one}:{other}"


@deed("dangling_edge", "relation")
def to_a_memory(world: World, rows: Rows) -> str:
    id_ = unknown()
    draw = "MATCH (s:Entity {id: $s}), (m:Memory {id: $m}) CREATE (s)-[:RELATES_TO {id: $id, revision: 4}]->(m)"
    world.cypher(draw, s=rows.entity(), m=rows.memory(), id=id_)
    return id_


# -- beside the record ---------------------------------------------------------------------------------------------------


def _vector(kind: str, name: str, change: str, of: str = "memory") -> None:
    """A deed that changes one vector, of a memory's first passage or of an entity."""

    def do(world: World, rows: Rows) -> str:
        id_ = rows.memory() if of == "memory" else rows.entity()
        _one([[world.sql.execute(f"{change} where kind = %s and id = %s and passage = 0", [of, id_]).rowcount]])
        return f"{id_}#0" if of == "memory" else id_

    DEEDS.append(Deed(f"{name}, of {'a memory' if of == 'memory' else 'an entity'}", kind, "embeddings", "embedding", False, do))


def _passage(kind: str, name: str, change: str) -> None:
    """A deed that changes the first passage of a memory."""

    def do(world: World, rows: Rows) -> str:
        id_ = rows.memory()
        _one([[world.sql.execute(f"{change} where memory_id = %s and ordinal = 0", [id_]).rowcount]])
        return f"{id_}#0"

    DEEDS.append(Deed(name, kind, "passages", "passage", False, do))


for _of in ("memory", "entity"):
    _vector("missing", "removed", "delete from memory.embeddings", _of)
    _vector("stale", "an older version", "update memory.embeddings set version = version - 1", _of)
    _vector("ahead", "a newer version", "update memory.embeddings set version = version + 5", _of)
    _vector("wrong_generation", "of another model", "update memory.embeddings set generation = generation + 1, indexed = false", _of)
    _vector("wrong_dimension", "two dimensions", "update memory.embeddings set v = '[1,2]', indexed = false", _of)
    _vector("wrong_namespace", "shown to somebody else", "update memory.embeddings set namespace = 'somebody'", _of)
_passage("stale", "an older version", "update memory.passages set version = version - 1")
_passage("edited", "another text", "update memory.passages set text = 'something else'")
_passage("wrong_namespace", "shown to somebody else", "update memory.passages set namespace = 'somebody'")


@deed("missing", "passage", "passages")
def a_passage_removed(world: World, rows: Rows) -> tuple[str, list[Found]]:
    id_ = rows.memory()
    _one([[world.sql.execute("delete from memory.passages where memory_id = %s", [id_]).rowcount]])
    return f"{id_}#0", [("orphan", "embeddings", "embedding", f"{id_}#0")]


_COPY = (
    "insert into memory.embeddings (kind, id, passage, generation, version, namespace, v)"
    " select 'memory', %s, 0, generation, version, namespace, v from memory.embeddings where kind = 'memory' and passage = 0 limit 1"
)


@deed("orphan", "embedding", "embeddings")
def a_vector_of_nothing_saved(world: World, rows: Rows) -> str:  # noqa: ARG001  # as above
    id_ = unknown()
    world.sql.execute(_COPY, [id_])
    return f"{id_}#0"


@deed("orphan", "embedding", "embeddings")
def of_a_forgotten_memory(world: World, rows: Rows) -> str:
    id_ = rows.forgotten.pop()
    world.sql.execute(_COPY, [id_])
    return f"{id_}#0"


@deed("orphan", "passage", "passages")
def a_passage_of_nothing_saved(world: World, rows: Rows) -> str:  # noqa: ARG001  # as above
    id_ = unknown()
    world.sql.execute("insert into memory.passages (memory_id, ordinal, version, namespace, text) values (%s, 0, 1, 'user-1', 'hm')", [id_])
    return f"{id_}#0"


# -- the ledger ----------------------------------------------------------------------------------------------------------


def _ledger(kind: str, name: str, subject: str, projection: str, change: str) -> None:
    """A deed that changes one row of the ledger."""

    def do(world: World, rows: Rows) -> str:
        id_ = rows.memory() if subject == "memory" else rows.entity()
        if kind != "unledgered":
            world.platform.record.owe([{"projection": projection, "kind": subject, "id": id_}])
        _one([[world.sql.execute(f"{change} where projection = %s and kind = %s and id = %s", [projection, subject, id_]).rowcount]])
        return id_

    DEEDS.append(Deed(f"{name}, {projection}", kind, "ledger", subject, False, do))


for _projection, _subject in (("graph", "memory"), ("entities", "memory"), ("embeddings", "entity")):
    _ledger("owed_too_long", "an hour", _subject, _projection, "update memory.ledger set owed_since = now() - interval '1 hour'")
    _ledger("unledgered", "row removed", _subject, _projection, "delete from memory.ledger")
for _projection, _subject in (("embeddings", "memory"), ("graph", "entity")):
    _ledger("parked", "set aside", _subject, _projection, "update memory.ledger set parked_at = now(), attempts = 5, last_error = 'hm'")


@deed("without_subject", "memory", "ledger")
def a_memory_that_nobody_saved(world: World, rows: Rows) -> str:  # noqa: ARG001  # as above
    return _claimed(world, "graph", "memory")


@deed("without_subject", "relation", "ledger")
def a_relation_that_nobody_stated(world: World, rows: Rows) -> str:  # noqa: ARG001  # as above
    return _claimed(world, "graph", "relation")


def _claimed(world: World, projection: str, kind: str) -> str:
    id_ = unknown()
    world.sql.execute(
        "insert into memory.ledger (projection, kind, id, settled_revision, settled_version, settled_at) values (%s, %s, %s, 1, 1, now())",
        [projection, kind, id_],
    )
    return id_


def _one(counted: Sequence[Sequence[Any]]) -> None:
    """A deed that met no row, or several, has seeded something else than it says."""
    if [list(row) for row in counted] != [[1]]:
        raise SystemExit(f"A deed met {counted} rows instead of one.")
