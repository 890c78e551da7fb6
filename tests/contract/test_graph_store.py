"""The graph's store against its port: not older, whole, under the marker, and true to every letter.

To add an engine, add its name to `pytestmark` (a server to `engines.ON_EVERY_GRAPH` too), and a fixture of that name: the same
assertions must hold for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from memory_pipelines import Settings, wiring
from memory_pipelines.domain.errors import InvalidInput, Unavailable
from memory_pipelines.domain.validation import entities as entity_rules
from memory_pipelines.domain.validation import relations as relation_rules
from memory_pipelines.ports import Applied, GraphStore, Marker
from memory_pipelines.stores.graph.bolt_transport import BoltTransport
from memory_pipelines.stores.graph.falkor_transport import FalkorTransport
from memory_pipelines.stores.graph.store import CypherGraph
from tests import engines
from tests.vandals import CypherVandal, MemoryVandal, Vandal

pytestmark = pytest.mark.parametrize("named_graph", ["memory", "falkordb", "neo4j"], indirect=True)


def in_memory(settings: Settings) -> bool:
    return settings.graph_url is not None and settings.graph_url.get_secret_value() == engines.IN_MEMORY


@pytest.fixture
def graph(settings: Settings) -> Iterator[GraphStore]:
    """The store of an empty graph."""
    engines.empty(settings)
    with closing(wiring.open_platform(settings)) as platform:
        platform.graph.prepare()
        yield platform.graph


@pytest.fixture
def vandal(settings: Settings, graph: GraphStore) -> Iterator[Vandal]:
    """Who changes the graph without asking its store."""
    del graph  # which is empty by then
    if in_memory(settings):
        yield MemoryVandal(engines.held_in_memory(settings))
        return
    with closing(engines.graph_server(settings)) as transport:
        yield CypherVandal(transport)


def entity(id_: str, revision: int = 1, **props: Any) -> dict[str, Any]:
    name = {"name": id_.upper(), "type": "person", "namespace": "default", "dh": 1, "dl": 2, "bucket": 7, "leaf": 3}
    return {"id": id_, "revision": revision, "expect": -2, "props": {"id": id_, "revision": revision, **name, **props}}


def memory(id_: str, *mentions: str, revision: int = 1, **props: Any) -> dict[str, Any]:
    facts = {"namespace": "default", "created_at": 1_700_000_000_000, "dh": 1, "dl": 2, "bucket": 7, "leaf": 3}
    edges = [{"entity": name, "dh": 5, "dl": 6} for name in mentions]
    return {"id": id_, "revision": revision, "expect": -2, "props": {"id": id_, "revision": revision, **facts, **props}, "mentions": edges}


def relation(id_: str, source: str, target: str, revision: int = 1, predicate: str = "knows") -> dict[str, Any]:
    props = {"id": id_, "revision": revision, "predicate": predicate, "namespace": "default", "dh": 1, "dl": 2}
    return {"id": id_, "revision": revision, "expect": -2, "source": source, "target": target, "props": props}


def buried(row: dict[str, Any], revision: int) -> dict[str, Any]:
    """The tombstone of what a row wrote."""
    gone = {**row, "revision": revision, "props": {"id": row["id"], "revision": revision, "deleted": True}}
    return gone | {"mentions": []} if "mentions" in row else gone


def write(graph: GraphStore, kind: str, *rows: dict[str, Any], claim: int = 1, issued: int = 1_000_000, settled: int = 0) -> Applied:
    return graph.apply(kind, rows, claim=claim, issued=issued, settled=settled)


def one(graph: GraphStore, kind: str, *ids: str) -> list[dict[str, Any]]:
    wanted: Sequence[Any] = ids if kind in ("memory", "entity") else [dict(zip(("id", "source", "target"), ids, strict=True))]
    return [row["props"] for row in graph.rows(kind, ids=wanted)]


@pytest.fixture
def furnished(graph: GraphStore) -> GraphStore:
    """Ada and Ben, who know each other, and two memories."""
    write(graph, "entity", entity("ada"), entity("ben"))
    write(graph, "memory", memory("m1", "ada", "ben"), memory("m2", "ada"))
    write(graph, "relation", relation("r1", "ada", "ben"))
    return graph


# -- not older -----------------------------------------------------------------------------------------------------------

SUBJECTS = {"entity": entity("ada", 5), "memory": memory("m1", "ada", revision=5), "relation": relation("r1", "ada", "ben", 5)}
AT = {"entity": ("ada",), "memory": ("m1",), "relation": ("r1", "ada", "ben")}


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


# -- the marker ----------------------------------------------------------------------------------------------------------


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


# -- tombstones ----------------------------------------------------------------------------------------------------------


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


# -- reading -------------------------------------------------------------------------------------------------------------


def test_neighbours_are_related_or_mentioned_together_and_never_gone(furnished: GraphStore) -> None:
    write(furnished, "entity", entity("cleo"))
    write(furnished, "relation", relation("r2", "cleo", "ada", predicate="likes"))
    found = {(row["name"], row["direction"], row["predicate"], row["shared"]) for row in furnished.neighbours("ada", limit=10)}
    assert found == {("BEN", "out", "knows", 0), ("CLEO", "in", "likes", 0), ("BEN", "together", None, 1)}
    assert sorted(furnished.memories_of("ada", limit=10)) == ["m1", "m2"]
    write(furnished, "entity", buried(entity("ben"), 2))
    write(furnished, "memory", buried(memory("m2"), 2))
    assert {row["name"] for row in furnished.neighbours("ada", limit=10)} == {"CLEO"}
    assert furnished.memories_of("ada", limit=10) == ["m1"]


def test_what_an_audit_reads_is_the_same_however_it_asks(furnished: GraphStore) -> None:
    assert furnished.counts() == {"memory": 2, "entity": 2, "mention": 3, "relation": 1}
    for kind, count in furnished.counts().items():
        (bucket,) = furnished.sums(kind)
        (leaf,) = furnished.sums(kind, buckets=[7])
        high, low = (5 * count, 6 * count) if kind == "mention" else (count, 2 * count)
        assert (bucket, leaf) == ([7, count, high, low], [7, 3, count, high, low])
        by_range, by_cell = furnished.rows(kind, buckets=(7, 8)), furnished.rows(kind, cells=[(7, 3)])
        assert sorted(map(repr, by_range)) == sorted(map(repr, by_cell))
        assert len(by_range) == count
        assert furnished.rows(kind, buckets=(8, 4096)) == furnished.rows(kind, cells=[(7, 4)]) == furnished.rows(kind, nobodys=10) == []


@pytest.mark.parametrize("kind", ["memory", "entity", "mention", "relation"])
def test_some_buckets_are_summed_as_all_are(furnished: GraphStore, kind: str) -> None:
    write(furnished, "memory", memory("m3", "ada", bucket=8))
    write(furnished, "entity", entity("cleo", bucket=8))
    write(furnished, "relation", relation("r2", "cleo", "ada"))
    whole = {row[0]: row for row in furnished.sums(kind)}
    assert set(whole) == {7, 8}
    assert furnished.sums(kind, buckets=[8, 9], leaves=False) == [whole[8]]
    assert sorted(furnished.sums(kind, buckets=[8, 7], leaves=False)) == [whole[7], whole[8]]


def test_an_edge_dangles_where_one_of_its_ends_is_a_tombstone_or_nothing_of_ours(furnished: GraphStore) -> None:
    wanted = {"id": "m1:ben", "source": "m1", "target": "ben"}
    (stands,) = furnished.rows("mention", ids=[wanted])
    (related,) = furnished.rows("relation", ids=[{"id": "r1", "source": "ada", "target": "ben"}])
    write(furnished, "entity", buried(entity("ben"), 2))
    (dangles,) = furnished.rows("mention", ids=[wanted])
    (loose,) = furnished.rows("relation", ids=[{"id": "r1", "source": "ada", "target": "ben"}])
    assert [row["dangling"] for row in (stands, related, dangles, loose)] == [False, False, True, True]


@pytest.mark.parametrize("kind", ["memory", "entity"])
def test_removing_copies_leaves_the_one_that_is_there_and_makes_none(furnished: GraphStore, kind: str) -> None:
    row = {"memory": memory("m1"), "entity": entity("ada")}[kind]
    before = one(furnished, kind, row["id"])
    assert write(furnished, f"copies_{kind}", row, {**row, "id": "nobody"}).applied == 2
    assert one(furnished, kind, row["id"]) == before
    assert one(furnished, kind, "nobody") == []
    assert furnished.counts() == {"memory": 2, "entity": 2, "mention": 3, "relation": 1}


def test_digests_of_many_rows_are_summed_exactly(graph: GraphStore) -> None:
    """Sums of 32-bit halves; an engine that adds in floats or prints fifteen digits would be off by some."""
    rows = [entity(f"e{n}", dh=4294967295 - n, dl=4294967291 - n) for n in range(2000)]
    for start in range(0, 2000, 500):
        write(graph, "entity", *rows[start : start + 500])
    total = sum(row["props"]["dh"] for row in rows), sum(row["props"]["dl"] for row in rows)
    assert graph.sums("entity") == [[7, 2000, *total]]


def test_strays_are_found_and_removed(furnished: GraphStore, vandal: Vandal) -> None:
    vandal.leave_strays()
    assert len(furnished.rows("memory", nobodys=10)) == len(furnished.rows("entity", nobodys=10)) == 1
    write(furnished, "strays", {"id": "strays", "revision": 0, "expect": -2})
    assert furnished.counts() == {"memory": 2, "entity": 2, "mention": 3, "relation": 1}


# -- every letter --------------------------------------------------------------------------------------------------------

TRICKY = [
    *(
        "'",
        '"',
        "\\",
        '\\"',
        "\\\\",
        "a\\",
        '"}]',
        "`name`",
        "$name",
        "{",
        "//",
        "/*",
        "--",
        ";",
        "\\n",
        "\\u0041",
        "%s",
        "CYPHER x=1 RETURN",
    ),
    *(
        "\x01",
        "\x7f",
        "\x1b[0m",
        "\ufeff",
        "\u2028",
        "\u200b.",
        "\ufffe",
        "\U0010ffff",
        "שלום",
        "مرحبا",
        "東京",
        "👩‍👩‍👧‍👦",
        "e\u0301",
        "İ",
    ),
    *("null", "true", "1", "1e5", "NaN"),
]


def writings() -> st.SearchStrategy[str]:
    letters = st.one_of(st.characters(codec="utf-8", exclude_characters="\0"), st.sampled_from(TRICKY))
    return st.lists(letters, min_size=1, max_size=30).map("".join)


@examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(writings(), min_size=1, max_size=6), writings())
@example(TRICKY, '\\"')
def test_every_name_that_validation_lets_in_comes_out_of_the_graph_as_it_went_in(
    graph: GraphStore, names: list[str], predicate: str
) -> None:
    try:
        checked = [mention.name for mention in entity_rules([{"name": name} for name in names])]
        (said,) = relation_rules([{"source": checked[0], "predicate": predicate, "target": checked[-1]}])
    except (InvalidInput, IndexError):
        return
    rows = [entity(f"e{n}", name=name, type=name) for n, name in enumerate(checked)]
    write(graph, "entity", *rows)
    write(graph, "relation", relation("r", "e0", f"e{len(checked) - 1}", predicate=said.predicate))
    shown = graph.rows("entity", ids=[row["id"] for row in rows])
    assert {row["id"]: (row["props"]["name"], row["props"]["type"]) for row in shown} == {
        row["id"]: (name, name) for row, name in zip(rows, checked, strict=True)
    }
    assert [row["predicate"] for row in one(graph, "relation", "r", "e0", f"e{len(checked) - 1}")] == [said.predicate]


@pytest.mark.parametrize("number", [0, 1, -1, 2**31, 2**32 - 1, 2**53, 1_700_000_000_000, -62_135_596_800_000])
def test_whole_numbers_stay_whole(graph: GraphStore, number: int) -> None:
    write(graph, "memory", memory("m1", created_at=number))
    (shown,) = one(graph, "memory", "m1")
    assert (shown["created_at"], type(shown["created_at"])) == (number, int)


# -- outages -------------------------------------------------------------------------------------------------------------


def test_preparing_again_is_silent_and_an_emptied_graph_is_prepared_anew(graph: GraphStore, vandal: Vandal) -> None:
    graph.prepare()
    graph.prepare(again=True)
    vandal.delete_everything()
    graph.prepare(again=True)
    assert write(graph, "entity", entity("ada")).marker == 1


def test_a_graph_that_is_not_there_is_unavailable(settings: Settings) -> None:
    if in_memory(settings):
        pytest.skip("what is in this process cannot be away")
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
