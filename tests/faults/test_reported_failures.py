"""What users of other memory systems have reported, one test each: here none of it happens.

To add one: a test whose name says what was reported. Must stay out: faults in general, which `test_bench.py` runs at random.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import Gone, SyncTimeout
from memory_pipelines.domain.models import PROJECTIONS
from memory_pipelines.services import maintenance
from memory_pipelines.services.sync import sync
from tests import engines
from tests.integration import faults

ADA, BEN = {"name": "Ada", "type": "person"}, {"name": "Ben", "type": "person"}
MET = {"source": "Ada", "predicate": "met", "target": "Ben"}


def agree(client: MemoryClient) -> None:
    """Nothing is owed or parked, and every store shows what the record says."""
    for deep in (False, True):
        verdict = client.audit(deep=deep)
        assert [(finding.kind, finding.subject, finding.id) for finding in verdict.findings] == []
        assert verdict.pending == 0
    status = client.status()
    assert (sum(status.owed.values()), status.parked) == (0, 0)


@contextmanager
def graph(settings: Settings) -> Iterator[Any]:
    """A way to the graph that asks nobody: `run(statement, parameters, write=…)`."""
    server = engines.graph_server(settings)
    try:
        yield server
    finally:
        server.close()


def revisions(settings: Settings, id_: str) -> list[list[Any]]:
    """Revision and tombstone of every node that the graph has of one memory."""
    with graph(settings) as server:
        return server.run("MATCH (m:Memory {id: $id}) RETURN m.revision, m.deleted", {"id": id_})  # type: ignore[no-any-return]


@contextmanager
def without_graph(settings: Settings) -> Iterator[None]:
    """The graph is killed, and comes back afterwards."""
    faults.kill(settings, "graph")
    try:
        yield
    finally:
        faults.start(settings, "graph")


# -- the second store fails after the first has committed ------------------------------------------------------------------


def test_the_second_store_fails_after_the_first_committed_on_create(survivor: MemoryClient, fragile: Settings) -> None:
    with without_graph(fragile):
        saved = survivor.save("Ada met Ben.", entities=[ADA, BEN], relations=[MET])
        with pytest.raises(SyncTimeout):
            survivor.save("Ada wrote to Ben.", key="second", wait="graph", timeout=0.5)
        assert survivor.get(saved.id).text == "Ada met Ben."
        assert survivor.get(key="second").version == 1
    survivor.sync()
    assert len(revisions(fragile, saved.id)) == 1
    agree(survivor)


def test_the_second_store_fails_after_the_first_committed_on_a_save_that_changes(survivor: MemoryClient, fragile: Settings) -> None:
    saved = survivor.save("Ada met Ben.", key="note", entities=[ADA, BEN], wait="all")
    with without_graph(fragile):
        changed = survivor.save("Ada met nobody.", key="note", entities=[ADA])
        assert (changed.id, changed.outcome) == (saved.id, "updated")
        assert survivor.save("Ada met nobody.", key="note", entities=[ADA]).outcome == "unchanged", "trying again writes nothing twice"
    survivor.sync()
    assert [deleted for _, deleted in revisions(fragile, saved.id)] == [None]
    with graph(fragile) as server:
        named = server.run("MATCH (:Memory {id: $id})-[:MENTIONS]->(e) RETURN e.name", {"id": saved.id})
    assert named == [["Ada"]]
    agree(survivor)


# -- deletes ---------------------------------------------------------------------------------------------------------------


def everywhere(settings: Settings, word: str) -> list[str]:
    """Where a word still stands: rows of the record's tables, and properties of the graph."""
    rows = [row for row in engines.everything_in(settings).splitlines() if word in row]
    return rows + [row for row in [engines.everything_in_graph(settings)] if word in row]


def test_a_delete_from_a_fresh_process_deletes_everywhere(survivor: MemoryClient, fragile: Settings) -> None:
    saved = survivor.save("Zacharias met Ben.", key="secret", entities=[{"name": "Zacharias", "type": "person"}, BEN], wait="all")
    assert everywhere(fragile, "Zacharias")
    ran = faults.run(
        fragile,
        "from memory_pipelines import MemoryClient\nwith MemoryClient.from_env() as client:\n"
        "    print(client.forget(key='secret', wait='all').forgotten)",
    )
    assert (ran.stdout, ran.returncode) == ("1\n", 0), ran.stderr
    assert everywhere(fragile, "Zacharias") == []
    assert [deleted for _, deleted in revisions(fragile, saved.id)] == [True]
    with pytest.raises(Gone):
        survivor.get(saved.id)
    agree(survivor)


def test_a_delete_while_the_graph_is_down_is_done_when_it_is_back(survivor: MemoryClient, fragile: Settings) -> None:
    saved = survivor.save("Zacharias met Ben.", entities=[{"name": "Zacharias", "type": "person"}, BEN], wait="all")
    with graph(fragile) as server:
        server._graph().client.connection.save()  # it comes back with the memory in it
    with without_graph(fragile):
        assert survivor.forget(saved.id).forgotten == 1
        assert [row for row in engines.everything_in(fragile).splitlines() if "Zacharias" in row] == []
        assert survivor.sync_state(saved.id).projections["graph"].owed
    assert [deleted for _, deleted in revisions(fragile, saved.id)] == [None], "the graph came back as it was"
    survivor.sync()
    assert everywhere(fragile, "Zacharias") == []
    agree(survivor)


def test_a_delete_is_reported_as_done_only_once_the_graph_has_shown_it(survivor: MemoryClient, fragile: Settings) -> None:
    first = survivor.save("Ada met Ben.", entities=[ADA, BEN], wait="all")
    second = survivor.save("Ada met Cora.", entities=[ADA], wait="all")
    survivor.forget(first.id, wait="graph")
    assert [deleted for _, deleted in revisions(fragile, first.id)] == [True]
    with without_graph(fragile):
        with pytest.raises(SyncTimeout) as error:
            survivor.forget(second.id, wait="graph", timeout=0.5)
        assert error.value.detail["ids"] == [second.id]
        assert not survivor.sync_state(second.id).settled, "nobody says that it is done"
    survivor.forget(second.id, wait="graph")
    assert [deleted for _, deleted in revisions(fragile, second.id)] != [None]
    survivor.sync()
    agree(survivor)


# -- twice at once ---------------------------------------------------------------------------------------------------------


def test_the_same_save_sent_twice_at_once_is_saved_once(survivor: MemoryClient, fragile: Settings) -> None:
    with MemoryClient.from_env(fragile) as other:
        for n in range(10):
            same: dict[str, Any] = {"text": f"{n}: Ada met Ben.", "key": f"k-{n}", "entities": [ADA, BEN], "relations": [MET]}
            sent = [lambda client=client: client.save(**same, wait="graph", timeout=20) for client in (survivor, other)]  # noqa: B023
            results = engines.at_once(*sent)
            assert len({result.id for result in results}) == 1
            assert sorted(result.outcome for result in results) == ["created", "unchanged"]
            assert [result.version for result in results] == [1, 1]
            assert len(survivor.history(results[0].id)) == 1
            assert len(revisions(fragile, results[0].id)) == 1
    survivor.sync()
    with graph(fragile) as server:
        assert server.run("MATCH (:Entity)-[n:RELATES_TO]->(:Entity) RETURN count(n)") == [[1]]
    agree(survivor)


def test_two_workers_that_create_the_same_relationship_create_it_once(survivor: MemoryClient, fragile: Settings) -> None:
    leaseless = fragile.model_copy(update={"lease_seconds": 0.000001})  # a lease would keep the second one away
    with MemoryClient.from_env(leaseless) as one, MemoryClient.from_env(leaseless) as other:
        for n in range(10):
            survivor.save(f"{n}: Ada met Ben.", entities=[ADA, BEN], relations=[MET | {"predicate": f"met {n}"}])
            survivor.sync("entities")
            drains = [lambda client=client: sync.drain(client._platform, "graph", quiet_seconds=0.0) for client in (one, other)]
            assert not any(result.busy for result in engines.at_once(*drains))
    survivor.sync()
    with graph(fragile) as server:
        edges = server.run("MATCH (a)-[n:RELATES_TO]->(b) RETURN n.predicate, count(n)")
        mentions = server.run("MATCH (m:Memory)-[n:MENTIONS]->(e) RETURN m.id, e.id, count(n)")
    assert sorted(edges) == sorted([f"met_{n}", 1] for n in range(10))
    assert {count for _, _, count in mentions} == {1}
    assert len(mentions) == 20
    agree(survivor)


# -- workers that come and go ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["sync.claimed", "graph.applying", "graph.applied", "graph.settled"])
def test_a_worker_that_is_replaced_under_a_new_name_leaves_nothing_undone(survivor: MemoryClient, fragile: Settings, point: str) -> None:
    survivor.save_many({"text": f"{n}: Ada met Ben.", "entities": [ADA, BEN]} for n in range(30))
    survivor.sync("entities", "embeddings")
    faults.killed_at(fragile, point, "sync.drain(client._platform, 'graph')")
    survivor.sync()  # another process, another name: it waits until the dead one's lease has run out
    agree(survivor)


def test_a_worker_that_is_restarted_under_the_same_name_goes_on_at_once(survivor: MemoryClient, fragile: Settings) -> None:
    survivor.save_many({"text": f"{n}: Ada met Ben.", "entities": [ADA, BEN]} for n in range(30))
    survivor.sync("entities", "embeddings")
    record = survivor._platform.record
    named = "from memory_pipelines.stores.postgres.psycopg_transport import PsycopgTransport as T\nreal = T.call\n"
    named += "T.call = lambda self, f, p: real(self, f, {**p, 'holder': 'worker-1'} if p.get('holder') else p)\n"
    long = fragile.model_copy(update={"lease_seconds": 60.0})
    faults.killed_at(long, "graph.applied", f"{named}sync.drain(client._platform, 'graph')")
    assert not record.begin_drain("graph", "worker-2", lease_seconds=60.0), "its lease still stands"
    ran = faults.run(long, f"{faults.BEGINNING}{named}print(sync.drain(client._platform, 'graph', quiet_seconds=0.0).busy)")
    assert ran.stdout == "False\n", ran.stderr
    assert survivor.status().owed["graph"] == 0
    survivor.sync()
    agree(survivor)


def test_a_backlog_older_than_every_timer_is_still_owed_and_still_paid(survivor: MemoryClient, fragile: Settings) -> None:
    kept = survivor.save("Ada met Ben.", entities=[ADA, BEN], relations=[MET], wait="all").id
    survivor.forget(survivor.save("Zacharias was here.", wait="all").id)
    ids = [saved.id for saved in survivor.save_many({"text": f"{n}: Ada met Ben.", "entities": [ADA, BEN]} for n in range(30))]
    owed = survivor.status().owed
    assert all(owed[projection] >= 30 for projection in PROJECTIONS)
    with engines.redis_server(fragile) as server:
        server.flushall()  # what the stream held is older than any stream is kept
    with engines.connect(fragile) as connection:
        connection.execute("update memory.ledger set owed_since = owed_since - interval '400 days' where owed_number is not null")
        connection.execute("update memory.heartbeats set beat_at = beat_at - interval '400 days'")
    maintenance.maintain(survivor._platform)
    assert survivor.status().owed == owed, "no clean-up pays a debt by forgetting it"
    assert {finding.kind for finding in survivor.audit().findings} == {"owed_too_long"}
    survivor.sync()
    assert all(survivor.sync_state(id_).settled for id_ in [kept, *ids])
    agree(survivor)


# -- what only an audit can know -------------------------------------------------------------------------------------------


def test_mass_loss_in_the_graph_while_every_run_is_green_is_noticed_by_the_audit(survivor: MemoryClient, fragile: Settings) -> None:
    ids = {saved.id for saved in survivor.save_many({"text": f"{n}: Ada met Ben.", "entities": [ADA, BEN]} for n in range(200))}
    survivor.sync()
    agree(survivor)
    with graph(fragile) as server:
        gone = {id_ for (id_,) in server.run("MATCH (m:Memory) WITH m LIMIT 180 WITH m, m.id AS id DETACH DELETE m RETURN id", write=True)}
    assert len(gone & ids) == 180
    assert [(result.done, result.failed, result.rolled_back) for result in survivor.sync()] == [(0, 0, 0)] * 3, "every run is green"
    missing = [finding for finding in survivor.audit().findings if finding.subject == "memory"]
    assert {finding.id for finding in missing} == gone
    assert {finding.kind for finding in missing} == {"settled_absent"}
    assert survivor.audit(repair=True).clean
    agree(survivor)


def test_the_ledger_says_present_and_the_store_says_absent(survivor: MemoryClient, fragile: Settings) -> None:
    saved = [survivor.save(f"{n}: Ada met Ben.", entities=[ADA, BEN], wait="all") for n in range(5)]
    with graph(fragile) as server:
        server.run("MATCH (m:Memory {id: $id}) DETACH DELETE m", {"id": saved[2].id}, write=True)
    assert survivor.sync_state(saved[2].id).settled, "the ledger knows nothing of it"
    found = survivor.audit().findings
    assert ("settled_absent", saved[2].id) in {(finding.kind, finding.id) for finding in found if finding.subject == "memory"}
    assert {finding.id.split(":")[0] for finding in found} == {saved[2].id}
    assert survivor.audit(repair=True).clean
    assert len(revisions(fragile, saved[2].id)) == 1
    agree(survivor)


def test_an_entity_that_one_memory_forgets_while_another_begins_to_mention_it(survivor: MemoryClient, fragile: Settings) -> None:
    with MemoryClient.from_env(fragile) as other:
        for n in range(20):
            name = {"name": f"Person {n}", "type": "person"}
            first = survivor.save(f"{n}: the first.", entities=[name], wait="graph")
            tasks: list[Any] = [
                lambda: survivor.forget(first.id),  # noqa: B023  # run before the next turn
                lambda: other.save(f"{n}: the second.", entities=[name]),  # noqa: B023
            ]
            _, second = engines.at_once(*tasks)
            survivor.sync("graph") if n % 2 else None
            related = engines.until(lambda: shown(survivor, f"Person {n}"), "the entity is there")  # noqa: B023
            assert related == {second.id}
    survivor.sync()
    agree(survivor)


def shown(client: MemoryClient, name: str) -> set[str]:
    """Memories that mention an entity, by the graph, once it owes nothing."""
    client.sync("graph")
    return {memory.id for memory in client.related(name).memories}


@pytest.mark.parametrize("repaired", [False, True], ids=["found by the audit after it", "repaired by an audit in between"])
def test_an_edit_in_the_graph_between_apply_and_settle(survivor: MemoryClient, fragile: Settings, repaired: bool) -> None:
    ids = [saved.id for saved in survivor.save_many({"text": f"{n}: Ada met Ben.", "entities": [ADA, BEN]} for n in range(5))]
    survivor.sync("entities", "embeddings")
    with faults.frozen_at(fragile, "graph.applied", "sync.drain(client._platform, 'graph', quiet_seconds=0.0)"):
        with graph(fragile) as server:
            server.run("MATCH (m:Memory {id: $id}) SET m.namespace = 'elsewhere'", {"id": ids[0]}, write=True)
            server.run("MATCH (:Memory {id: $id})-[n:MENTIONS]->() DELETE n", {"id": ids[1]}, write=True)
        if repaired:
            survivor.sync("graph")  # the frozen one's lease runs out, and its debts are paid by another
            agree(survivor)
            with graph(fragile) as server:
                server.run("MATCH (m:Memory {id: $id}) SET m.namespace = 'elsewhere'", {"id": ids[0]}, write=True)
            rows = [{"projection": "graph", "kind": "memory", "id": ids[0]}]
            assert survivor._platform.record.owe(rows) == 1  # what a repair does first; the frozen one wakes before its drain
    if not repaired:
        found = {(finding.kind, finding.subject, finding.id.split(":")[0]) for finding in survivor.audit(deep=True).findings}
        assert found == {("wrong_namespace", "memory", ids[0]), ("settled_absent", "mention", ids[1])}
        assert survivor.audit(deep=True, repair=True).clean
    else:
        assert survivor.sync_state(ids[0]).projections["graph"].owed, "who applied before the edit does not pay for what was owed since"
        survivor.sync()
    agree(survivor)
