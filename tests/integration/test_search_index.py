"""Search through the HNSW index: as many hits as asked for, nearly all of the right ones, and nothing that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memory_pipelines import MemoryClient, Settings, wiring
from memory_pipelines.domain.vectors import format_vector
from memory_pipelines.services import maintenance
from memory_pipelines.services.platform import Platform
from tests import engines

ROWS = {"large": 2400, "middle": 560, "small": 30}  # the small one is 1 % of all
QUESTIONS = ["green tea from the mountains", "a train to the sea", "who repaired the old clock?", "winter"]
_WHO = ["Ada", "Ben", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "June"]
_DID = ["repaired", "painted", "sold", "borrowed", "lost", "found", "cleaned", "drew", "counted", "hid", "dropped", "polished"]
_WHAT = ["clock", "boat", "kettle", "ladder", "violin", "carpet", "lamp", "bicycle", "mirror", "window", "train", "teapot", "garden"]
_WHEN = ["in winter", "at dawn", "by the sea", "on the train", "after tea", "in the old town", "during the storm", "for a friend"]


def sentence(n: int) -> str:
    return f"{_WHO[n % 10]} {_DID[n // 10 % 12]} the {_WHAT[n // 7 % 13]} {_WHEN[n // 3 % 8]}, entry {n}."


@pytest.fixture(scope="module")
def indexed(home: Path) -> Iterator[Platform]:
    """Three namespaces, all embedded and folded into the index; every search goes through it, as in a large one."""
    settings = engines.settings_for(home, exact_search_passages=0)
    engines.empty(settings)
    platform = wiring.open_platform(settings)
    client = MemoryClient(platform)
    for namespace, rows in ROWS.items():
        client.save_many({"text": sentence(n), "namespace": namespace} for n in range(rows))
    client.sync("embeddings")
    assert maintenance.maintain(platform)["folded"] == sum(ROWS.values())
    with engines.connect(settings) as connection:
        connection.execute("analyze memory.embeddings")
        connection.execute("alter role current_user set enable_sort = off")  # whatever the planner thinks of so few rows
    platform.close()
    platform = wiring.open_platform(settings)
    yield platform
    platform.close()
    with engines.connect(settings) as connection:
        connection.execute("alter role current_user reset all")


def nearest(platform: Platform, question: str, namespace: str, limit: int, *, exact: bool) -> list[str]:
    """Ids by meaning alone: the words of the question are ones that no text holds."""
    vector = format_vector(platform.embedder.embed([question])[0])
    request = {"namespace": namespace, "query": "xyzzy", "vector": vector, "limit": limit, "exact": 10**6 if exact else 0}
    return [hit.id for hit in platform.record.search(request)]


def test_the_index_is_what_answers(indexed: Platform, settings: Settings) -> None:
    with engines.connect(settings) as connection:
        vector = format_vector(indexed.embedder.embed(["winter"])[0])
        plan = connection.execute(
            "explain select id from memory.embeddings where generation = 1 and indexed and namespace = 'large' and kind = 'memory'"
            " order by (v::vector(256) <=> %s::vector(256)) limit 100",
            [vector],
        ).fetchall()
    assert "embeddings_hnsw_1" in str(plan)


@pytest.mark.parametrize("namespace", ROWS)
@pytest.mark.parametrize("limit", [10, 200, 1000])
def test_as_many_hits_as_asked_for_and_nearly_all_of_the_right_ones(indexed: Platform, namespace: str, limit: int) -> None:
    there = 0
    for question in QUESTIONS:
        hits, truth = (nearest(indexed, question, namespace, limit, exact=exact) for exact in (False, True))
        assert len(hits) == len(set(hits)) == len(truth) == min(limit, ROWS[namespace])
        there += len(set(hits) & set(truth))
    assert there / (len(QUESTIONS) * min(limit, ROWS[namespace])) >= 0.9


def test_a_scan_that_gives_up_early_loses_no_hits(indexed: Platform, settings: Settings) -> None:
    """The index looks at 20,000 rows at most. Where a namespace is a small part of a large table, those hold few of its own."""
    with engines.connect(settings) as connection:
        connection.execute("alter role current_user set hnsw.max_scan_tuples = 100")
    try:
        with MemoryClient.from_env(indexed.settings) as client:
            for namespace in ("small", "middle"):
                assert len(nearest(client._platform, "winter", namespace, 25, exact=False)) == 25
    finally:
        with engines.connect(settings) as connection:
            connection.execute("alter role current_user reset hnsw.max_scan_tuples")


def test_what_waits_outside_the_index_is_found_beside_it_and_what_is_gone_is_not(indexed: Platform) -> None:
    client = MemoryClient(indexed)
    fresh = client.save("The submarine surfaced near the iceberg.", namespace="large").id
    client.sync("embeddings")
    try:
        for folded in (False, True):
            if folded:
                maintenance.maintain(indexed)
            assert client.search("a vessel under the polar ice", namespace="large", limit=1)[0].id == fresh
    finally:
        client.forget(fresh)
    assert fresh not in nearest(indexed, "a vessel under the polar ice", "large", 50, exact=False)
