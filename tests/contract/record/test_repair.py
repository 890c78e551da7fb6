"""The record against its port, for repairs: what a plan sees, what it owes, what is adopted, and the policy of a namespace.

It runs on every transport.
"""

from __future__ import annotations

from typing import Any

import pytest
from uuid_utils import uuid7

from memory_pipelines.domain.errors import Conflict, InvalidInput, NotFound
from memory_pipelines.domain.models import EntityMention, Links, RelationMention
from memory_pipelines.ports import RecordStore
from tests.contract.record.test_record import item

GIVEN = {"entities": (EntityMention("Ada", "person"), EntityMention("Ben", "person"))}


def identity(store: RecordStore) -> str:
    return str(store.health()["identity"])


def settle(store: RecordStore) -> None:
    """The graph has everything that is owed to it."""
    claim = store.claim("graph", refs=None, limit=1000, owed_for_seconds=0)
    done = [{"kind": row.kind, "id": row.id, "number": row.number, "revision": (row.state or {}).get("revision", 0)} for row in claim.rows]
    rows = [row | {"version": 1, "marker": claim.claim} for row in done]
    store.settle_graph(rows, claim=claim.claim, markers=[claim.claim])


def adopting(store: RecordStore, **fields: Any) -> tuple[str, dict[str, str]]:
    """A memory of Ada and Ben that the graph shows, in a namespace that adopts: its id, and the entities' ids by name."""
    (saved,) = store.save([item("Ada met Ben.", **(GIVEN | fields))])
    store.set_policy("default", "adopt")
    settle(store)
    names = {name: store.find_entity("default", name, None)["entity"]["id"] for name in ("Ada", "Ben")}
    return saved.id, names


def edit(id_: str, revision: int = 1, **fields: Any) -> dict[str, Any]:
    return {"change": "edit", "id": id_, "revision": revision, "fields": fields}


def asked(state: dict[str, Any], projection: str, kind: str, id_: str, **more: Any) -> dict[str, Any]:
    numbers = {name: state[name] for name in ("revision", "version", "settled_at", "number")}
    return {"action": "owe", "projection": projection, "kind": kind, "id": id_, **numbers, **more}


def shown(store: RecordStore, kind: str, id_: str) -> dict[str, Any]:
    (row,) = store.audit_expected(kind, ids=[id_])
    return row


def test_a_look_says_the_numbers_and_the_length_and_no_text(record: RecordStore) -> None:
    (saved,) = record.save([item("Ada met Ben.", **GIVEN)])
    entity = record.find_entity("default", "Ada", None)["entity"]["id"]
    unknown = str(uuid7())
    looked = record.repair_look([
        ("embeddings", "memory", saved.id), ("graph", "memory", saved.id), ("embeddings", "entity", entity), ("graph", "memory", unknown),
        ("graph", "memory", "no uuid"), ("graph", "stray", "strays"), ("entities", "memory", saved.id),
    ])  # fmt: skip
    assert looked["identity"] == identity(record)
    assert [row["characters"] for row in looked["rows"]] == [12, 0, 3, 0, 0, 0, 12]
    assert [row["known"] for row in looked["rows"]] == [True, True, True, False, False, False, True]
    assert all(row["number"] for row in looked["rows"] if row["known"])
    assert "Ada" not in str(looked)


def test_a_row_is_owed_once_the_same_and_refused_once_changed(record: RecordStore) -> None:
    (one,), (two,) = record.save([item("one")]), record.save([item("two")])
    settle(record)
    states = record.repair_look([("graph", "memory", one.id), ("graph", "memory", two.id)])["rows"]
    rows = [asked(state, "graph", "memory", id_, hint=None, forced=7) for state, id_ in zip(states, (one.id, two.id), strict=True)]
    record.update(two.id, {"metadata": {"n": 1}})
    assert record.repair(rows, identity=identity(record)) == ["owed", "refused"]
    claim = record.claim("graph", refs=None, limit=10, owed_for_seconds=0)
    assert {(row.id, row.forced) for row in claim.rows} == {(one.id, 7), (two.id, None)}
    settle(record)
    assert record.repair(rows, identity=identity(record)) == ["settled", "refused"]
    record.forget(ids=[one.id])
    assert record.repair(rows, identity=identity(record)) == ["refused", "refused"]


def test_more_rows_than_one_call_takes_come_back_in_order(record: RecordStore) -> None:
    ids = [str(uuid7()) for _ in range(1500)]
    states = record.repair_look([("graph", "memory", id_) for id_ in ids])["rows"]
    rows = [asked(state, "graph", "memory", id_) for state, id_ in zip(states, ids, strict=True)]
    rows[1200] |= {"revision": 4}
    assert [n for n, outcome in enumerate(record.repair(rows, identity=identity(record))) if outcome != "owed"] == [1200]


def test_a_ledger_row_goes_only_while_the_record_has_never_had_its_subject(record: RecordStore) -> None:
    (saved,) = record.save([item("a")])
    unknown = str(uuid7())
    record.owe([{"projection": "graph", "kind": "memory", "id": unknown}])
    states = record.repair_look([("graph", "memory", unknown), ("graph", "memory", saved.id)])["rows"]
    rows = [asked(state, "graph", "memory", id_, action="unledger") for state, id_ in zip(states, (unknown, saved.id), strict=True)]
    assert record.repair([rows[0] | {"number": 1}, rows[1]], identity=identity(record)) == ["refused", "refused"]
    assert record.repair(rows, identity=identity(record)) == ["unledgered", "refused"]
    assert record.repair_look([("graph", "memory", unknown)])["rows"][0]["number"] is None


def test_nothing_is_owed_for_another_record(record: RecordStore) -> None:
    (saved,) = record.save([item("a")])
    settle(record)
    (state,) = record.repair_look([("graph", "memory", saved.id)])["rows"]
    with pytest.raises(Conflict) as error:
        record.repair([asked(state, "graph", "memory", saved.id)], identity="another")
    assert error.value.code == "plan_foreign"
    assert record.repair_look([("graph", "memory", saved.id)])["rows"] == [state]


def test_nothing_is_adopted_for_another_record(record: RecordStore) -> None:
    _, names = adopting(record)
    with pytest.raises(Conflict) as error:
        record.adopt([edit(names["Ada"], summary="x")], identity="another")
    assert error.value.code == "plan_foreign"


def test_an_edit_is_a_new_revision_that_is_owed(record: RecordStore) -> None:
    _, names = adopting(record)
    before = shown(record, "entity", names["Ada"])["props"]
    answer = record.adopt([edit(names["Ada"], name="Countess", key="countess", aliases=["AL"], summary="S.")], identity=identity(record))
    assert answer["rows"] == [{"outcome": "adopted", "id": names["Ada"], "revision": 2}]
    assert [(ref.kind, ref.id) for ref in answer["touched"]] == [("entity", names["Ada"])]
    after = shown(record, "entity", names["Ada"])["props"]
    assert (after["name"], after["aliases"], after["summary"], after["revision"]) == ("Countess", ["AL"], "S.", 2)
    assert (before["dh"], before["dl"]) != (after["dh"], after["dl"])
    assert {"aliases", "summary"} & set(before) == set()
    looked = record.repair_look([("graph", "entity", names["Ada"]), ("embeddings", "entity", names["Ada"])])["rows"]
    assert all(row["number"] for row in looked)
    for name in ("Ada", "Countess"):
        assert record.find_entity("default", name, None)["entity"] == {"id": names["Ada"], "name": "Countess", "type": "person"}


def test_every_alias_and_the_summary_are_in_the_digest(record: RecordStore) -> None:
    _, names = adopting(record)
    digests = set()
    for n, fields in enumerate([{"aliases": ["a", "b"]}, {"aliases": ["b", "a"]}, {"aliases": ["ab"]}, {"aliases": []}, {"summary": "s"}]):
        record.adopt([edit(names["Ben"], n + 1, **fields)], identity=identity(record))
        props = shown(record, "entity", names["Ben"])["props"]
        digests.add((props["dh"], props["dl"]))
        settle(record)
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("name", "reason"), [("Ben", "name_taken"), ("ben", "name_taken")]
)  # fmt: skip
def test_a_name_of_another_entity_is_refused(record: RecordStore, name: str, reason: str) -> None:
    _, names = adopting(record)
    (row,) = record.adopt([edit(names["Ada"], name=name, key="ben")], identity=identity(record))["rows"]
    assert (row["outcome"], row["reason"]) == ("refused", reason)
    record.adopt([edit(names["Ben"], name="Benjamin", key="benjamin")], identity=identity(record))
    (row,) = record.adopt([edit(names["Ada"], name="Benjamin", key="benjamin")], identity=identity(record))["rows"]
    assert row["reason"] == reason
    assert shown(record, "entity", names["Ada"])["revision"] == 1


def test_an_edit_is_refused_when_the_record_moved_or_the_graph_never_had_it_or_the_record_wins(record: RecordStore) -> None:
    _, names = adopting(record)
    said = identity(record)
    assert record.adopt([edit(names["Ada"], 2, summary="x")], identity=said)["rows"][0]["reason"] == "changed"
    record.adopt([edit(names["Ada"], summary="x")], identity=said)
    assert record.adopt([edit(names["Ada"], 2, summary="y")], identity=said)["rows"][0]["reason"] == "changed", "it is owed"
    record.set_policy("default", "record-wins")
    assert record.adopt([edit(names["Ben"], summary="x")], identity=said)["rows"][0]["reason"] == "policy"


def test_an_addition_lives_without_a_memory_and_a_removal_is_respected_by_extraction_alone(record: RecordStore) -> None:
    memory, names = adopting(record)
    add = {
        "change": "add",
        "source": names["Ada"],
        "target": names["Ben"],
        "source_revision": 1,
        "target_revision": 1,
        "predicate": "knows",
    }
    (added,) = record.adopt([add], identity=identity(record))["rows"]
    assert added["outcome"] == "adopted"
    assert record.adopt([add], identity=identity(record))["rows"][0]["outcome"] == "held"
    settle(record)
    assert not shown(record, "relation", added["id"])["deleted"]

    said = Links(GIVEN["entities"], (RelationMention("Ada", "knows", "Ben"),))

    def extract() -> None:
        record.owe([{"projection": "entities", "kind": "memory", "id": memory}])
        (row,) = [row for row in record.claim("entities", refs=None, limit=10, owed_for_seconds=0).rows if row.id == memory]
        record.store_links([{"id": memory, "number": row.number, "version": 1, "links": said}])

    extract()
    settle(record)
    revision = shown(record, "relation", added["id"])["revision"]
    (removed,) = record.adopt([{"change": "remove", "id": added["id"], "revision": revision}], identity=identity(record))["rows"]
    assert removed["outcome"] == "adopted"
    settle(record)
    extract()
    assert shown(record, "relation", added["id"])["deleted"]
    record.save([item("Ben says so.", relations=(RelationMention("Ada", "knows", "Ben"),))])
    assert not shown(record, "relation", added["id"])["deleted"]
    extract()
    assert not shown(record, "relation", added["id"])["deleted"]


def test_with_the_last_memory_of_an_end_an_added_relation_goes_too(record: RecordStore) -> None:
    memory, names = adopting(record)
    add = {
        "change": "add",
        "source": names["Ada"],
        "target": names["Ben"],
        "source_revision": 1,
        "target_revision": 1,
        "predicate": "knows",
    }
    (added,) = record.adopt([add], identity=identity(record))["rows"]
    record.forget(ids=[memory])
    assert shown(record, "relation", added["id"])["deleted"]
    assert shown(record, "relation", added["id"])["owed_seconds"] is not None


def test_a_namespace_has_a_policy_and_only_of_two_kinds(record: RecordStore) -> None:
    record.save([item("a"), item("b", namespace="other")])
    assert record.policies() == {"default": "record-wins", "other": "record-wins"}
    record.set_policy("other", "record-wins")
    with pytest.raises(InvalidInput) as error:
        record.set_policy("other", "graph-wins")
    assert error.value.code == "policy_unknown"
    with pytest.raises(NotFound) as unknown:
        record.set_policy("nowhere", "record-wins")
    assert unknown.value.code == "namespace_unknown"
    assert record.policies() == {"default": "record-wins", "other": "record-wins"}


def test_the_policy_of_one_namespace_is_not_that_of_another(record: RecordStore) -> None:
    record.save([item("a"), item("b", namespace="other")])
    record.set_policy("other", "adopt")
    assert record.policies() == {"default": "record-wins", "other": "adopt"}
