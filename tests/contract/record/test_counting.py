"""What there is, counted and listed: namespaces, entities, and what a forget would find. On every transport."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from memory_pipelines.domain.errors import NotFound
from memory_pipelines.domain.models import EntityMention, RelationMention
from memory_pipelines.ports import RecordStore
from tests.contract.debts import item

ADA, BEN, CLEO = (EntityMention(name, kind) for name, kind in (("Ada", "person"), ("Ben", "person"), ("Cleo's Café", "place")))
JANUARY, MARCH = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)


def test_namespaces_are_counted_a_page_at_a_time(record: RecordStore) -> None:
    record.save([
        item("Ada met Ben.", namespace="b", entities=(ADA, BEN), relations=(RelationMention("Ada", "met", "Ben"),), created_at=MARCH),
        item("naïve", namespace="b", created_at=JANUARY, metadata={"a": 1}),
        item("gone", namespace="b", expires_at=JANUARY), item("x", namespace="a"), item("y", namespace="c"),
    ])  # fmt: skip
    record.forget(namespace="c")
    first, second = record.namespace_counts(limit=2)
    assert (first.name, first.memories, first.entities) == ("a", 1, 0)
    assert (second.memories, second.entities, second.relations, second.newest, second.outside_edits) == (2, 2, 1, MARCH, "record-wins")
    assert second.bytes == len("Ada met Ben.{}") + len("naïve".encode()) + len('{"a": 1}')
    (last,) = record.namespace_counts(limit=2, after="b")
    assert (last.name, last.memories, last.bytes, last.newest) == ("c", 0, 0, None)
    assert record.namespace_counts(limit=2, after="c") == ()


def test_entities_are_listed_by_name_with_what_mentions_them(record: RecordStore) -> None:
    record.save([item("one", entities=(ADA, BEN), created_at=JANUARY), item("two", entities=(ADA, CLEO), created_at=MARCH)])
    record.save([item("elsewhere", namespace="other", entities=(ADA,))])
    asked = {"namespace": "default", "limit": 10}
    found = record.entities(asked)
    assert [(one.name, one.type, one.mentions, one.newest) for one in found] == [
        ("Ada", "person", 2, MARCH), ("Ben", "person", 1, JANUARY), ("Cleo's Café", "place", 1, MARCH),
    ]  # fmt: skip
    assert [one.name for one in record.entities({**asked, "type": "place"})] == ["Cleo's Café"]
    assert [one.name for one in record.entities({**asked, "prefix": "cleo"})] == ["Cleo's Café"]
    paged, after = [], None
    while page := record.entities({"namespace": "default", "limit": 1, **({"after": after} if after else {})}):
        paged += page
        after = [page[-1].key, page[-1].id]
    assert paged == list(found)
    record.merge_entities("default", "Ben", "Ada", by=None)
    assert [(one.name, one.mentions) for one in record.entities(asked)] == [("Ada", 2), ("Cleo's Café", 1)], "one mention a memory"
    with pytest.raises(NotFound):
        record.entities({**asked, "namespace": "nowhere"})


def test_what_is_chosen_is_counted_and_forgotten_and_nothing_else(record: RecordStore) -> None:
    record.save([
        item("a", thread="t", metadata={"x": 1, "y": [1, 2]}, created_at=JANUARY), item("b", thread="t", created_at=MARCH),
        item("c", metadata={"x": 1}, created_at=MARCH), item("d", namespace="other", thread="t", metadata={"x": 1}, created_at=JANUARY),
        item("e", thread="t", expires_at=JANUARY, created_at=JANUARY),
    ])  # fmt: skip
    for chosen, texts in (
        ({}, "abce"), ({"thread": "t"}, "abe"), ({"metadata": {"x": 1}}, "ac"), ({"metadata": {"y": [2]}}, "a"),
        ({"created_before": MARCH}, "ae"), ({"thread": "t", "metadata": {"x": 1}, "created_before": MARCH}, "a"), ({"thread": "u"}, ""),
    ):  # fmt: skip
        assert record.count("default", chosen) == len(texts), chosen
    gone, more = record.forget(namespace="default", limit=1, chosen={"thread": "t", "created_before": MARCH})
    assert (gone.forgotten, more) == (1, True)
    gone, _ = record.forget(namespace="default", limit=10, chosen={"thread": "t", "created_before": MARCH})
    assert gone.forgotten == 1
    assert {memory.text for memory in record.page({"namespace": "default", "limit": 9})} == {"b", "c"}
    assert [memory.text for memory in record.page({"namespace": "other", "limit": 9})] == ["d"]
    with pytest.raises(NotFound):
        record.count("nowhere", {})
