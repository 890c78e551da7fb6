"""The graph's store against its port: what traversals and audits read, true to every letter.

To add an engine, add its name to `pytestmark` here and in the other suites of the graph (a server to `engines.ON_EVERY_GRAPH` too), and a
fixture of that name: the same assertions must hold for it.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.validation import entities as entity_rules
from memory_pipelines.domain.validation import relations as relation_rules
from memory_pipelines.ports import GraphStore
from tests.graph_rows import buried, entity, memory, one, relation, write
from tests.vandals import Vandal

pytestmark = pytest.mark.parametrize("named_graph", ["falkordb", "neo4j"], indirect=True)


# -- reading -----------------------------------------------------------------------------------------------------------


def test_neighbours_are_related_or_mentioned_together_and_never_gone(furnished: GraphStore) -> None:
    write(furnished, "entity", entity("cleo"))
    write(furnished, "relation", relation("r2", "cleo", "ada", predicate="likes"))
    write(furnished, "relation", relation("r3", "ada", "ben", predicate="met"), relation("r4", "ben", "ada"))
    write(furnished, "relation", relation("r5", "ada", "ada", predicate="is"))  # what was merged into her was related to her
    found = [(row["name"], sorted(row["out"]), row["in"], row["memories"]) for row in furnished.neighbours("ada", limit=10)]
    assert found == [("BEN", ["knows", "met"], ["knows"], 1), ("CLEO", [], ["likes"], 0)]
    write(furnished, "memory", memory("m3", "ada", "ben", "cleo", "dora", created_at=1_800_000_000_000), memory("m4", "ada", "dora"))
    write(furnished, "entity", entity("dora"))
    near = furnished.neighbours("ada", limit=10)
    assert [(row["name"], row["memories"]) for row in near] == [("BEN", 2), ("CLEO", 1), ("DORA", 2)], "what is related comes first"
    assert near[1]["newest"] == 1_800_000_000_000
    assert [row["name"] for row in furnished.neighbours("ada", limit=2)] == ["BEN", "CLEO"]
    assert [(row["name"], row["memories"]) for row in furnished.neighbours("ada", limit=1)] == [("BEN", 2)]
    write(furnished, "memory", buried(memory("m3"), 2), buried(memory("m4"), 2))
    assert sorted(furnished.memories_of("ada", limit=10)) == ["m1", "m2"]
    write(furnished, "entity", buried(entity("ben"), 2))
    write(furnished, "memory", buried(memory("m2"), 2))
    assert {row["name"] for row in furnished.neighbours("ada", limit=10)} == {"CLEO"}
    assert furnished.memories_of("ada", limit=10) == ["m1"]


def test_a_limit_takes_the_head_of_the_whole_list_with_all_that_joins_each(graph: GraphStore) -> None:
    """Neither the alphabet nor the other direction's neighbours decide who is shown, or with which predicates."""
    others = [f"a{n}" for n in range(4)]
    write(graph, "entity", *(entity(name) for name in ("ada", "zoe", "yan", *others)))
    write(graph, "memory", memory("m1", "ada", "zoe"), memory("m2", "ada", "zoe"), memory("m3", "ada", "yan", *others))
    inward = [relation(f"in-{name}", name, "ada") for name in (*others, "zoe")]
    write(graph, "relation", *inward, relation("out", "ada", "zoe", predicate="met"), relation("drawn", "ada", "yan", predicate="met"))
    whole = graph.neighbours("ada", limit=10)
    assert (whole[0]["name"], whole[0]["out"], whole[0]["in"], whole[0]["memories"]) == ("ZOE", ["met"], ["knows"], 2)
    assert len(whole) == 6
    for limit in range(1, 7):
        assert graph.neighbours("ada", limit=limit) == whole[:limit]


def test_what_is_related_is_shown_though_no_memory_mentions_both(graph: GraphStore) -> None:
    write(graph, "entity", *(entity(name) for name in ("ada", "ben", "cleo", "dora")))
    write(graph, "memory", memory("m1", "ada", "dora"), memory("m2", "ada", "cleo"))
    write(graph, "relation", relation("r1", "ada", "ben"), relation("r2", "cleo", "ada"))
    near = graph.neighbours("ada", limit=10)
    assert [(row["name"], row["memories"], row["newest"] is None) for row in near] == [
        ("CLEO", 1, False),
        ("BEN", 0, True),
        ("DORA", 1, False),
    ]
    assert [row["name"] for row in graph.neighbours("ada", limit=2)] == ["CLEO", "BEN"]


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


# -- every letter ------------------------------------------------------------------------------------------------------


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
