"""A graph that shows less than it did, or a record that knows less than it did: noticed, owed again, applied again, never overlooked."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from memory_pipelines import MemoryClient, Settings, embedded
from memory_pipelines.domain.errors import InvalidInput, Refused
from memory_pipelines.ports import GraphTransport, Marker
from memory_pipelines.services import maintenance
from memory_pipelines.services.sync import sync
from memory_pipelines.stores.postgres.subjects import sync as ledger
from tests import engines
from tests.integration import drift, faults, graphs
from tests.integration.test_kills import all_is_well, furnish, row
from tests.integration.test_outages import drained

# -- the graph -----------------------------------------------------------------------------------------------------------


@engines.ON_EVERY_GRAPH
def test_an_older_snapshot_is_noticed_and_everything_lost_is_applied_again(
    survivor: MemoryClient, mortal: Settings, tmp_path: Path
) -> None:
    platform = survivor._platform
    survivor.save_many([row(n) for n in range(30)])
    survivor.sync()
    older = graphs.snapshot(mortal, tmp_path)
    ids = furnish(survivor)
    survivor.sync()
    maintenance.maintain(platform)  # tombstones that the snapshot has as live memories are gone from the graph
    before = platform.graph.marker().counter
    assert not sync.wanted(platform, "graph").behind
    graphs.put_back(mortal, older)
    found = sync.wanted(platform, "graph")
    assert (found.behind, found.work, found.owed) == (True, True, 0)
    assert platform.graph.marker().counter < before
    (result,) = survivor.sync("graph")
    assert result.rolled_back == result.done > 60
    assert platform.graph.marker().counter > before
    assert not sync.wanted(platform, "graph").behind
    all_is_well(survivor, ids)


@engines.ON_EVERY_GRAPH
def test_an_older_snapshot_in_the_middle_of_a_drain_is_noticed_by_that_drain(
    survivor: MemoryClient, mortal: Settings, tmp_path: Path
) -> None:
    survivor.save_many([row(n) for n in range(30)])
    survivor.sync()
    older = graphs.snapshot(mortal, tmp_path)
    ids = furnish(survivor)
    survivor.sync("entities", "embeddings")
    for batch in (1, 3):
        drained(survivor, "graph", batch, lambda: graphs.put_back(mortal, older))
        assert not sync.wanted(survivor._platform, "graph").work
        survivor.save_many([row(n) | {"text": f"{n}: for the {batch}. time."} for n in range(60, 90)])
        survivor.sync("entities", "embeddings")
    survivor.sync()
    all_is_well(survivor, ids)


@engines.ON_EVERY_GRAPH
@pytest.mark.parametrize("wipe", [graphs.drop, graphs.flush])
def test_an_emptied_graph_is_built_anew_with_its_indexes_and_constraints(
    survivor: MemoryClient, mortal: Settings, wipe: Callable[[GraphTransport], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_OWED_AT_ONCE", 20)  # what was lost is owed in several pages
    ids = furnish(survivor)
    survivor.sync()
    graph = engines.graph_server(mortal)
    engines.until(lambda: graphs.constrained(graph), "the constraints hold")
    before = graphs.schema(graph)
    wipe(graph)
    assert sync.wanted(survivor._platform, "graph").behind
    assert survivor.sync("graph")[0].rolled_back > 60
    engines.until(lambda: graphs.schema(graph) == before, "indexes and constraints are back")
    all_is_well(survivor, ids)
    graph.close()


@engines.ON_EVERY_GRAPH
@pytest.mark.parametrize("wipe", [graphs.drop, graphs.flush])
def test_a_graph_that_is_emptied_in_the_middle_of_a_drain_is_built_by_that_drain(
    survivor: MemoryClient, mortal: Settings, wipe: Callable[[GraphTransport], None]
) -> None:
    ids = furnish(survivor)
    survivor.sync("entities", "embeddings")
    graph = engines.graph_server(mortal)
    drained(survivor, "graph", 2, lambda: wipe(graph))
    assert not sync.wanted(survivor._platform, "graph").work
    engines.until(lambda: graphs.constrained(graph), "the constraints are back")
    all_is_well(survivor, ids)
    graph.close()


@engines.ON_EVERY_GRAPH
def test_a_graph_that_is_emptied_before_anything_was_settled_gets_its_indexes_too(survivor: MemoryClient, mortal: Settings) -> None:
    survivor._platform.graph.prepare()
    graph = engines.graph_server(mortal)
    before = graphs.schema(graph)
    graphs.flush(graph)
    ids = furnish(survivor)
    survivor.sync()
    engines.until(lambda: graphs.schema(graph) == before, "indexes and constraints are there")
    all_is_well(survivor, ids)
    graph.close()


@engines.ON_EVERY_GRAPH
def test_the_counter_rises_only_after_everything_lost_is_owed(survivor: MemoryClient, mortal: Settings) -> None:
    ids = furnish(survivor)
    survivor.sync()
    graph = engines.graph_server(mortal)
    settled = survivor._platform.graph.marker().counter
    graphs.drop(graph)
    faults.killed_at(mortal, "graph.lost_owed", "sync.drain(client._platform, 'graph')")
    assert survivor._platform.graph.marker().counter < settled
    assert survivor.status().owed["graph"] >= len(ids)
    survivor.sync()
    assert survivor._platform.graph.marker().counter > settled
    all_is_well(survivor, ids)
    graph.close()


def test_engines_that_all_crash_at_once_come_back_in_any_order(survivor: MemoryClient, mortal: Settings) -> None:
    ids = furnish(survivor)
    for order in (("graph", "redis", "postgres"), ("postgres", "graph", "redis")):
        survivor.sync("entities", "graph")
        for engine in order:
            faults.kill(mortal, engine)
        for engine in order:
            faults.start(mortal, engine)
        ids.append(survivor.save("One more.").id)
        survivor.sync()
        all_is_well(survivor, ids)


# -- the record ----------------------------------------------------------------------------------------------------------


@engines.ON_EVERY_GRAPH
def test_a_record_that_was_rolled_back_is_noticed_and_the_graph_stays_closed_until_it_is_emptied(mortal: Settings, tmp_path: Path) -> None:
    data, older = mortal.home_path / "postgres" / "data", tmp_path / "older"
    with MemoryClient.from_env(mortal) as client:
        client.save_many([row(n) for n in range(40)])
        client.sync()
    embedded.down(mortal.home_path)
    subprocess.run(["cp", "-a", str(data), str(older)], check=True)
    with MemoryClient.from_env(mortal) as client:
        client.save_many([row(n) for n in range(40, 70)])
        client.forget(key="row-3")
        client.save("Changed.", key="row-4")
        client.sync()
    embedded.down(mortal.home_path)
    shutil.rmtree(data)
    older.rename(data)
    faults.start(mortal)
    graph = engines.graph_server(mortal)
    with MemoryClient.from_env(mortal) as client:
        client.save("Saved after the restore.", key="row-4")
        before = graphs.shown(graph)
        for _ in range(3):
            with pytest.raises(Refused) as error:
                client.sync("graph")
            assert error.value.code == "record_rolled_back"
        with engines.connect(mortal) as connection:  # however many claims the record issues from now on
            connection.execute("select setval('memory.claims', 100000)")
        with pytest.raises(Refused):
            client.sync("graph")
        with pytest.raises(Refused) as refused:
            client.save("Nor does waiting help.", wait="graph", timeout=1)
        assert [client.get(id_).text for id_ in refused.value.detail["ids"]] == ["Nor does waiting help."]
        assert graphs.shown(graph) == before
        assert not client.audit(deep=True).clean
        faults.killed_at(mortal, "graph.dropping", "client.rebuild('graph', drop=True)")
        with pytest.raises(Refused):
            client.sync("graph")
        client.rebuild("graph", drop=True)
        client.sync()
        ids = [memory.id for memory in client.list(limit=1000)]
        assert len(ids) == 41
        all_is_well(client, ids)
    graph.close()


@engines.ON_EVERY_GRAPH
def test_a_record_that_was_rolled_back_is_noticed_even_when_nothing_is_owed(survivor: MemoryClient, mortal: Settings) -> None:
    furnish(survivor)
    survivor.sync()
    with engines.connect(mortal) as connection:
        connection.execute("select setval('memory.claims', 1)")
        connection.execute("update memory.graph_state set settled_marker = 1")
    with pytest.raises(Refused) as error:
        survivor.sync("graph")
    assert error.value.code == "record_rolled_back"
    assert drift.findings(survivor.audit(deep=True)) == []


@engines.ON_EVERY_GRAPH
def test_a_graph_that_is_dropped_on_purpose_is_built_again(survivor: MemoryClient) -> None:
    ids = furnish(survivor)
    survivor.sync()
    result = survivor.rebuild("graph", drop=True)
    assert (result.owed, result.done > 60, result.rolled_back > 60) == (0, True, True)
    all_is_well(survivor, ids)
    with pytest.raises(InvalidInput) as error:
        survivor.rebuild("embeddings", drop=True)
    assert error.value.code == "drop_invalid"
    assert survivor.rebuild("embeddings").done > 60
    all_is_well(survivor, ids)


@engines.ON_EVERY_GRAPH
def test_a_drop_that_ends_between_two_looks_of_a_drain_is_no_rollback_of_the_record(
    survivor: MemoryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drain saw the fence of the drop. Had it shut the graph then, nothing but another drop would have opened that again."""
    ids = furnish(survivor)
    survivor.sync()
    graph = survivor._platform.graph
    with monkeypatch.context() as patched:

        def marker() -> Marker:
            patched.undo()
            graph.raise_fence(2**53 - 1)
            seen = graph.marker()
            assert sum(graph.drop()) > 60
            return seen

        patched.setattr(graph, "marker", marker)
        (result,) = survivor.sync("graph")
    assert result.rolled_back > 60
    all_is_well(survivor, ids)
