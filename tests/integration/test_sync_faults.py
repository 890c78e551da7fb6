"""Whose fault it is: an outage is charged to nobody, a row that fails alone is parked alone, and what repairs leave behind goes away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import Gone, Unavailable
from memory_pipelines.services import maintenance
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.sync import drains, sync
from tests import engines
from tests.integration import drift
from tests.integration.drift import World

ADA = {"name": "Ada", "type": "person"}


def test_a_row_that_the_graph_cannot_take_is_parked_alone_while_others_pass(client: MemoryClient, settings: Settings) -> None:
    at = "2020-02-02T00:00:00Z"
    client.save("The first of its second.", created_at=at, wait="graph")
    graph = engines.graph_server(settings)
    # What a graph refuses is up to the engine; here it is a second memory of the same moment.
    graph.unique("Memory", "created_at")
    engines.until(
        lambda: all(status == "OPERATIONAL" for (status,) in graph.run("CALL db.constraints() YIELD status")), "the constraint holds"
    )
    second = client.save("The second of its second.", created_at=at).id
    others = [client.save(f"Other {n}.", created_at=f"2020-02-03T00:00:{n:02d}Z").id for n in range(9)]
    (result,) = client.sync("graph")
    assert (result.parked, result.owed) == (1, 0)
    assert "unique constraint" in (client.sync_state(second).projections["graph"].parked or "")
    assert not any(client.sync_state(id_).projections["graph"].owed for id_ in others)
    assert drift.findings(client.audit()) == [("missing", "graph", "memory", second), ("parked", "ledger", "memory", second)]
    graph._graph().drop_node_unique_constraint("Memory", "created_at")
    assert client.audit(repair=True).clean
    graph.close()


def test_a_lone_row_that_the_graph_cannot_take_is_parked_too(client: MemoryClient, settings: Settings) -> None:
    at = "2020-02-02T00:00:00Z"
    client.save("The first of its second.", created_at=at, wait="graph")
    graph = engines.graph_server(settings)
    graph.unique("Memory", "created_at")
    engines.until(
        lambda: all(status == "OPERATIONAL" for (status,) in graph.run("CALL db.constraints() YIELD status")), "the constraint holds"
    )
    client.save("The second of its second.", created_at=at)
    assert client.sync("graph")[0].parked == 1
    graph.close()


@contextmanager
def configured(world: World, name: str, value: str) -> Iterator[None]:
    """A setting of the graph's server, for a while."""
    server = world.graph._graph().client.connection
    before = server.config_get(name)[name]
    server.config_set(name, value)
    try:
        yield
    finally:
        server.config_set(name, before)


def test_a_graph_without_memory_is_an_outage_and_no_fault_of_the_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drains, "_PATIENCE_SECONDS", 0.5)
    saved = [world.client.save(f"Heavy {n}.", entities=[ADA]).id for n in range(3)]
    with configured(world, "maxmemory", "1mb"), pytest.raises(Unavailable, match="takes no writes"):
        world.client.sync("graph")
    for id_ in saved:
        state = world.client.sync_state(id_).projections["graph"]
        assert state.owed
        assert state.parked is None
    world.client.sync()
    drift.agree(world)


# -- what repairs leave behind -------------------------------------------------------------------------------------------


def test_what_a_repair_buried_can_be_rebuilt_and_purged_without_end_or_trace(world: World) -> None:
    world.cypher(
        "MATCH (s:Entity {id: $s}), (t:Entity {id: $t}) CREATE (s)-[:RELATES_TO {id: 'odd', revision: 3}]->(t)",
        s=world.entity("Ada"),
        t=world.entity("Ben"),
    )
    world.cypher("CREATE (:Memory {id: 'odd', revision: 3}), (:Entity {id: 'odd'}), (:Memory {deleted: true}), (:Entity {deleted: true})")
    world.cypher(
        "MATCH (s:Entity {id: $s}), (t:Entity {id: $t}) CREATE (s)-[:RELATES_TO {deleted: true}]->(t)",
        s=world.entity("Ada"),
        t=world.entity("Ben"),
    )
    assert world.client.audit(repair=True, deep=True).clean
    assert sync.rebuild_owe(world.platform, "graph", 0, 1) > 0
    result = sync.drain(world.platform, "graph", quiet_seconds=0.2, max_seconds=20)
    assert (result.owed, result.parked) == (0, 0)
    assert result.seconds < 15
    drift.agree(world)
    purged = maintenance.maintain(world.platform)["purged"]
    assert purged >= 3
    assert world.cypher("MATCH (m:Memory {id: 'odd'}) RETURN m.id") == []
    assert maintenance.maintain(world.platform)["purged"] == 0
    drift.agree(world)


def test_an_expired_memory_leaves_every_store_through_maintenance(client: MemoryClient, platform: Platform, settings: Settings) -> None:
    saved = client.save("Soon gone.", entities=[ADA], expires_at="2999-01-01T00:00:00Z").id
    client.sync()
    with engines.connect(settings) as connection:
        connection.execute("update memory.memories set expires_at = now() - interval '1 second'")
    assert client.audit(deep=True).clean, "hidden on read; the stores change with the delete"
    assert maintenance.maintain(platform)["expired"] == 1
    client.sync()
    assert client.audit(deep=True).clean
    with pytest.raises(Gone):
        client.get(saved)
    maintenance.maintain(platform)
    assert platform.graph.counts() == {"memory": 0, "entity": 0, "mention": 0, "relation": 0}
