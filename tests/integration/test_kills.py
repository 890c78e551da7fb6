"""`kill -9` of a process at each point of its way: what was acknowledged is never lost, and the next drain finishes the work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.models import PROJECTIONS, Claim
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projections import embeddings, entities, graph
from memory_pipelines.services.projections.projection import Batch, Settle
from memory_pipelines.services.sync import sync
from tests import engines
from tests.integration import drift, faults

POINTS = [
    ("entities", "sync.claimed"), ("entities", "sync.computed:2"), ("entities", "entities.stored:2"),
    ("embeddings", "sync.computed"), ("embeddings", "embeddings.stored:2"),
    ("graph", "sync.claimed"), ("graph", "sync.computed:2"), ("graph", "graph.applied:2"), ("graph", "graph.settled:2"),
]  # fmt: skip


def furnish(client: MemoryClient) -> list[str]:
    """Sixty memories in sync; then some are updated, some forgotten, and more saved. Returns the ids of the live ones."""
    rows = [row(n) for n in range(60)]
    ids = [saved.id for saved in client.save_many(rows)]
    client.sync()
    client.save_many([row(n) | {"text": f"{n}: they met again, in Oslo."} for n in range(0, 60, 3)])
    for n in range(0, 60, 7):
        client.forget(ids[n])
    more = [saved.id for saved in client.save_many([row(n) for n in range(60, 90)])]
    return [id_ for n, id_ in enumerate(ids) if n % 7] + more


def row(n: int) -> dict[str, Any]:
    names = [f"Person {n % 11}", f"Person {(n * 5 + 1) % 11}"]
    given = [{"name": name, "type": "person"} for name in set(names)]
    met = [{"source": names[0], "predicate": "met", "target": names[1]}] if names[0] != names[1] else []
    return {"text": f"{n}: they met at the harbour.", "key": f"row-{n}", "entities": given, "relations": met}


def all_is_well(client: MemoryClient, ids: list[str]) -> None:
    """Nothing is owed or parked, nothing was lost, and every store agrees."""
    status = client.status()
    assert (sum(status.owed.values()), status.parked) == (0, 0)
    assert status.counts["memories"] == len(ids)
    assert all(client.sync_state(id_).settled for id_ in ids)
    for deep in (False, True):
        verdict = client.audit(deep=deep)
        assert drift.findings(verdict) == []
        assert (verdict.checked["memory"], verdict.pending) == (len(ids), 0)


@pytest.mark.parametrize(("projection", "point"), POINTS, ids=[f"{projection} at {point}" for projection, point in POINTS])
def test_a_drain_that_is_killed_loses_nothing_and_the_next_one_finishes(
    survivor: MemoryClient, mortal: Settings, projection: str, point: str
) -> None:
    ids = furnish(survivor)
    before = [name for name in PROJECTIONS if PROJECTIONS.index(name) < PROJECTIONS.index(projection)]
    if before:
        survivor.sync(*before)
    faults.killed_at(mortal, point, f"sync.drain(client._platform, {projection!r})")
    assert survivor.status().owed[projection] > 0 or point.startswith("graph.settled")
    started = time.monotonic()
    survivor.sync()
    assert time.monotonic() - started < 15, "the dead drain's lease holds nobody up for long"
    all_is_well(survivor, ids)


def test_a_save_that_is_killed_before_it_is_published_is_there_and_owed(survivor: MemoryClient, mortal: Settings) -> None:
    faults.killed_at(mortal, "save.committed", "client.save('Ada lives in Porto.', key='home')")
    saved = survivor.get(key="home")
    assert survivor.status().owed == dict.fromkeys(PROJECTIONS, 1)
    with engines.redis_server(mortal) as server:
        assert server.dbsize() == 0, "nothing was published"
    survivor.sync()
    all_is_well(survivor, [saved.id])
    assert [hit.id for hit in survivor.search("Where does Ada live?")] == [saved.id]


def test_two_workers_that_store_the_same_results_at_once_do_no_harm(survivor: MemoryClient) -> None:
    platform = survivor._platform
    steps: dict[str, tuple[Callable[[Platform, Claim], Batch], Callable[[Platform, Batch], Settle]]] = {
        "entities": (entities.extract, entities.store),
        "embeddings": (embeddings.embed, embeddings.store),
        "graph": (graph.build, graph.apply),
    }
    for turn in range(6):
        survivor.save_many([row(n) | {"text": f"{n}: turn {turn}."} for n in range(40)])
        for projection, (compute, store) in steps.items():
            batches = [compute(platform, platform.record.claim(projection, refs=None, limit=500, owed_for_seconds=0)) for _ in range(2)]
            stored = engines.at_once(*(lambda store=store, batch=batch: store(platform, batch)() for batch in batches))
            assert sum(result.done for result in stored) >= len(batches[0].claim.rows)
    survivor.sync()
    all_is_well(survivor, [memory.id for memory in survivor.list(limit=100)])


def test_two_drains_at_once_on_the_same_rows_do_no_harm(survivor: MemoryClient, mortal: Settings) -> None:
    """Leases save double work; correctness never rests on them."""
    ids = furnish(survivor)
    leaseless = engines.settings_for(mortal.home, lease_seconds=0.000001, batch_rows=20)
    with MemoryClient.from_env(leaseless) as one, MemoryClient.from_env(leaseless) as other:
        for projection in PROJECTIONS:
            drains = [lambda client=client: sync.drain(client._platform, projection, quiet_seconds=0.1) for client in (one, other)]  # noqa: B023
            results = engines.at_once(*drains)
            assert not any(result.busy or result.failed or result.parked for result in results)
    survivor.sync()
    all_is_well(survivor, ids)
