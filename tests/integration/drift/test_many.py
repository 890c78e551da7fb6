"""Many drifts at once: each is found under its right name among all the others, and one repair puts all of them right."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from memory_pipelines import Settings
from tests.integration import drift
from tests.integration.drift import Found, World, unknown

SEED = 20_261_123
DRIFTS = 60
NAMES = [f"Person {n}" for n in range(30)]


@pytest.fixture
def large(settings: Settings) -> Iterator[World]:
    """150 memories, thirty entities, and relations between them."""
    world = drift.build(settings)
    rows = []
    for n in range(150):
        one, other, third = NAMES[n % 30], NAMES[(n * 7 + 3) % 30], NAMES[(n * 11 + 5) % 30]
        given = [{"name": name, "type": "person"} for name in {one, other, third}]
        met = [{"source": one, "predicate": f"met {n % 4}", "target": other}] if one != other else []
        rows.append({"text": f"{n}: they met.", "key": f"many-{n}", "entities": given, "relations": met})
    world.client.save_many(rows)
    world.client.sync()
    yield world
    drift.close(world)


def test_sixty_random_drifts_are_all_named_rightly_and_repaired_at_once(large: World) -> None:
    drift.agree(large)
    expected: list[Found] = []
    for seed in _chosen(large, random.Random(SEED)):
        expected.extend(seed())
    assert len(expected) >= DRIFTS
    assert drift.findings(large.client.audit(deep=True)) == sorted(expected)
    repaired = large.client.audit(repair=True, deep=True)
    assert drift.findings(repaired) == []
    assert repaired.repaired > 0
    drift.agree(large)


def test_repairing_what_a_quick_audit_sees_leaves_what_only_a_deep_one_sees(large: World) -> None:
    edited, removed = large.memory("many-3"), large.memory("many-4")
    large.cypher("MATCH (m:Memory {id: $id}) SET m.created_at = 1", id=edited)
    large.cypher("MATCH (m:Memory {id: $id})-[n:MENTIONS]->() DELETE n", id=removed)
    assert large.client.audit(repair=True).clean
    assert drift.findings(large.client.audit(deep=True)) == [("edited", "graph", "memory", edited)]
    assert large.client.audit(repair=True, deep=True).clean
    drift.agree(large)


def test_more_strangers_than_one_look_takes_in_are_all_found(world: World) -> None:
    ada = world.entity("Ada")
    world.cypher("UNWIND range(1, 1500) AS n CREATE (:Entity {id: 'stranger-' + n})")
    world.cypher("MATCH (e:Entity {id: $ada}) UNWIND range(1, 1100) AS n CREATE (:Memory {id: 'stranger-' + n})-[:MENTIONS]->(e)", ada=ada)
    found = world.client.audit()
    assert found.kinds() == {"extra": 1500 + 2 * 1100}
    repaired = world.client.audit(repair=True)
    assert repaired.repaired == 1500 + 1100
    drift.agree(world)


def _chosen(world: World, dice: random.Random) -> Iterator[Callable[[], list[Found]]]:
    """Sixty drifts of every kind, in random order. No two of them touch the same node or edge, so that each keeps its own name."""
    memories = [world.memory(f"many-{n}") for n in range(150)]
    entities = [world.entity(name) for name in NAMES]
    for pool in (memories, entities):
        dice.shuffle(pool)
    first = memories[:90]  # the others lend their edges
    mentions = [(memory, world.mentions(memory=memory)[0].split(":")[1]) for memory in memories[90:]]
    relations = [tuple(row) for row in world.sql.execute(
        "select id::text, source_id::text, target_id::text from memory.relations where predicate like 'met_%' order by id"
    )]  # fmt: skip
    dice.shuffle(relations)

    def node(kind: str, label: str, ids: list[str], change: str) -> list[Found]:
        id_ = ids.pop()
        world.cypher(f"MATCH (x:{label} {{id: $id}}) {change}", id=id_)
        return [(kind, "graph", label.lower(), id_)]

    def mention(kind: str, change: str) -> list[Found]:
        memory, entity = mentions.pop()
        world.cypher(f"MATCH (:Memory {{id: $m}})-[n:MENTIONS]->(e:Entity {{id: $e}}) {change}", m=memory, e=entity)
        return [(kind, "graph", "mention", f"{memory}:{entity}")]

    def relation(kind: str, change: str) -> list[Found]:
        id_, source, target = relations.pop()
        world.cypher(f"MATCH (s:Entity {{id: $s}})-[n:RELATES_TO {{id: $id}}]->(t:Entity {{id: $t}}) {change}", id=id_, s=source, t=target)
        return [(kind, "graph", "relation", id_)]

    def extra(label: str, id_: str) -> list[Found]:
        world.cypher(f"CREATE (:{label} {{id: $id, revision: 5, bucket: 17, leaf: 3, dh: 4, dl: 5, name: 'x'}})", id=id_)
        return [("extra", "graph", label.lower(), id_)]

    def vector(kind: str, change: str) -> list[Found]:
        id_ = first.pop()
        assert world.sql.execute(f"{change} where id = %s", [id_]).rowcount == 1
        return [(kind, "embeddings", "embedding", f"{id_}#0")]

    def passage(kind: str, change: str) -> list[Found]:
        id_ = first.pop()
        assert world.sql.execute(f"{change} where memory_id = %s", [id_]).rowcount == 1
        return [(kind, "passages", "passage", f"{id_}#0")]

    def removed() -> list[Found]:
        id_ = first.pop()
        world.cypher("MATCH (m:Memory {id: $id}) DETACH DELETE m", id=id_)
        return [
            ("settled_absent", "graph", "memory", id_),
            *(("settled_absent", "graph", "mention", name) for name in world.mentions(memory=id_)),
        ]

    def unledgered() -> list[Found]:
        id_ = first.pop()
        world.sql.execute("delete from memory.ledger where id = %s and projection = 'graph'", [id_])
        return [("unledgered", "ledger", "memory", id_)]

    seeds: list[Callable[[], list[Found]]] = [
        removed,
        unledgered,
        lambda: node("ahead", "Memory", first, "SET x.revision = 40, x.dl = 2"),
        lambda: node("stale", "Memory", first, "SET x.revision = 0"),
        lambda: node("edited", "Memory", first, "SET x.created_at = 5"),
        lambda: node("edited", "Memory", first, "SET x.bucket = 9999"),
        lambda: node("settled_absent", "Memory", first, "SET x.revision = 30, x.deleted = true"),
        lambda: node("edited", "Entity", entities, "SET x.name = 'Eve'"),
        lambda: node("ahead", "Entity", entities, "SET x.revision = 40"),
        lambda: node("stale", "Entity", entities, "SET x = {id: $id}"),
        lambda: extra("Memory", unknown()),
        lambda: extra("Entity", f"x-{unknown()}"),
        lambda: mention("settled_absent", "DELETE n"),
        lambda: mention("duplicate_edge", "MATCH (m:Memory {id: $m}) CREATE (m)-[:MENTIONS]->(e)"),
        lambda: mention("edited", "SET n.dl = 7"),
        lambda: relation("settled_absent", "DELETE n"),
        lambda: relation("duplicate_edge", "CREATE (s)-[again:RELATES_TO]->(t) SET again = n"),
        lambda: relation("edited", "SET n.predicate = 'x'"),
        lambda: relation("ahead", "SET n.revision = 9"),
        lambda: vector("missing", "delete from memory.embeddings"),
        lambda: vector("stale", "update memory.embeddings set version = 0"),
        lambda: vector("ahead", "update memory.embeddings set version = 8"),
        lambda: vector("wrong_dimension", "update memory.embeddings set v = '[1,2]', indexed = false"),
        lambda: passage("edited", "update memory.passages set text = 'else'"),
        lambda: passage("stale", "update memory.passages set version = 0"),
    ]
    rounds = seeds * (DRIFTS // len(seeds) + 1)
    chosen = rounds[:DRIFTS]
    dice.shuffle(chosen)
    yield from chosen
