"""The record against its port: the ledger's protocol, from the debt that a save makes to its settlement, on every transport."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest
from uuid_utils import uuid7

from memory_pipelines import Settings
from memory_pipelines.domain.models import PROJECTIONS, EntityMention, Links, Ref, RelationMention
from memory_pipelines.ports import RecordStore
from memory_pipelines.stores.postgres.subjects import sync as ledger
from tests import engines
from tests.contract.debts import everything, item, saved


def test_a_save_owes_every_projection_and_a_later_debt_has_a_higher_number(record: RecordStore) -> None:
    first, second = saved(record, "a", "b")
    for projection in PROJECTIONS:
        rows = everything(record, projection)
        assert [row[:2] for row in rows] == [("memory", first), ("memory", second)]
        assert rows[0][2] < rows[1][2]
    before = everything(record, "graph")[0][2]
    record.update(first, {"metadata": {"n": 1}})
    assert everything(record, "graph")[-1][1] == first
    assert everything(record, "graph")[-1][2] > before


def test_a_claim_takes_what_was_asked_for_with_its_present_state(record: RecordStore) -> None:
    first, second, third = saved(record, "a", "b", "c")
    record.update(first, {"text": "a new", "passages": ("a new",)})
    record.forget(ids=[second])
    unknown = str(uuid7())
    record.owe([{"projection": "graph", "kind": "memory", "id": unknown}, {"projection": "graph", "kind": "memory", "id": "no uuid"}])
    wanted = [Ref("memory", id_) for id_ in (first, second, unknown, "no uuid")]
    claim = record.claim("graph", refs=[*wanted, *wanted, Ref("nonsense", third)], limit=10)
    states = {row.id: row.state for row in claim.rows}
    assert set(states) == {first, second, unknown, "no uuid"}
    assert (states[unknown], states["no uuid"]) == (None, None)
    assert states[first]
    assert (states[first]["version"], states[first]["deleted"]) == (2, False)
    assert states[second]
    assert (states[second]["deleted"], states[second]["props"]) == (True, None)
    assert record.claim("embeddings", refs=[Ref("memory", first)], limit=10).rows[0].state["passages"] == ["a new"]  # type: ignore[index]
    assert record.claim("graph", refs=[], limit=10).rows == ()


def test_claims_are_numbered_and_page_through_the_ledger(record: RecordStore) -> None:
    ids = saved(record, *(f"note {n}" for n in range(10)))
    seen, after, numbers = [], 0, []
    while rows := (claim := record.claim("entities", refs=None, limit=4, owed_for_seconds=0, after=after)).rows:
        seen += [row.id for row in rows]
        after = max(row.number for row in rows)
        numbers.append(claim.claim)
        assert claim.claim <= claim.issued
    assert seen == ids
    assert numbers == sorted(set(numbers))
    assert record.claim("entities", refs=None, limit=4, owed_for_seconds=60).rows == ()  # nothing is that old


def test_a_graph_row_settles_only_under_the_number_that_was_noted(record: RecordStore) -> None:
    (one,) = saved(record, "a")
    claim = record.claim("graph", refs=[Ref("memory", one)], limit=1)
    row = {"kind": "memory", "id": one, "number": claim.rows[0].number, "revision": 1, "version": 1, "marker": 1}
    record.update(one, {"thread": "t"})
    assert record.settle_graph([row], claim=claim.claim, markers=[1])["settled"] == 0
    assert record.sync_state(one).projections["graph"].owed
    again = record.claim("graph", refs=[Ref("memory", one)], limit=1)
    row |= {"number": again.rows[0].number, "revision": 2, "version": 2, "marker": 2}
    assert record.settle_graph([row], claim=again.claim, markers=[2])["settled"] == 1
    state = record.sync_state(one).projections["graph"]
    assert (state.owed, state.settled_version, state.settled_revision) == (False, 2, 2)
    assert record.settle_graph([row], claim=again.claim, markers=[2])["settled"] == 0
    assert record.claim("graph", refs=[Ref("memory", one)], limit=1).rows == ()


def test_the_oldest_debts_are_claimed_first_whatever_kinds_are_asked_for(record: RecordStore) -> None:
    """An entity is owed before the memory that mentions it, and that before the relation: a claim that is full leaves the newest."""
    ada, ben, knows = EntityMention("Ada", "person"), EntityMention("Ben", "person"), RelationMention("Ada", "knows", "Ben")
    record.save([item("Ada knows Ben.", entities=(ada, ben), relations=(knows,))])
    owed = everything(record, "graph")
    assert {kind for kind, *_ in owed} == {"memory", "entity", "relation"}
    for limit in range(1, len(owed)):
        claim = record.claim("graph", refs=[Ref(kind, id_) for kind, id_, _ in reversed(owed)], limit=limit)
        assert [row.number for row in claim.rows] == [number for *_, number in owed[:limit]]


def test_the_highest_marker_that_was_settled_stays_when_an_earlier_batch_is_settled_later(record: RecordStore) -> None:
    """Else a graph that had lost the later batch would not be below it, and nobody would notice."""
    first, second, third = saved(record, "a", "b", "c")
    claims = {id_: record.claim("graph", refs=[Ref("memory", id_)], limit=1) for id_ in (first, second)}
    for id_, marker in ((second, 2), (first, 1)):
        row = {"kind": "memory", "id": id_, "number": claims[id_].rows[0].number, "revision": 1, "version": 1, "marker": marker}
        assert record.settle_graph([row], claim=claims[id_].claim, markers=[marker])["settled"] == 1
    assert record.claim("graph", refs=[Ref("memory", third)], limit=1).settled_marker == 2
    assert record.owe_lost(1)["settled_marker"] == 2


def test_after_a_rollback_what_was_settled_last_is_owed_first(record: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page at a time: who reads the ledger meanwhile meets the newest, which somebody may wait for, before the oldest."""
    monkeypatch.setattr(ledger, "_OWED_AT_ONCE", 2)
    ids = saved(record, *(f"note {n}" for n in range(7)))
    for marker, id_ in enumerate(ids, start=1):
        claim = record.claim("graph", refs=[Ref("memory", id_)], limit=1)
        row = {"kind": "memory", "id": id_, "number": claim.rows[0].number, "revision": 1, "version": 1, "marker": marker}
        assert record.settle_graph([row], claim=claim.claim, markers=[marker])["settled"] == 1
    assert record.owe_lost(1) == {"owed": 6, "settled_marker": 7}
    pages = [{id_ for _, id_, _ in everything(record, "graph")[n : n + 2]} for n in (0, 2, 4)]
    assert pages == [set(ids[5:7]), set(ids[3:5]), set(ids[1:3])]


def test_a_row_that_keeps_failing_is_parked_blocks_nobody_and_is_released_by_a_new_debt(record: RecordStore) -> None:
    bad, good = saved(record, "bad", "good")

    def fail(final: bool = False) -> dict[str, Any]:
        (row,) = [row for row in everything(record, "embeddings") if row[1] == bad] or [("memory", bad, number)]
        return dict(
            record.fail("embeddings", [{"kind": "memory", "id": bad, "number": row[2], "error": "too odd", "final": final}], max_attempts=2)
        )

    number = everything(record, "embeddings")[0][2]
    assert fail() == {"failed": 1, "parked": 0}
    assert [row[1] for row in everything(record, "embeddings")] == [good]  # not before a pause
    assert fail() == {"failed": 1, "parked": 1}
    state = record.sync_state(bad).projections["embeddings"]
    assert (state.owed, state.parked) == (True, "too odd")
    status = record.status(30)["projections"]["embeddings"]
    assert (status["owed"], status["parked"], status["ready"]) == (1, 1, 1)
    record.update(bad, {"text": "better", "passages": ("better",)})
    assert {row[1] for row in everything(record, "embeddings")} == {bad, good}
    assert record.sync_state(bad).projections["embeddings"].parked is None
    assert fail(final=True) == {"failed": 1, "parked": 1}


def test_a_parked_row_is_not_claimed_however_long_ago_it_failed(record: RecordStore, settings: Settings) -> None:
    bad, good = saved(record, "bad", "good")
    number = everything(record, "embeddings")[0][2]
    record.fail("embeddings", [{"kind": "memory", "id": bad, "number": number, "error": "too odd", "final": True}], max_attempts=2)
    with engines.connect(settings) as connection:
        connection.execute("update memory.ledger set retry_at = now() - interval '1 day' where id = %s", [bad])
    assert [row[1] for row in everything(record, "embeddings")] == [good]
    assert record.claim("embeddings", refs=[Ref("memory", bad)], limit=10).rows == ()


def test_a_failure_of_an_older_debt_is_not_charged(record: RecordStore) -> None:
    (one,) = saved(record, "a")
    number = everything(record, "embeddings")[0][2]
    record.update(one, {"text": "b", "passages": ("b",)})
    late = [{"kind": "memory", "id": one, "number": number, "error": "x", "final": True}]
    assert record.fail("embeddings", late, max_attempts=1) == {"failed": 0, "parked": 0}


def test_an_id_that_a_repair_has_owed_may_still_be_saved(record: RecordStore) -> None:
    strange = item()
    record.owe([{"projection": "graph", "kind": "memory", "id": strange.id, "forced": 3}])
    assert record.save([strange])[0].outcome == "created"
    assert [row[1] for row in everything(record, "graph")] == [strange.id]


def test_shards_owe_every_row_once(record: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_OWED_AT_ONCE", 3)
    ids = saved(record, *(f"note {n}" for n in range(50)))
    rows = [{"id": id_, "number": number, "version": 1, "links": Links()} for _, id_, number in everything(record, "entities")]
    record.store_links(rows)
    assert everything(record, "entities") == []
    counts = [record.owe_shard("entities", shard, 7) for shard in range(7)]
    assert (sum(counts), max(counts) < 50) == (50, True)
    assert {row[1] for row in everything(record, "entities")} == set(ids)


def test_a_drain_belongs_to_one_holder_until_it_ends_or_stops_beating(record: RecordStore) -> None:
    assert record.begin_drain("graph", "one", lease_seconds=30)
    assert record.begin_drain("graph", "one", lease_seconds=30)
    assert not record.begin_drain("graph", "two", lease_seconds=30)
    assert record.begin_drain("entities", "two", lease_seconds=30)
    record.end_drain("graph", "two")  # not its own
    assert not record.begin_drain("graph", "two", lease_seconds=30)
    record.end_drain("graph", "one")
    assert record.begin_drain("graph", "two", lease_seconds=0.05)
    assert record.status(30)["projections"]["entities"]["draining"]
    engines.until(lambda: record.begin_drain("graph", "three", lease_seconds=30), "a holder that stopped beating holds nothing")


def test_of_many_that_begin_at_once_one_holds_the_drain(record: RecordStore) -> None:
    for turn in range(10):
        fences = engines.at_once(*[partial(record.begin_drain, "graph", f"{turn} {n}", lease_seconds=30) for n in range(4)])
        begun = [fence > 0 for fence in fences]
        assert sum(begun) == 1
        record.end_drain("graph", f"{turn} {begun.index(True)}")


def test_a_claim_renews_its_holders_lease(record: RecordStore) -> None:
    saved(record, "a")
    assert record.begin_drain("graph", "one", lease_seconds=0.3)
    record.claim("graph", refs=None, limit=1, owed_for_seconds=0, holder="one", lease_seconds=60)
    deadline = time.monotonic() + 0.4
    while time.monotonic() < deadline:
        assert not record.begin_drain("graph", "two", lease_seconds=30)


def test_the_names_of_an_extraction_are_compared_as_those_of_a_caller(record: RecordStore) -> None:
    (one,) = saved(record, "a")
    rows = [{"id": id_, "number": number, "version": 1} for _, id_, number in everything(record, "entities")]
    found = Links((EntityMention("St. Paul’s", "place"), EntityMention("st paul")))
    record.store_links([row | {"links": found} for row in rows])
    assert record.find_entity("default", "ST. PAUL'S", None)["entity"]["type"] == "place"
    assert record.counts()["mentions"] == 1
    assert not record.sync_state(one).projections["entities"].owed
