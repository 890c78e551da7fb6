"""Engines that are killed, emptied or silent while others save and drain: nothing that was acknowledged is lost."""

from __future__ import annotations

import threading
import time
from itertools import count
from pathlib import Path

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import SyncTimeout, Unavailable
from memory_pipelines.domain.models import PROJECTIONS
from memory_pipelines.services.sync import drains, sync
from tests import engines
from tests.integration import drift, faults
from tests.integration.test_kills import all_is_well, furnish, row


def drained(client: MemoryClient, projection: str, at_batch: int, act: object) -> None:
    """Drain a projection; when so many batches are done, do something, once."""
    batches = count(1)

    def progress(done: int, owed: int) -> None:
        del done, owed
        if next(batches) == at_batch:
            act()  # type: ignore[operator]

    sync.drain(client._platform, projection, quiet_seconds=0.0, on_progress=progress)


# -- Postgres ------------------------------------------------------------------------------------------------------------


def test_every_acknowledged_save_is_there_after_postgres_was_killed_again_and_again(survivor: MemoryClient, mortal: Settings) -> None:
    stop = threading.Event()

    def save(first: int) -> dict[str, str]:
        acknowledged: dict[str, str] = {}
        for n in count(first, 3):
            if stop.is_set():
                return acknowledged
            try:
                text = f"{n}: it is acknowledged."
                acknowledged[survivor.save(text, key=f"k-{n}", entities=[{"name": f"Person {n % 5}", "type": "person"}]).id] = text
            except Unavailable:
                continue
        raise AssertionError("unreachable: count never ends")

    def murder() -> dict[str, str]:
        try:
            for _ in range(3):
                before = survivor.status().counts["memories"]
                engines.until(lambda before=before: survivor.status().counts["memories"] > before + 20, "saves go through")
                faults.kill(mortal, "postgres")
                faults.start(mortal, "postgres")
        finally:
            stop.set()
        return {}

    acknowledged: dict[str, str] = {}
    for part in engines.at_once(lambda: save(0), lambda: save(1), lambda: save(2), murder):
        acknowledged |= part
    assert len(acknowledged) > 60
    assert {id_: survivor.get(id_).text for id_ in acknowledged} == acknowledged
    survivor.sync()
    ids = [memory.id for memory in everything(survivor)]
    assert set(acknowledged) <= set(ids)
    all_is_well(survivor, ids)


def everything(client: MemoryClient) -> list[object]:
    found, page = [], client.list(limit=1000)
    while True:
        found.extend(page)
        if page.cursor is None:
            return found
        page = client.list(limit=1000, cursor=page.cursor)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_postgres_is_killed_in_the_middle_of_a_drain(survivor: MemoryClient, mortal: Settings, projection: str) -> None:
    ids = furnish(survivor)
    survivor.sync(*PROJECTIONS[: PROJECTIONS.index(projection)]) if projection != PROJECTIONS[0] else None

    def act() -> None:
        faults.kill(mortal, "postgres")
        faults.start(mortal, "postgres")

    drained(survivor, projection, 2, act)
    survivor.sync()
    all_is_well(survivor, ids)


# -- Redis ---------------------------------------------------------------------------------------------------------------


def test_redis_is_killed_in_the_middle_of_a_drain_and_of_saves(survivor: MemoryClient, mortal: Settings) -> None:
    ids = furnish(survivor)
    drained(survivor, "entities", 2, lambda: faults.kill(mortal, "redis"))
    ids += [survivor.save("Saved while Redis is away.").id for _ in range(5)]
    drained(survivor, "embeddings", 2, lambda: faults.start(mortal, "redis"))
    ids.append(survivor.save("Saved when it is back.").id)
    survivor.sync()
    all_is_well(survivor, ids)


def test_redis_is_emptied_with_events_unread_and_groups_at_work(survivor: MemoryClient, mortal: Settings) -> None:
    ids = furnish(survivor)
    with engines.redis_server(mortal) as server:
        server.flushall()
        drained(survivor, "entities", 2, server.flushall)
        survivor.sync()
        all_is_well(survivor, ids)
        ids.append(survivor.save("Another one.").id)
        (stream,) = server.scan_iter("*events")
        for projection in PROJECTIONS:
            server.xgroup_destroy(stream, projection)
        drained(survivor, "entities", 1, lambda: server.xgroup_destroy(stream, "entities"))
    survivor.sync()
    all_is_well(survivor, ids)


def test_without_redis_saves_succeed_at_once_and_drains_work_from_the_ledger(mortal: Settings) -> None:
    alone = engines.settings_for(mortal.home, redis_url="unix:///tmp/nobody-listens-here.sock", batch_rows=20)
    with MemoryClient.from_env(alone) as client:
        started = time.monotonic()
        ids = furnish(client)
        ids += [client.save(f"{n}: alone.").id for n in range(50)]
        assert time.monotonic() - started < 10
        assert client.status().owed["graph"] > 50
        client.sync()
        all_is_well(client, ids)
        assert client.health()["redis"]["ok"] is False


def test_a_silent_redis_delays_one_save_by_a_moment_and_holds_up_no_drain(mortal: Settings, tmp_path: Path) -> None:
    with faults.black_hole(tmp_path) as address:
        silent = engines.settings_for(mortal.home, redis_url=address, batch_rows=20)
        with MemoryClient.from_env(silent) as client:
            ids = [client.save("The first, which loads what it needs.").id]
            taken = []
            for n in range(60):
                started = time.monotonic()
                ids.append(client.save(f"{n}: who cares?").id)
                taken.append(time.monotonic() - started)
            assert max(taken) < 0.6
            assert sorted(taken)[30] < 0.05
            started = time.monotonic()
            client.sync()
            assert time.monotonic() - started < 30
            all_is_well(client, ids)


def test_a_redis_that_falls_silent_in_the_middle_of_a_drain_does_not_hold_it_up(survivor: MemoryClient, mortal: Settings) -> None:
    ids = furnish(survivor)
    survivor.sync("entities", "embeddings")
    started = time.monotonic()
    with faults.frozen(mortal, "redis"):
        survivor.sync("graph")
        assert time.monotonic() - started < 20
    all_is_well(survivor, ids)


# -- the graph -----------------------------------------------------------------------------------------------------------


def test_the_graph_is_killed_in_the_middle_of_a_drain_and_comes_back_as_it_was_a_while_ago(
    survivor: MemoryClient, mortal: Settings
) -> None:
    ids = furnish(survivor)
    survivor.sync("entities", "embeddings")

    def act() -> None:
        faults.kill(mortal, "graph")
        faults.start(mortal, "graph")

    drained(survivor, "graph", 3, act)
    survivor.sync()
    all_is_well(survivor, ids)


def test_while_the_graph_is_away_nothing_is_charged_and_nothing_acknowledged(
    survivor: MemoryClient, mortal: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drains, "_PATIENCE_SECONDS", 1.0)
    ids = furnish(survivor)
    survivor.sync("entities", "embeddings")
    owed = survivor.status().owed["graph"]
    faults.kill(mortal, "graph")
    with pytest.raises(Unavailable):
        survivor.sync("graph")
    status = survivor.status()
    assert (status.owed["graph"], status.parked) == (owed, 0)
    assert status.engines["graph"]["ok"] is False
    with pytest.raises(Unavailable):
        survivor.audit()
    faults.start(mortal, "graph")
    survivor.sync()
    all_is_well(survivor, ids)


def test_waiting_for_a_graph_that_is_away_says_that_the_write_is_saved(survivor: MemoryClient, mortal: Settings) -> None:
    first = survivor.save("The graph was there.", wait="graph").id
    faults.kill(mortal, "graph")
    with pytest.raises(SyncTimeout) as error:
        survivor.save("The graph is away.", wait="graph", timeout=1.0)
    (second,) = error.value.detail["ids"]
    assert survivor.get(second).text == "The graph is away."
    faults.start(mortal, "graph")
    third = survivor.save("The graph is back.", wait="graph").id
    survivor.sync()
    all_is_well(survivor, [first, second, third])


# -- waiting for one's own writes ----------------------------------------------------------------------------------------


def test_waiting_saves_and_a_background_drain_neither_starve_nor_deceive_each_other(survivor: MemoryClient) -> None:
    ids = [saved.id for saved in survivor.save_many([row(n) for n in range(400)])]
    survivor.sync("entities", "embeddings")
    done = threading.Event()

    def save() -> list[str]:
        saved = []
        for n in count(1000):
            if done.is_set() and n > 1010:
                return saved
            given = [{"name": f"Person {n % 7}", "type": "person"}, {"name": f"New {n}", "type": "person"}]
            relations = [{"source": given[0]["name"], "predicate": "met", "target": given[1]["name"]}]
            result = survivor.save(f"{n}: they met.", entities=given, relations=relations, wait="graph", timeout=20)
            graph = survivor._platform.graph
            assert [node["props"]["revision"] for node in graph.rows("memory", ids=[result.id])] >= [result.revision]
            related = survivor.related(f"New {n}")
            assert result.id in {memory.id for memory in related.memories}
            assert f"Person {n % 7}" in {neighbour.name for neighbour in related.neighbours}
            saved.append(result.id)
        raise AssertionError("unreachable: count never ends")

    def drain() -> list[str]:
        try:
            result = sync.drain(survivor._platform, "graph", quiet_seconds=0.0)
            assert result.done >= 400
        finally:
            done.set()
        return []

    for saved in engines.at_once(save, save, drain):
        ids += saved
    survivor.sync()
    all_is_well(survivor, ids)
    assert drift.findings(survivor.audit(deep=True)) == []
