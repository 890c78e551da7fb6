"""What an audit may say and when: what is on its way is no drift, an outage is no verdict, and parked rows can be put right."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from memory_pipelines import MemoryClient, wiring
from memory_pipelines.domain.errors import NotFound, Unavailable
from memory_pipelines.services.audit import comparison
from memory_pipelines.services.projections import graph
from tests import engines
from tests.integration import drift
from tests.integration.drift import World

ADA = {"name": "Ada", "type": "person"}
BEN = {"name": "Ben", "type": "person"}


def stored_verdicts(world: World) -> int:
    return int(world.value("select count(*) from memory.verdicts"))


# -- on its way ----------------------------------------------------------------------------------------------------------


def test_what_is_owed_for_less_than_the_budget_is_pending_and_no_finding(world: World) -> None:
    changed = world.client.update(world.memory("note-5"), entities=[BEN])
    forgotten = world.client.forget(world.memory("note-6"))
    fresh = world.client.save("Ben bought a boat.", entities=[BEN])
    owed = world.value("select count(*) from memory.ledger where owed_number is not null")
    assert owed > 4
    for deep in (False, True):
        verdict = world.client.audit(deep=deep)
        assert drift.findings(verdict) == []
        assert verdict.clean
        assert verdict.pending == owed
    world.client.sync()
    drift.agree(world)
    assert {changed.outcome, fresh.outcome} == {"updated", "created"}
    assert forgotten.forgotten == 1


def test_a_row_that_is_written_between_the_looks_is_looked_at_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph was read before the change, the record after it: that difference is nobody's fault, and it is not there any more."""
    changed = world.memory("note-5")
    looked = comparison._actual

    def written_meanwhile(*asked: Any) -> Any:
        rows = looked(*asked)
        if world.client.get(changed).version == 1:
            world.client.update(changed, metadata={"mood": "new"}, wait="graph")
        return rows

    monkeypatch.setattr(comparison, "_actual", written_meanwhile)
    findings, pending = comparison.confirm(world.platform, "memory", [(changed, None, None)])
    assert (findings, pending) == ([], set())
    assert world.client.get(changed).version == 2


def test_what_is_owed_for_longer_is_late_and_repairing_pays_it(world: World) -> None:
    late = wiring.open_platform(engines.settings_for(world.settings.home, sync_budget_seconds=0.001))
    client = MemoryClient(late)
    saved = client.save("Cleo is late.").id
    engines.until(lambda: not client.audit().clean, "the debt is late")
    verdict = client.audit()
    assert {(finding.kind, finding.subject, finding.id) for finding in verdict.findings} == {("owed_too_long", "memory", saved)}
    assert verdict.pending == 0
    assert client.audit(repair=True).clean
    client.close()
    drift.agree(world)


def test_an_edit_between_apply_and_settle_is_found(world: World) -> None:
    id_ = world.memory("note-7")
    world.client.update(id_, text="Note 7 again.")
    claim = world.platform.record.claim("graph", refs=None, limit=100, owed_for_seconds=0.0)
    batch = graph.build(world.platform, claim)
    rows = [row["write"] for row in batch.rows if row["target"] == "memory"]
    marker = world.platform.graph.apply("memory", rows, claim=claim.claim, issued=claim.issued, settled=claim.settled_marker).marker
    world.cypher("MATCH (m:Memory {id: $id}) SET m.dl = 3, m.created_at = 1", id=id_)
    paid = [{"kind": row.kind, "id": row.id, "number": row.number, "revision": 2, "version": 2, "marker": marker} for row in claim.rows]
    assert world.platform.record.settle_graph(paid, claim=claim.claim, markers=[marker or 0])["settled"] == len(rows) == 1
    world.client.sync()
    assert drift.findings(world.client.audit()) == [("edited", "graph", "memory", id_)]
    assert world.client.audit(repair=True).clean
    drift.agree(world)


def test_audits_while_others_write_and_drain_never_name_a_difference(world: World) -> None:
    stop = threading.Event()
    dice = random.Random(7)
    names = [f"Someone {n}" for n in range(12)]

    def write(client: MemoryClient) -> int:
        keys, written = [], 0
        while not stop.is_set():
            given = [{"name": name, "type": "person"} for name in dice.sample(names, 3)]
            met = [{"source": given[0]["name"], "predicate": "met", "target": given[1]["name"]}]
            key = dice.choice(keys) if keys and dice.random() < 0.6 else f"busy-{len(keys)}"
            if key not in keys:
                keys.append(key)
            written += 1
            if dice.random() < 0.2:
                with suppress(NotFound):  # it was to be the first under its key
                    client.forget(key=key)
            else:
                client.save(f"{written}: they met.", key=key, entities=given, relations=met, revive=True)
        return written

    def drain(client: MemoryClient) -> int:
        rounds = 0
        while not stop.is_set():
            client.sync()
            rounds += 1
        return rounds

    def audit(client: MemoryClient) -> int:
        end, audits = time.monotonic() + 8, 0
        try:
            while time.monotonic() < end:
                verdict = client.audit(deep=audits % 2 == 1)
                assert drift.findings(verdict) == []
                audits += 1
        finally:
            stop.set()
        return audits

    written, rounds, audits = engines.at_once(lambda: write(world.client), lambda: drain(world.client), lambda: audit(world.client))
    assert min(written, rounds, audits) > 5
    world.client.sync()
    drift.agree(world)


# -- could not look ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["graph_url", "database_url"])
@pytest.mark.parametrize("repair", [False, True])
def test_a_store_that_is_down_is_an_error_and_leaves_no_verdict(world: World, missing: str, repair: bool) -> None:
    nowhere = {"graph_url": "unix:///tmp/nobody-listens-here.sock", "database_url": "postgresql://nobody@127.0.0.1:1/none"}
    before = stored_verdicts(world)
    with (
        MemoryClient(wiring.open_platform(engines.settings_for(world.settings.home, **{missing: nowhere[missing]}))) as client,
        pytest.raises(Unavailable),
    ):
        client.audit(deep=repair, repair=repair)
    assert stored_verdicts(world) == before


def test_an_audit_needs_no_redis(world: World) -> None:
    with MemoryClient(
        wiring.open_platform(engines.settings_for(world.settings.home, redis_url="unix:///tmp/nobody-listens.sock"))
    ) as client:
        id_ = world.memory("note-8")
        world.cypher("MATCH (m:Memory {id: $id}) DETACH DELETE m", id=id_)
        assert ("settled_absent", "graph", "memory", id_) in drift.findings(client.audit())
        assert client.audit(repair=True).clean


def test_both_looks_of_a_repair_are_kept_as_verdicts(world: World) -> None:
    before = stored_verdicts(world)
    world.cypher("CREATE (:Memory {id: 'twice'})")
    verdict = world.client.audit(repair=True)
    kept = world.platform.record.verdicts(2)
    assert stored_verdicts(world) == before + 2
    assert [row["clean"] for row in kept] == [True, False]
    assert [row["repaired"] for row in kept] == [verdict.repaired, 0] == [1, 0]
    assert kept[1]["kinds"] == {"extra": 1}


# -- parked --------------------------------------------------------------------------------------------------------------


def test_a_write_to_a_memory_that_the_graph_is_ahead_of_is_parked_and_a_repair_puts_it_right(world: World) -> None:
    id_ = world.memory("note-9")
    world.cypher("MATCH (m:Memory {id: $id}) SET m.revision = 70, m.dl = 1", id=id_)
    world.client.update(id_, text="Note 9, another time.")
    world.client.sync()
    state = world.client.sync_state(id_).projections["graph"]
    assert "ahead" in (state.parked or "")
    assert drift.findings(world.client.audit()) == [("ahead", "graph", "memory", id_), ("parked", "ledger", "memory", id_)]
    assert world.client.audit(repair=True).clean
    drift.agree(world)


def test_rows_spread_over_all_buckets_and_leaves(world: World) -> None:
    """The first twelve bits of an id's sha256, then eight: any shift that swallows another would show in fewer buckets."""
    rows = world.sql.execute(
        "select id, bucket, leaf from memory.memories union all select id, bucket, leaf from memory.entities"
    ).fetchall()
    assert len(rows) > 20
    for id_, bucket, leaf in rows:
        bits = int.from_bytes(hashlib.sha256(id_.bytes).digest()[:3], "big")
        assert (bucket, leaf) == (bits >> 12, bits >> 4 & 255)
