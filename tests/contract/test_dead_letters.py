"""What is parked, against the record's port: charged, listed, released only by a change or on purpose, given up; on every transport."""

from __future__ import annotations

from typing import Any

import pytest

from memory_pipelines.domain.errors import Conflict
from memory_pipelines.domain.models import EntityMention, Lease, Links, Ref, RelationMention
from memory_pipelines.ports import RecordStore
from tests import engines
from tests.contract.record.test_record import everything, saved


def park(record: RecordStore, projection: str, id_: str, **fields: Any) -> None:
    """As a drain does: claim, and charge with what was seen."""
    claim = record.claim(projection, refs=None, limit=1000, owed_for_seconds=0)
    (row,) = [row for row in claim.rows if row.id == id_]
    state = row.state or {}
    charge = {"kind": row.kind, "id": id_, "number": row.number, "error": "too odd", "code": "odd", "final": True, "tokens": 7}
    charged = record.fail(projection, [charge | {"revision": state["revision"], "version": state["version"]} | fields], max_attempts=3)
    assert charged["failed"] == 1


def letters(record: RecordStore, **asked: Any) -> list[tuple[str, str]]:
    return [(row["projection"], row["id"]) for row in record.dead_letters(limit=1000, **asked)["letters"]]


def test_a_dead_letter_says_why_when_how_often_and_at_what_cost(record: RecordStore) -> None:
    bad, _ = saved(record, "bad", "good")
    row = next(row for row in record.claim("embeddings", refs=None, limit=9, owed_for_seconds=0).rows if row.id == bad)
    charge = {
        "kind": "memory",
        "id": bad,
        "number": row.number,
        "error": "too odd",
        "code": "odd",
        "final": False,
        "version": 1,
        "tokens": 5,
    }
    for _ in range(3):
        record.fail("embeddings", [charge], max_attempts=3)
    (letter,) = record.dead_letters(limit=10)["letters"]
    assert (letter["attempts"], letter["tokens_spent"], letter["code"], letter["reason"]) == (3, 15, "odd", "too odd")
    assert letter["first_failed_at"] < letter["last_failed_at"]
    assert (letter["namespace"], letter["dropped_at"]) == ("default", None)


def test_only_a_change_of_what_failed_releases_a_row(record: RecordStore) -> None:
    (one,) = saved(record, "a")
    park(record, "embeddings", one)
    park(record, "graph", one)
    record.update(one, {"metadata": {"mood": "odd"}})  # another revision, the same text
    assert letters(record) == [("embeddings", one)]
    assert [row[1] for row in everything(record, "graph")] == [one]
    record.update(one, {"text": "b", "passages": ("b",)})
    assert letters(record) == []
    assert [row[1] for row in everything(record, "embeddings")] == [one]


def test_a_row_that_waits_to_be_tried_again_keeps_its_attempts_while_its_text_stays(record: RecordStore) -> None:
    (one,) = saved(record, "a")
    park(record, "entities", one, final=False)
    record.update(one, {"metadata": {"mood": "odd"}})
    assert everything(record, "entities") == [], "its pause is not over"
    record.update(one, {"text": "b", "passages": ("b",)})
    assert [row[1] for row in everything(record, "entities")] == [one]


def test_a_repair_a_rebuild_and_a_retry_release_on_purpose(record: RecordStore) -> None:
    one, other = saved(record, "a", "b")
    for release in (
        lambda: record.owe([{"projection": "embeddings", "kind": "memory", "id": one}]),
        lambda: record.owe_shard("embeddings", 0, 1),
        lambda: record.retry_dead(letters=[("embeddings", "memory", one), ("embeddings", "memory", other)], limit=10),
        lambda: record.retry_dead(projection="embeddings", limit=10),
        lambda: record.retry_dead(limit=10),
    ):
        park(record, "embeddings", one)
        assert letters(record) == [("embeddings", one)]
        release()
        assert letters(record) == []
        assert {row[1] for row in everything(record, "embeddings")} == {one, other}


def test_a_retry_releases_what_is_named_and_nothing_beside_it(record: RecordStore) -> None:
    one, other = saved(record, "a", "b")
    park(record, "embeddings", one)
    park(record, "embeddings", other)
    park(record, "graph", one)
    assert record.retry_dead(letters=[("embeddings", "memory", one)], limit=10)["retried"] == 1
    assert letters(record) == [("graph", one), ("embeddings", other)]
    assert record.retry_dead(projection="graph", limit=10)["retried"] == 1
    assert letters(record) == [("embeddings", other)]
    assert record.retry_dead(limit=10)["retried"] == 1


def test_a_dropped_row_stays_parked_and_audits_name_it_until_it_is_retried_by_name(record: RecordStore) -> None:
    (one,) = saved(record, "a")
    park(record, "graph", one)
    name = ("graph", "memory", one)
    assert record.drop_dead([name, ("graph", "memory", "nobody")]) == 1
    state = record.status(30)
    assert (state["projections"]["graph"]["parked"], state["projections"]["graph"]["dropped"]) == (0, 1)
    assert [row["kind"] for row in record.audit_ledger(budget_seconds=30)["findings"] if row["id"] == one] == ["given_up"]
    assert record.retry_dead(limit=10)["retried"] == 0, "all means all that nobody dropped"
    assert everything(record, "graph") == []
    assert record.retry_dead(letters=[name], limit=10)["retried"] == 1
    park(record, "graph", one)
    assert record.dead_letters(limit=10)["letters"][0]["dropped_at"] is None


def test_only_what_is_parked_can_be_dropped(record: RecordStore) -> None:
    (one,) = saved(record, "a")
    assert record.drop_dead([("graph", "memory", one)]) == 0
    assert [row[1] for row in everything(record, "graph")] == [one]


def test_dead_letters_come_a_page_at_a_time(record: RecordStore) -> None:
    ids = saved(record, *"abcde")
    for id_ in ids:
        park(record, "embeddings", id_)
    seen, after = [], 0
    while after is not None:
        page = record.dead_letters(limit=2, after=after)
        seen += [row["id"] for row in page["letters"]]
        after = page["next"]
    assert seen == ids
    assert letters(record, id=ids[2]) == [("embeddings", ids[2])]
    assert letters(record, projection="graph") == []


def test_an_entry_is_parked_once_however_often_it_comes(record: RecordStore) -> None:
    event = {"entry": "1-1", "payload": '{"v": "9"}', "problem": "unknown"}
    assert record.park_events("graph", [event]) == 1
    assert record.park_events("graph", [event, event | {"payload": "{}"}]) == 1, "a stream that starts over counts anew"
    assert record.park_events("entities", [event]) == 1
    assert record.status(30)["dead_events"] == 3
    first, second = record.dead_events(projection="graph", limit=10)["events"]
    assert (first["entry"], first["payload"], first["problem"]) == ("1-1", '{"v": "9"}', "unknown")
    assert record.dead_events(limit=1)["next"] == first["id"]
    assert record.drop_events([first["id"], second["id"], 12345]) == 2
    assert record.status(30)["dead_events"] == 1


GIVEN = Links((EntityMention("Ada", "person"), EntityMention("Porto", "place")), (RelationMention("Ada", "lives_in", "Porto"),))


@pytest.mark.parametrize("way", ["nothing changed", "its metadata changed", "its text changed", "accepted", "accepted for this one"])
def test_an_extraction_that_finds_nothing_where_the_same_text_gave_links(record: RecordStore, way: str) -> None:
    (one,) = saved(record, "Ada lives in Porto.")
    ((_, _, number),) = everything(record, "entities")
    assert record.store_links([{"id": one, "number": number, "version": 1, "links": GIVEN}])["emptied"] == []
    record.owe_shard("entities", 0, 1)
    version = 1
    if "changed" in way and way != "nothing changed":
        change = {"metadata": {"a": 1}} if "metadata" in way else {"text": "Nobody.", "passages": ("Nobody.",)}
        version = record.update(one, change).version
    if way == "accepted for this one":
        park(record, "entities", one)
        record.retry_dead(letters=[("entities", "memory", one)], limit=1, accept_empty=True)
    ((_, _, number),) = everything(record, "entities")
    empty = {"id": one, "number": number, "version": version, "links": Links()}
    answer = record.store_links([empty], accept_empty=way == "accepted")
    kept = way in ("nothing changed", "its metadata changed")
    assert (answer["emptied"], answer["stored"], answer["superseded"]) == ([one] if kept else [], 0 if kept else 1, 0)
    assert record.counts()["mentions"] == (2 if kept else 0)
    assert record.sync_state(one).projections["entities"].owed is kept


def test_who_has_lost_the_lease_charges_nothing(record: RecordStore) -> None:
    (id_,) = saved(record, "late")
    late = Lease("entities", record.begin_drain("entities", "slept", lease_seconds=0.01))
    (row,) = record.claim("entities", refs=[Ref("memory", id_)], limit=10).rows
    engines.until(lambda: record.begin_drain("entities", "awake", lease_seconds=30), "the lease has run out")
    charge = {"kind": row.kind, "id": row.id, "number": row.number, "error": "It was late.", "final": True}
    with pytest.raises(Conflict) as refused:
        record.fail("entities", [charge], max_attempts=5, lease=late)
    assert refused.value.code == "lease_lost"
    assert record.dead_letters(limit=10)["letters"] == []
