"""The graph's store against its port: not older, whole, and gone when it should be.

To add an engine, add its name to `pytestmark` here and in the other suites of the graph (a server to `engines.ON_EVERY_GRAPH` too), and a
fixture of that name: the same assertions must hold for it.
"""

from __future__ import annotations

from typing import Any

import pytest

from memory_pipelines import Settings
from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.ports import GraphStore, Marker
from memory_pipelines.stores.graph.bolt_transport import BoltTransport
from memory_pipelines.stores.graph.falkor_transport import FalkorTransport
from memory_pipelines.stores.graph.store import CypherGraph
from tests.graph_rows import AT, SUBJECTS, buried, entity, memory, one, relation, write
from tests.vandals import Vandal

pytestmark = pytest.mark.parametrize("named_graph", ["falkordb", "neo4j"], indirect=True)


# -- not older ---------------------------------------------------------------------------------------------------------


def at_revision(kind: str, revision: int, **props: Any) -> dict[str, Any]:
    row = SUBJECTS[kind]
    return {**row, "revision": revision, "props": {**row["props"], "revision": revision, **props}}


@pytest.mark.parametrize("kind", SUBJECTS)
def test_an_older_row_is_refused_by_name_and_changes_nothing(graph: GraphStore, kind: str) -> None:
    write(graph, kind, SUBJECTS[kind])
    answer = write(graph, kind, at_revision(kind, 4, namespace="wrong"))
    assert (answer.applied, answer.refused) == (0, (SUBJECTS[kind]["id"],))
    assert one(graph, kind, *AT[kind]) == [SUBJECTS[kind]["props"]]


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("revision", [5, 6])
def test_an_equal_or_newer_row_is_written_whole(graph: GraphStore, vandal: Vandal, kind: str, revision: int) -> None:
    write(graph, kind, SUBJECTS[kind])
    vandal.set_foreign_properties()
    row = at_revision(kind, revision)
    answer = write(graph, kind, row)
    assert (answer.applied, answer.refused) == (1, ())
    assert one(graph, kind, *AT[kind]) == [row["props"]]


def test_a_word_where_a_number_belongs_is_nobodys_and_is_overwritten(furnished: GraphStore, vandal: Vandal) -> None:
    """No statement fails of it: one word would otherwise keep whole audits and whole batches from the graph."""
    vandal.write_numbers_out()
    for kind, count in (("memory", 2), ("entity", 2), ("mention", 3), ("relation", 1)):
        assert furnished.sums(kind) == furnished.sums(kind, buckets=[7]) == furnished.rows(kind, buckets=(0, 4096)) == []
        assert len(furnished.rows(kind, nobodys=10)) == count
    for kind, row in (("entity", entity("ada")), ("memory", memory("m1", "ada")), ("relation", relation("r1", "ada", "ben"))):
        assert write(furnished, kind, row).applied == 1
        assert one(furnished, kind, *AT[kind]) == [row["props"]]


def test_a_memorys_mentions_become_exactly_what_the_row_says(furnished: GraphStore, vandal: Vandal) -> None:
    vandal.mention_again()
    write(furnished, "memory", memory("m1", "ben", "cleo", revision=1))
    edges = {(row["source"], row["target"]) for row in furnished.rows("mention", buckets=(0, 4096))}
    assert edges == {("m1", "ben"), ("m1", "cleo"), ("m2", "ada")}
    assert furnished.counts()["mention"] == 3


def test_a_relation_that_is_there_twice_becomes_one(furnished: GraphStore, vandal: Vandal) -> None:
    vandal.relate_again()
    write(furnished, "relation", relation("r1", "ada", "ben"))
    assert furnished.counts()["relation"] == 1


def test_edges_wait_for_nobody(graph: GraphStore) -> None:
    """A relation or mention may come before its entities: they are filled in later, and count as nothing until then."""
    write(graph, "relation", relation("r1", "ada", "ben"))
    write(graph, "memory", memory("m1", "ada"))
    assert graph.neighbours("ada", limit=10) == []
    write(graph, "entity", entity("ada"), entity("ben"))
    assert [row["name"] for row in graph.neighbours("ada", limit=10)] == ["BEN"]
    assert graph.counts() == {"memory": 1, "entity": 2, "mention": 1, "relation": 1}


@pytest.mark.parametrize("kind", SUBJECTS)
def test_a_tombstone_holds_off_an_older_life_and_gives_way_to_a_newer_one(graph: GraphStore, kind: str) -> None:
    write(graph, kind, SUBJECTS[kind])
    grave = buried(SUBJECTS[kind], 6)
    write(graph, "buried_relation" if kind == "relation" else kind, grave)
    assert graph.counts()[kind] == 0
    assert write(graph, kind, SUBJECTS[kind]).refused == (SUBJECTS[kind]["id"],)
    assert one(graph, kind, *AT[kind]) == [grave["props"]]
    row = at_revision(kind, 7)
    assert write(graph, kind, row).applied == 1
    assert one(graph, kind, *AT[kind]) == [row["props"]]


def test_a_relation_that_never_was_is_buried_all_the_same(graph: GraphStore) -> None:
    """A worker that slept since it was alive would draw it anew, where nothing says that it is gone."""
    answer = write(graph, "buried_relation", buried(relation("r9", "x", "y"), 2))
    assert (answer.applied, answer.refused) == (1, ())
    assert write(graph, "relation", relation("r9", "x", "y")).refused == ("r9",)
    assert graph.counts() == {"memory": 0, "entity": 0, "mention": 0, "relation": 0}
    assert write(graph, "entity", entity("x"), entity("y")).applied == 2
    assert graph.counts() == {"memory": 0, "entity": 2, "mention": 0, "relation": 0}


@pytest.mark.parametrize("kind", SUBJECTS)
def test_a_repair_overwrites_what_is_ahead_only_while_it_shows_what_was_seen(graph: GraphStore, kind: str) -> None:
    write(graph, kind, at_revision(kind, 9))
    row = at_revision(kind, 5)
    assert write(graph, kind, row | {"expect": 8}).applied == 0
    assert write(graph, kind, row | {"expect": 9}).applied == 1
    assert one(graph, kind, *AT[kind]) == [row["props"]]


def test_a_batch_says_of_each_row_whether_it_was_written(graph: GraphStore) -> None:
    write(graph, "entity", entity("b", 9), entity("d", 9))
    answer = write(graph, "entity", *(entity(name, 5) for name in "abcde"))
    assert (answer.applied, sorted(answer.refused)) == (3, ["b", "d"])


# -- tombstones --------------------------------------------------------------------------------------------------------


def test_tombstones_are_listed_and_purged_and_what_lives_again_stays(furnished: GraphStore) -> None:
    write(furnished, "memory", buried(memory("m1"), 2), buried(memory("m2"), 2))
    write(furnished, "buried_relation", buried(relation("r1", "ada", "ben"), 2))
    write(furnished, "entity", buried(entity("ada"), 2), buried(entity("ben"), 2))
    assert furnished.tombstones("entity", limit=10) == []  # a relation's tombstone hangs on them still
    listed = {kind: furnished.tombstones(kind, limit=10) for kind in ("relation", "memory")}
    assert listed["relation"] == [{"id": "r1", "source": "ada", "target": "ben"}]
    assert sorted(row["id"] for row in listed["memory"]) == ["m1", "m2"]
    write(furnished, "memory", memory("m2", "ben", revision=3))
    for kind, rows in listed.items():
        furnished.purge(kind, rows)
    assert [row["id"] for row in furnished.tombstones("entity", limit=10)] == ["ada"]
    furnished.purge("entity", [{"id": "ada"}, {"id": "ben"}])
    assert (one(furnished, "memory", "m1"), one(furnished, "entity", "ada")) == ([], [])
    assert one(furnished, "memory", "m2")
    assert one(furnished, "entity", "ben")


# -- outages -----------------------------------------------------------------------------------------------------------


def test_preparing_again_is_silent_and_an_emptied_graph_is_prepared_anew(graph: GraphStore, vandal: Vandal) -> None:
    graph.prepare()
    graph.prepare(again=True)
    vandal.delete_everything()
    graph.prepare(again=True)
    assert write(graph, "entity", entity("ada")).marker == 1


def test_a_graph_that_is_not_there_is_unavailable(settings: Settings) -> None:
    if settings.graph_url is None:
        graph = CypherGraph(FalkorTransport("falkor://127.0.0.1:1", "memory"))
    else:
        graph = CypherGraph(BoltTransport("bolt://127.0.0.1:1", user="neo4j", password="secret"))
    for ask in (graph.marker, graph.prepare, graph.counts, graph.health, lambda: write(graph, "entity", entity("ada"))):
        with pytest.raises(Unavailable) as error:
            ask()
        assert error.value.code == "graph_unavailable"
    graph.close()


def test_dropping_leaves_nothing_of_ours_and_an_open_marker(graph: GraphStore) -> None:
    write(graph, "memory", memory("m1", "e1"))
    graph.raise_fence(2**53 - 1)
    assert write(graph, "memory", memory("m2")).marker is None
    assert sum(graph.drop()) >= 2
    assert (graph.marker(), sum(graph.counts().values())) == (Marker(), 0)
    assert write(graph, "memory", memory("m2")).marker == 1
