"""The graph's store against its port: every batch stands under the marker.

To add an engine, add its name to `pytestmark` here and in the other suites of the graph (a server to `engines.ON_EVERY_GRAPH` too), and a
fixture of that name: the same assertions must hold for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memory_pipelines import Settings
from memory_pipelines.ports import Applied, GraphStore, Marker
from tests import engines
from tests.graph_rows import SUBJECTS, buried, entity, memory, one, relation, write

pytestmark = pytest.mark.parametrize("named_graph", ["falkordb", "neo4j"], indirect=True)


def test_every_accepted_batch_raises_the_counter_and_a_refused_one_never_does(graph: GraphStore) -> None:
    assert graph.marker() == Marker(0, 0, 0)
    assert [write(graph, "entity", entity("ada"), claim=n).marker for n in (1, 2)] == [1, 2]
    assert write(graph, "entity", entity("ben"), claim=3, settled=3).marker is None
    assert graph.marker() == Marker(2, 3, 0)
    assert one(graph, "entity", "ben") == []


def test_a_batch_whose_rows_are_all_older_is_accepted_all_the_same(graph: GraphStore) -> None:
    write(graph, "entity", entity("ada", 5))
    answer = write(graph, "entity", entity("ada", 4))
    assert (answer.marker, answer.applied, answer.refused) == (2, 0, ("ada",))


def test_a_graph_below_what_was_settled_writes_nothing_until_its_marker_is_raised(graph: GraphStore) -> None:
    assert write(graph, "entity", entity("ada"), settled=7).marker is None
    graph.raise_marker(7)
    assert write(graph, "entity", entity("ada"), settled=7).marker == 8
    graph.raise_marker(3)  # never down
    assert graph.marker().counter == 8


def test_a_worker_that_slept_behind_the_fence_writes_nothing(graph: GraphStore) -> None:
    graph.raise_fence(10)
    assert write(graph, "entity", entity("ada"), claim=9).marker is None
    assert write(graph, "entity", entity("ada"), claim=10).marker == 1
    graph.raise_fence(5)  # never down
    assert graph.marker().fence == 10


def test_a_record_that_issues_lower_claims_than_the_graph_has_met_writes_nothing(graph: GraphStore) -> None:
    write(graph, "entity", entity("ada"), claim=50, issued=50)
    assert write(graph, "entity", entity("ada", 2), claim=20, issued=20).marker is None
    assert one(graph, "entity", "ada")[0]["revision"] == 1
    assert write(graph, "entity", entity("ada", 2), claim=20, issued=51).marker == 2  # slow, but of this record


def test_a_graph_is_shut_where_it_has_met_claims_above_those_issued_and_nowhere_else(graph: GraphStore) -> None:
    assert not graph.shut(0, 10**6), "an empty graph has met none"
    assert graph.marker() == Marker(), "nor is anything made there, which would keep it closed"
    write(graph, "entity", entity("ada"), claim=50, issued=50)
    assert not graph.shut(50, 10**6)
    assert write(graph, "entity", entity("ada"), claim=51, issued=51).marker == 2
    assert graph.shut(50, 10**6)
    assert write(graph, "entity", entity("ada"), claim=10**6 - 1, issued=10**6 - 1).marker is None
    assert graph.marker() == Marker(2, 10**6, 10**6)


@pytest.mark.parametrize("kind", ["entity", "memory", "relation", "buried_relation", "strays"])
def test_the_marker_guards_every_kind_of_batch(graph: GraphStore, kind: str) -> None:
    row = SUBJECTS.get(
        kind, buried(SUBJECTS["relation"], 6) if kind == "buried_relation" else {"id": "strays", "revision": 0, "expect": -2}
    )
    assert write(graph, kind, row, settled=1).marker is None
    assert graph.marker().counter == 0
    assert graph.counts() == {"memory": 0, "entity": 0, "mention": 0, "relation": 0}


def test_batches_at_once_have_markers_of_their_own(graph: GraphStore) -> None:
    answers = engines.at_once(*[lambda: [write(graph, "entity", entity("ada", 3)).marker for _ in range(10)]] * 4)
    assert sorted(marker or 0 for some in answers for marker in some) == list(range(1, 41))
    assert graph.counts()["entity"] == 1


def test_in_three_hundred_races_of_two_revisions_the_older_one_never_wins(graph: GraphStore) -> None:
    """Half of them for a row that is not there yet. Neo4j is read-committed: without the marker as lock the older one won 99."""

    def writing(row: dict[str, Any]) -> Callable[[], Applied]:
        return lambda: write(graph, "memory", row)

    for turn in range(300):
        name, newest = f"m{turn // 2}", 2 * turn + 2
        engines.at_once(*(writing(memory(name, f"e{revision}", revision=revision)) for revision in (newest - 1, newest)))
        assert [row["revision"] for row in one(graph, "memory", name)] == [newest]
        assert len(graph.rows("mention", ids=[{"id": "", "source": name, "target": f"e{newest}"}])) == 1
    assert graph.counts()["mention"] == graph.counts()["memory"] == 150


def test_two_workers_that_draw_the_first_edges_of_a_graph_at_once_draw_each_one_once(graph: GraphStore, settings: Settings) -> None:
    """FalkorDB plans a statement before it holds the lock: of a type that was new, both drew every edge in 15 of 100 races."""
    people = [entity(f"p{n}") for n in range(11)]
    met = [relation(f"r{n}", f"p{n}", f"p{(n * 5 + 1) % 11}") for n in range(11)]
    told = [memory(f"m{n}", f"p{n}", f"p{(n * 5 + 1) % 11}") for n in range(11)]

    def draw() -> None:
        for kind, rows in (("entity", people), ("relation", met), ("memory", told)):
            write(graph, kind, *rows)

    for _ in range(40):
        engines.forget_graph(settings)
        graph.prepare(again=True)
        engines.at_once(draw, draw)
        assert graph.counts() == {"memory": 11, "entity": 11, "mention": 22, "relation": 11}
