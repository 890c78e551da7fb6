"""The marker: workers that race, sleep or meet a graph that was rolled back under them never make it show something older."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import Gone
from memory_pipelines.domain.models import PROJECTIONS, Claim
from memory_pipelines.ports import Applied
from memory_pipelines.services import maintenance
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projections import graph
from memory_pipelines.services.projections.projection import MarkerMoved
from memory_pipelines.services.sync import sync
from tests import engines
from tests.integration import drift
from tests.integration.test_outages import drained

ADA = {"name": "Ada", "type": "person"}
BEN = {"name": "Ben", "type": "person"}
MET = {"source": "Ada", "predicate": "met", "target": "Ben"}


def claimed(platform: Platform) -> Claim:
    """Everything that is owed to the graph, claimed and read; the worker then falls asleep."""
    return platform.record.claim("graph", refs=None, limit=1000, owed_for_seconds=0.0)


def pay(platform: Platform, claim: Claim) -> int:
    """The worker goes on: it applies and settles what it read. Returns how many rows were settled."""
    return graph.apply(platform, graph.build(platform, claim))().done


def agree(client: MemoryClient) -> None:
    client.sync()
    verdict = client.audit(deep=True)
    assert drift.findings(verdict) == []
    assert verdict.pending == 0


def marker_is_set_back(settings: Settings, counter: int, forget: str) -> None:
    """The graph is as it was when its counter stood there: without a memory that was applied since."""
    server = engines.graph_server(settings)
    server.run("MATCH (k:Marker) SET k.counter = $counter", {"counter": counter}, write=True)
    server.run("MATCH (m:Memory {id: $id}) DETACH DELETE m", {"id": forget}, write=True)
    server.close()


# -- races ---------------------------------------------------------------------------------------------------------------


def test_the_older_revision_never_wins_in_two_hundred_races(platform: Platform) -> None:
    dice = random.Random(3)
    platform.graph.prepare()
    ids = [f"row-{n}" for n in range(5)]

    def apply(revision: int, claim: int) -> Callable[[], object]:
        mentions = [{"entity": f"e-{revision}", "dh": 1, "dl": 2}]
        rows: list[dict[str, Any]] = [
            {"id": id_, "revision": revision, "expect": -2, "props": {"id": id_, "revision": revision}, "mentions": mentions}
            for id_ in dice.sample(ids, 5)
        ]
        return lambda: platform.graph.apply("memory", rows, claim=claim, issued=100_000, settled=0)

    for turn in range(200):
        pair = [apply(2 * turn + 1, 2 * turn + 1), apply(2 * turn + 2, 2 * turn + 2)]
        engines.at_once(*dice.sample(pair, 2))
        assert {row["props"]["revision"] for row in platform.graph.rows("memory", ids=ids)} == {2 * turn + 2}
        edges = platform.graph.rows("mention", ids=[{"id": "", "source": id_, "target": f"e-{2 * turn + 2}"} for id_ in ids])
        assert len(edges) == len(ids)
    assert platform.graph.counts()["mention"] == len(ids)


@engines.ON_EVERY_GRAPH
def test_a_worker_that_slept_through_an_update_does_not_undo_it(client: MemoryClient, platform: Platform) -> None:
    id_ = client.save("The first.", entities=[ADA], wait="graph").id
    client.update(id_, text="The second.", entities=[ADA, BEN])
    asleep = claimed(platform)
    client.update(id_, text="The third.", entities=[BEN], relations=[])
    client.sync()
    assert pay(platform, asleep) == 0
    agree(client)


@engines.ON_EVERY_GRAPH
def test_a_worker_that_slept_while_others_claimed_goes_on(client: MemoryClient, platform: Platform) -> None:
    """A newer claim alone is no reason to refuse: else whoever is slow would never come to an end."""
    client.save("The first.", entities=[ADA])
    asleep = claimed(platform)
    for n in range(5):
        client.save(f"{n}: in the meantime.", entities=[BEN], wait="graph")
    assert pay(platform, asleep) == len(asleep.rows)
    agree(client)


@engines.ON_EVERY_GRAPH
def test_what_arrives_between_claim_and_settlement_stays_owed(client: MemoryClient, platform: Platform) -> None:
    id_ = client.save("The first.").id
    asleep = claimed(platform)
    client.update(id_, text="The second.")
    assert pay(platform, asleep) == 0
    assert client.sync_state(id_).projections["graph"].owed
    agree(client)


@engines.ON_EVERY_GRAPH
def test_an_equal_revision_is_applied_again_whole(client: MemoryClient, platform: Platform, settings: Settings) -> None:
    id_ = client.save("The first.", entities=[ADA, BEN], relations=[MET], wait="graph").id
    server = engines.graph_server(settings)
    server.run("MATCH (m:Memory {id: $id})-[n:MENTIONS]->(e) SET m.more = 1, e.name = 'X' DELETE n", {"id": id_}, write=True)
    server.run("MATCH ()-[n:RELATES_TO]->() SET n.more = 1, n.predicate = 'X'", write=True)
    server.close()
    assert sync.rebuild_owe(platform, "graph", 0, 1) == 4
    agree(client)


# -- fence ---------------------------------------------------------------------------------------------------------------


@engines.ON_EVERY_GRAPH
def test_a_worker_that_slept_through_a_purge_brings_nothing_back(client: MemoryClient, platform: Platform) -> None:
    id_ = client.save("Forget me.", entities=[ADA, BEN], relations=[MET]).id
    client.sync("entities", "embeddings")
    asleep = claimed(platform)
    client.sync()
    client.forget(id_)
    client.sync()
    assert maintenance.maintain(platform)["purged"] == 4
    counter = platform.graph.marker().counter
    with pytest.raises(MarkerMoved):
        pay(platform, asleep)
    assert platform.graph.counts() == {"memory": 0, "entity": 0, "mention": 0, "relation": 0}
    assert platform.graph.marker().counter == counter, "a refusal raises nothing"
    with pytest.raises(Gone):
        client.get(id_)
    agree(client)


@engines.ON_EVERY_GRAPH
def test_a_drain_whose_claims_fall_below_the_fence_claims_them_again_and_acknowledges_nothing_too_early(
    client: MemoryClient, settings: Settings
) -> None:
    client.close()
    with MemoryClient.from_env(settings.model_copy(update={"batch_rows": 5})) as slow, engines.redis_server(settings) as server:
        ids = [slow.save(f"{n}.", entities=[ADA]).id for n in range(40)]
        slow.sync("entities", "embeddings")
        drained(slow, "graph", 2, lambda: slow._platform.graph.raise_fence(int(slow._platform.record.maintain("claim", limit=1)["done"])))
        assert all(slow.sync_state(id_).settled for id_ in ids)
        (stream,) = server.scan_iter("*events")
        waiting = {projection: server.xpending(stream, projection)["pending"] for projection in PROJECTIONS}
        assert waiting["graph"] > 0, "what was refused is seen again, and then found settled"
        assert waiting["entities"] == waiting["embeddings"] == 0
        agree(slow)


@engines.ON_EVERY_GRAPH
def test_a_refused_batch_raises_no_counter_and_writes_nothing(platform: Platform) -> None:
    platform.graph.prepare()
    row = {"id": "a", "revision": 1, "expect": -2, "props": {"id": "a", "revision": 1}}
    first = platform.graph.apply("entity", [row], claim=5, issued=9, settled=0).marker
    assert first is not None
    platform.graph.raise_fence(7)
    newer = row | {"revision": 2, "props": {"id": "a", "revision": 2}}
    for claim, issued, settled in ((6, 9, 0), (8, 9, first + 1), (8, 6, 0)):
        assert platform.graph.apply("entity", [newer], claim=claim, issued=issued, settled=settled).marker is None
    assert platform.graph.marker().counter == first
    assert platform.graph.rows("entity", ids=["a"])[0]["props"]["revision"] == 1
    assert platform.graph.apply("entity", [newer], claim=9, issued=9, settled=first).marker == first + 1


# -- rollbacks under somebody's hands ------------------------------------------------------------------------------------


@engines.ON_EVERY_GRAPH
def test_a_rollback_between_claim_and_apply_that_the_counter_hides_is_noticed_at_settlement(
    client: MemoryClient, platform: Platform, settings: Settings
) -> None:
    """Another batch was settled meanwhile, and lost; the sleeper's own batch brings the counter to where that one had it."""
    client.save("The first.", wait="graph")
    client.save("The sleeper's.")
    asleep = claimed(platform)
    counter = platform.graph.marker().counter
    lost = client.save("Settled and lost.", wait="graph").id
    assert platform.graph.marker().counter == counter + 1
    marker_is_set_back(settings, counter, forget=lost)
    with pytest.raises(MarkerMoved) as moved:
        pay(platform, asleep)
    assert moved.value.lost == 1
    assert client.sync_state(lost).projections["graph"].owed
    agree(client)


@engines.ON_EVERY_GRAPH
def test_a_batch_applied_before_a_rollback_settles_nothing_after_it(client: MemoryClient, platform: Platform, settings: Settings) -> None:
    client.save("The first.", wait="graph")
    before = platform.graph.marker().counter
    slow = client.save("Applied, lost, and only then settled.").id
    claim = claimed(platform)
    batch = graph.build(platform, claim)
    marker = platform.graph.apply(
        "memory", [row["write"] for row in batch.rows], claim=claim.claim, issued=claim.issued, settled=claim.settled_marker
    )
    other = client.save("Settled, and lost.", wait="graph").id
    marker_is_set_back(settings, before, forget=slow)
    marker_is_set_back(settings, before, forget=other)
    assert graph.recover(platform) == 1, "what was settled is owed again; what was not is owed still"
    row = claim.rows[0]
    paid = [{"kind": row.kind, "id": row.id, "number": row.number, "revision": 1, "version": 1, "marker": marker.marker}]
    assert platform.record.settle_graph(paid, claim=claim.claim, markers=[marker.marker or 0])["settled"] == 0
    agree(client)


def test_a_marker_given_twice_is_noticed_even_if_the_second_batch_wrote_no_row(client: MemoryClient, platform: Platform) -> None:
    saved = client.save("Applied, and lost.").id
    claim, other = claimed(platform), claimed(platform)
    row = claim.rows[0]
    assert platform.record.settle_graph([], claim=other.claim, markers=[7]) == {"settled": 0, "lost": 0}
    paid = [{"kind": row.kind, "id": row.id, "number": row.number, "revision": 1, "version": 1, "marker": 7}]
    assert platform.record.settle_graph(paid, claim=claim.claim, markers=[7])["settled"] == 0
    assert client.sync_state(saved).projections["graph"].owed


@engines.ON_EVERY_GRAPH
def test_a_rollback_between_two_statements_of_a_batch_is_noticed(
    client: MemoryClient, platform: Platform, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.save("The first.", wait="graph")
    before = platform.graph.marker().counter
    client.save("The second.", entities=[ADA])
    claim, apply = claimed(platform), platform.graph.apply

    def apply_and_lose(*arguments: Any, **options: Any) -> Applied:
        applied = apply(*arguments, **options)
        monkeypatch.setattr(platform.graph, "apply", apply)
        server = engines.graph_server(settings)
        server.run("MATCH (e:Entity) DETACH DELETE e", write=True)
        server.run("MATCH (k:Marker) SET k.counter = $counter", {"counter": before}, write=True)
        server.close()
        return applied

    monkeypatch.setattr(platform.graph, "apply", apply_and_lose)
    with pytest.raises(MarkerMoved):
        pay(platform, claim)
    assert platform.graph.marker().counter == before
    agree(client)


@engines.ON_EVERY_GRAPH
def test_counters_that_run_ahead_of_claims_are_no_rollback_of_the_record(client: MemoryClient, platform: Platform) -> None:
    """A batch takes up to three statements, so that a graph that was rebuilt often has counted further than its claims."""
    client.save("The first.", entities=[ADA, BEN], relations=[MET])
    client.sync()
    for _ in range(12):
        sync.rebuild_owe(platform, "graph", 0, 1)
        sync.drain(platform, "graph", quiet_seconds=0.0)
    assert platform.graph.marker().counter > platform.record.maintain("claim", limit=1)["done"]
    client.save("The second.")
    asleep = claimed(platform)
    platform.graph.raise_fence(int(platform.record.maintain("claim", limit=1)["done"]))
    with pytest.raises(MarkerMoved):
        pay(platform, asleep)
    assert graph.recover(platform, asleep) == 0
    agree(client)
