"""The record against its port, for audits: rounds, what was touched, what the ledger covers, verdicts, and what is known of one row.

It runs on every transport.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from uuid_utils import uuid7

from memory_pipelines.domain.models import EntityMention, Ref, RelationMention
from memory_pipelines.ports import RecordStore
from tests.contract.record.test_record import item
from tests.contract.record.test_repair import settle

LINKS = {"entities": (EntityMention("Ada", "person"), EntityMention("Ben", "person")), "relations": (RelationMention("Ada", "met", "Ben"),)}


def verdict(mode: str, *findings: dict[str, Any], **fields: Any) -> dict[str, Any]:
    said = {"mode": mode, "clean": not findings, "checked": {}, "pending": 0, "kinds": {}, "findings": [*findings], "seconds": 0.5}
    return said | {"repaired": 0, "started_at": None, "marker": None, "round": None} | fields


def finding(id_: str, kind: str = "missing", **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "store": "graph", "subject": "memory", "id": id_, "expected": None, "actual": None, "hint": {}} | fields


def test_a_deep_round_is_taken_up_where_it_was_and_ends_with_its_verdict(record: RecordStore) -> None:
    first = record.audit_begin("deep", resume=True)
    assert (first["resumed"], first["step"], first["findings"], first["base"]) == (False, None, [], None)
    progress = {"round": first["round"], "step": "graph", "place": "7", "tally": {"n": 1}}
    assert record.audit_progress(progress | {"findings": [{"id": "a"}]})
    assert record.audit_progress(progress | {"place": "9", "findings": [{"id": "b"}]})
    again = record.audit_begin("deep", resume=True)
    assert (again["resumed"], again["round"], again["place"], again["tally"]) == (True, first["round"], "9", {"n": 1})
    assert [row["id"] for row in again["findings"]] == ["a", "b"]
    other = record.audit_begin("deep", resume=False)
    assert (other["resumed"], other["round"] > first["round"], other["findings"]) == (False, True, [])
    assert not record.audit_progress(progress | {"findings": []}), "another one has begun"
    assert record.audit_progress(progress | {"round": other["round"], "findings": []})
    record.save_verdict(verdict("deep", marker=0, started_at=other["started_at"], round=other["round"]))
    assert not record.audit_begin("deep", resume=True)["resumed"]
    base = record.audit_begin("incremental", resume=False)["base"]
    assert (base["marker"], base["findings"], datetime.fromisoformat(base["started_at"])) == (
        0, [], datetime.fromisoformat(other["started_at"]),
    )  # fmt: skip
    assert record.audit_begin("quick", resume=False)["base"] is None


def test_verdicts_are_kept_with_what_they_cost_newest_first(record: RecordStore) -> None:
    kept = [
        record.save_verdict(verdict("quick", finding("x"), more=3)),
        record.save_verdict(verdict("deep", bytes=9, resumed=True)),
    ]
    newest, oldest = record.verdicts(5)
    assert [oldest["id"], newest["id"]] == [row["id"] for row in kept]
    assert (oldest["more"], oldest["bytes"], oldest["paused_seconds"], oldest["resumed"]) == (3, 0, 0, False)
    assert (newest["bytes"], newest["resumed"], newest["started_at"], newest["marker"]) == (9, True, None, None)
    assert [row["id"] for row in oldest["findings"]] == ["x"]
    (bare,) = record.verdicts(1, findings=False)
    assert bare == {name: value for name, value in newest.items() if name != "findings"}


def test_a_row_differs_since_it_was_first_named_until_a_verdict_that_looked_does_not_name_it(record: RecordStore) -> None:
    (saved,) = record.save([item("a")])
    settle(record)
    asked = {"store": "graph", "subject": "memory", "id": saved.id, "projection": "graph", "kind": "memory", "owner": saved.id}

    def since() -> str:
        (row,) = record.audit_context([asked])
        return str(row["since"])

    named = record.save_verdict(verdict("deep", finding(saved.id)))["at"]
    assert datetime.fromisoformat(since()) == datetime.fromisoformat(named)
    record.save_verdict(verdict("deep", finding(saved.id, since=named)))
    record.save_verdict(verdict("quick"))
    assert datetime.fromisoformat(since()) == datetime.fromisoformat(named), "a quick one does not look as closely"
    record.save_verdict(verdict("deep", more=1))
    assert datetime.fromisoformat(since()) == datetime.fromisoformat(named), "it did not keep all that it found"
    record.save_verdict(verdict("deep"))
    assert datetime.fromisoformat(since()) > datetime.fromisoformat(named)
    (row,) = record.audit_context([asked])
    assert (row["last_write"]["version"], row["last_write"]["revision"]) == (1, 1)
    assert (row["last_settlement"]["projection"], row["last_settlement"]["revision"]) == ("graph", 1)
    (unknown,) = record.audit_context([asked | {"id": "stray", "owner": None}])
    assert (unknown["last_write"], unknown["last_settlement"]) == (None, None)


def test_what_is_owed_or_was_settled_since_is_touched_and_nothing_else(record: RecordStore) -> None:
    (one,) = record.save([item("Ada met Ben.", **LINKS)])
    begun = record.audit_begin("quick", resume=False)
    entities = [record.find_entity("default", name, None)["entity"]["id"] for name in ("Ada", "Ben")]
    buckets = {
        kind: {row["props"]["bucket"] for row in record.audit_expected(kind, ids=ids)}
        for kind, ids in (("memory", [one.id]), ("entity", entities))
    }
    owed = record.audit_touched(marker=begun["marker"] + 1000, since=begun["started_at"])
    assert {kind: set(owed["buckets"][kind]) for kind in buckets} == buckets
    assert len(owed["buckets"]["relation"]) == 1
    assert owed["owners"] == []
    settle(record)
    later = record.audit_touched(marker=begun["marker"] + 1000, since=begun["started_at"])
    assert later["buckets"] == {"memory": [], "entity": [], "relation": []}
    assert record.audit_touched(marker=begun["marker"], since=begun["started_at"])["buckets"] == owed["buckets"]


def test_a_settlement_that_was_late_to_commit_is_touched_too(record: RecordStore) -> None:
    """A batch may be settled after one that came later, and a vector stored by a transaction that began before a round and ended after it
    began: both would be below where that round was, and no incremental round would ever look at them. Hence the margins."""
    early, late, old = (saved.id for saved in record.save([item("early"), item("late"), item("old")]))
    begun = record.audit_begin("quick", resume=False)
    for id_, marker in ((old, 1), (late, 500), (early, 450)):  # the batch of marker 450 settles last
        claim = record.claim("graph", refs=[Ref("memory", id_)], limit=1)
        row = {"kind": "memory", "id": id_, "number": claim.rows[0].number, "revision": 1, "version": 1, "marker": marker}
        record.settle_graph([row], claim=claim.claim, markers=[marker])
    assert record.status(30)["settled_marker"] == 500, "the highest that was ever settled"
    buckets = {id_: record.audit_expected("memory", ids=[id_])[0]["props"]["bucket"] for id_ in (early, old)}
    touched = record.audit_touched(marker=500, since=begun["started_at"])["buckets"]["memory"]
    assert buckets[early] in touched
    assert buckets[old] not in touched or buckets[old] == buckets[early], "what is far below is not looked at again"
    claim = record.claim("embeddings", refs=[Ref("memory", late)], limit=1)
    body = {"kind": "memory", "id": late, "number": claim.rows[0].number, "version": 1, "vectors": 1}
    record.store_embeddings([body], [[0.6, 0.8, 0.0]], generation=record.generation("toy", 3))
    began = datetime.fromisoformat(begun["started_at"])
    assert record.audit_touched(marker=500, since=(began + timedelta(seconds=30)).isoformat())["owners"] == [late]
    assert record.audit_touched(marker=500, since=(began + timedelta(hours=1)).isoformat())["owners"] == []


def test_coverage_names_what_the_record_does_not_know_a_page_at_a_time(record: RecordStore) -> None:
    known = sorted(result.id for result in record.save([item(str(n)) for n in range(5)]))
    stray = str(uuid7())
    record.owe([{"projection": "graph", "kind": "memory", "id": stray}])
    assert record.audit_coverage("memory", after=None, limit=10) == {"findings": [], "next": None}, "it claims nothing"
    settle(record)
    first = record.audit_coverage("memory", after=None, limit=3)
    assert (first["next"], first["findings"]) == (known[2], [])
    second = record.audit_coverage("memory", after=known[2], limit=3)
    (found,) = second["findings"]
    assert (second["next"], found["kind"], found["id"], found["actual"]["version"]) == (None, "without_subject", stray, 1)


def test_of_the_ledger_s_late_rows_the_oldest_thousand_are_named_and_the_rest_counted(record: RecordStore) -> None:
    ids = [str(uuid7()) for _ in range(1003)]
    record.owe([{"projection": "graph", "kind": "memory", "id": id_} for id_ in ids])
    (number,) = [row["number"] for row in record.repair_look([("graph", "memory", ids[0])])["rows"]]
    record.fail("graph", [{"kind": "memory", "id": ids[0], "number": number, "error": "graph_error: no", "final": True}], max_attempts=9)
    record.drop_dead([("graph", "memory", ids[0])])
    on_time = record.audit_ledger(budget_seconds=3600)
    assert (on_time["pending"], on_time["more"]) == (1002, {})
    assert [(row["kind"], row["id"]) for row in on_time["findings"]] == [("given_up", ids[0])]
    late = record.audit_ledger(budget_seconds=0)
    assert (late["pending"], late["more"], len(late["findings"])) == (0, {"owed_too_long": 3}, 1000)


def test_sums_of_some_buckets_come_by_leaf_or_whole(record: RecordStore) -> None:
    record.save([item("a"), item("b")])
    whole = record.audit_sums("memory")
    chosen = [row[0] for row in whole]
    assert sorted(record.audit_sums("memory", buckets=chosen, leaves=False)) == sorted(whole)
    assert {len(row) for row in record.audit_sums("memory", buckets=chosen)} == {5}


def test_a_row_is_explained_with_its_attempts_and_the_verdict_that_named_it(record: RecordStore) -> None:
    (saved,) = record.save([item("Ada met Ben.", key="met", **LINKS)])
    found = record.explain(saved.id)
    assert (found["kind"], found["links"], found["versions"], found["verdict"]) == ("memory", {"mentions": 2, "statements": 1}, [], None)
    assert {"text", "key"} & set(found["record"]) == set()
    assert record.explain(saved.id, text=True)["record"]["text"] == "Ada met Ben."
    assert [row["projection"] for row in found["ledger"]] == ["embeddings", "entities", "graph"]
    (number,) = [row["owed_number"] for row in found["ledger"] if row["projection"] == "graph"]
    for n in range(12):
        charge = {"kind": "memory", "id": saved.id, "number": number, "error": f"graph_error: {n}", "final": n == 11}
        assert record.fail("graph", [charge], max_attempts=100)["failed"] == 1
    attempts = record.explain(saved.id)["attempts"]
    assert [row["attempt"] for row in attempts] == list(range(3, 13))
    assert [row["outcome"] for row in attempts] == ["failed"] * 9 + ["parked"]
    assert attempts[-1]["error"] == "graph_error: 11"
    record.settle_graph(
        [{"kind": "memory", "id": saved.id, "number": number, "revision": 1, "version": 1, "marker": 1}], claim=1, markers=[1]
    )
    last = record.explain(saved.id)["attempts"][-1]
    assert (last["outcome"], last["attempt"], last["error"]) == ("settled", 12, None)
    entity = record.find_entity("default", "Ada", None)["entity"]["id"]
    told = record.explain(entity, text=True)
    assert (told["kind"], told["record"]["name"], told["record"]["type"], told["links"]) == ("entity", "Ada", "person", {"mentions": 1})
    record.save_verdict(verdict("deep", finding("x"), finding(f"{saved.id}#0", store="passages", subject="passage")))
    assert [row["id"] for row in record.explain(saved.id)["verdict"]["findings"]] == [f"{saved.id}#0"]
    unknown = record.explain("no uuid")
    assert (unknown["kind"], unknown["record"], unknown["ledger"], unknown["attempts"]) == ("unknown", None, [], [])
    assert unknown["newest_verdict"]["mode"] == "deep"
