"""How a round goes: incremental from the last one, resumed after a kill, bounded, aside while the queue lags; what a verdict keeps."""

from __future__ import annotations

import json
import threading

import pytest

from memory_pipelines import MemoryClient
from memory_pipelines.services.audit import comparison
from memory_pipelines.services.audit import findings as audit_findings
from memory_pipelines.services.audit import round as audit_round
from tests import engines
from tests.integration import drift, faults
from tests.integration.drift import World

LOST = "MATCH (m:Memory {id: $id}) DETACH DELETE m"
DEEP_PAGES = 10  # of a world this small: a page for each of four kinds, vectors, three of the ledger; and then the debts


def lost(world: World, key: str) -> str:
    """A memory that is gone from the graph, its mentions with it."""
    id_ = world.memory(key)
    world.cypher(LOST, id=id_)
    return id_


def named(world: World, id_: str) -> bool:
    """Whether the newest stored verdict names a memory of the graph."""
    (newest,) = world.platform.record.verdicts(1)
    return any(found["id"] == id_ and found["store"] == "graph" for found in newest["findings"])


def long_ago(world: World) -> None:
    """Everything was settled long before the last audit."""
    world.sql.execute("update memory.ledger set settled_marker = settled_marker - 1000, settled_at = settled_at - interval '1 hour'")


# -- incremental ---------------------------------------------------------------------------------------------------------


def test_an_incremental_round_finds_what_drifted_where_something_was_written(world: World) -> None:
    long_ago(world)
    assert world.client.audit().clean
    id_ = world.memory("note-1")
    world.client.update(id_, text="Note 1, rewritten.")
    world.client.sync()
    lost(world, "note-1")
    world.sql.execute("delete from memory.embeddings where id = %s", [id_])
    verdict = world.client.audit(incremental=True)
    assert verdict.mode == "incremental"
    assert {("settled_absent", "graph", "memory", id_), ("missing", "embeddings", "embedding", f"{id_}#0")} <= set(drift.findings(verdict))
    assert 0 < verdict.checked["memory"] < world.client.audit().checked["memory"]
    assert world.client.audit(repair=True).clean
    drift.agree(world)


def test_what_drifts_where_nothing_was_written_is_found_by_the_next_full_round(world: World) -> None:
    long_ago(world)
    assert world.client.audit().clean
    assert set(world.client.audit(incremental=True).checked.values()) == {0}
    id_ = lost(world, "note-2")
    assert world.client.audit(incremental=True).clean
    assert ("settled_absent", "graph", "memory", id_) in drift.findings(world.client.audit())
    assert world.client.audit(repair=True).clean


def test_an_incremental_round_does_not_forget_what_the_last_one_found(world: World) -> None:
    id_ = lost(world, "note-3")
    world.sql.execute("delete from memory.ledger where projection = 'entities' and id = %s", [world.memory("note-4")])
    world.cypher("CREATE (:Memory)")
    full, again, third = world.client.audit(), world.client.audit(incremental=True), world.client.audit(incremental=True)
    assert ("settled_absent", "graph", "memory", id_) in drift.findings(full)
    assert {finding.kind for finding in full.findings} == {"settled_absent", "unledgered", "extra"}
    assert drift.findings(again) == drift.findings(third) == drift.findings(full)
    assert again.counts == full.counts
    assert world.client.audit(repair=True).clean
    assert world.client.audit(incremental=True).clean
    drift.agree(world)


def test_the_first_audit_of_all_is_a_full_one_whatever_is_asked(world: World) -> None:
    world.sql.execute("delete from memory.verdicts")
    verdict = world.client.audit(incremental=True)
    assert verdict.mode == "quick"
    assert world.client.audit(incremental=True).mode == "incremental"
    world.sql.execute("update memory.verdicts set marker = marker + 1000000")  # as of a record that was rolled back since
    assert world.client.audit(incremental=True).mode == "quick"


# -- resumed -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", range(1, DEEP_PAGES - 1))
def test_a_deep_audit_that_was_killed_goes_on_where_it_stopped_and_finds_everything(world: World, page: int) -> None:
    """Drift in every step, killed after each of its pages: the resumed audit names exactly what an uninterrupted one names."""
    seeded(world)
    expected = drift.findings(world.client.audit(deep=True))
    before = int(world.value("select count(*) from memory.verdicts"))
    faults.killed_at(world.settings, f"audit.page:{page}", "client.audit(deep=True)")
    assert int(world.value("select count(*) from memory.verdicts")) == before
    step, place, kept = world.row("select step, place, jsonb_array_length(findings) from memory.audit_rounds")
    assert (step, place) == (audit_round._STEPS[page], None)
    resumed = world.client.audit(deep=True, resume=True)
    assert resumed.resumed
    assert drift.findings(resumed) == expected
    assert sum(resumed.counts.values()) == len(expected) >= kept > 0
    assert resumed.checked["memory"] > 0
    assert world.value("select count(*) from memory.audit_rounds") == 0
    assert not world.client.audit(deep=True, resume=True).resumed  # nothing was left to resume
    assert world.client.audit(deep=True, repair=True).clean
    drift.agree(world)


def test_what_was_put_right_while_a_deep_audit_lay_dead_is_not_reported_by_it(world: World) -> None:
    id_ = lost(world, "note-6")
    faults.killed_at(world.settings, "audit.page:3", "client.audit(deep=True)")
    assert world.client.audit(repair=True).clean
    resumed = world.client.audit(deep=True, resume=True)
    assert resumed.resumed
    assert resumed.clean, drift.findings(resumed)
    assert id_


def test_a_deep_audit_that_is_not_told_to_resume_begins_anew(world: World) -> None:
    faults.killed_at(world.settings, "audit.page:2", "client.audit(deep=True)")
    verdict = world.client.audit(deep=True)
    assert (verdict.resumed, verdict.clean) == (False, True)
    assert world.value("select count(*) from memory.audit_rounds") == 0


def test_a_verdict_is_kept_before_anybody_is_told(world: World) -> None:
    id_ = lost(world, "note-7")
    faults.killed_at(world.settings, "audit.kept", "client.audit(deep=True)")
    assert named(world, id_)
    assert not world.client.audit(deep=True, resume=True).resumed
    assert world.client.audit(repair=True).clean


def test_two_deep_audits_at_once_both_come_to_the_end(world: World) -> None:
    id_ = lost(world, "note-8")
    one, other = engines.at_once(lambda: world.client.audit(deep=True), lambda: world.client.audit(deep=True))
    assert drift.findings(one) == drift.findings(other)
    assert ("settled_absent", "graph", "memory", id_) in drift.findings(one)
    assert world.client.audit(repair=True).clean


def seeded(world: World) -> None:
    """Something wrong in every step of a round."""
    lost(world, "note-1")
    world.cypher("MATCH (e:Entity {id: $id}) SET e.name = 'Eve'", id=world.entity("Ada"))
    world.cypher("MATCH (:Memory {id: $id})-[n:MENTIONS]->() SET n.quote = 'x'", id=world.memory("note-2"))
    relation, source, target = world.relation("Ada", "met", "Ben")
    world.cypher("MATCH ({id: $s})-[n:RELATES_TO {id: $r}]->({id: $t}) DELETE n", s=source, r=relation, t=target)
    world.sql.execute("delete from memory.embeddings where id = %s", [world.memory("note-3")])
    world.sql.execute("delete from memory.ledger where kind = 'memory' and id = %s", [world.memory("note-4")])
    world.cypher("CREATE (:Memory)")


# -- bounded -------------------------------------------------------------------------------------------------------------


def test_a_verdict_names_so_many_rows_and_counts_the_rest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_findings, "KEPT", 12)
    monkeypatch.setattr(audit_findings, "STORED", 5)
    monkeypatch.setattr("memory_pipelines.services.audit.audit.STORED", 5)
    world.cypher("MATCH (n:Memory) DETACH DELETE n")
    memories = int(world.value("select count(*) from memory.memories where deleted_at is null"))
    mentions = int(world.value("select count(*) from memory.mentions"))
    for deep in (False, True):
        verdict = world.client.audit(deep=deep)
        assert (len(verdict.findings), verdict.more) == (12, memories + mentions - 12)
        assert verdict.kinds() == {"settled_absent": memories + mentions}
        (kept,) = world.platform.record.verdicts(1)
        assert (len(kept["findings"]), kept["more"], kept["kinds"]) == (5, memories + mentions - 5, verdict.kinds())
        assert "findings" not in world.client.audits(1)[0]
    repaired = world.client.audit(repair=True)  # as often as it takes
    assert repaired.clean
    assert repaired.repaired >= memories
    drift.agree(world)


def test_pages_hold_so_many_rows_whatever_differs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a page of one row, each bucket is a page of its own: the findings are the same, none twice and none lost."""
    monkeypatch.setattr(comparison, "_GROUP_ROWS", 1)
    monkeypatch.setattr(comparison, "_CELLS", 1)
    monkeypatch.setattr(comparison, "_PAGE_ROWS", 1)
    monkeypatch.setattr(audit_round, "_OWNERS", 3)
    monkeypatch.setattr(audit_round, "_SUBJECTS", 3)
    seeded(world)
    world.cypher("MATCH (m:Memory {id: $id}) SET m.bucket = (m.bucket + 9) % 4096, m.dl = 3", id=world.memory("note-5"))
    small = world.client.audit()
    pages = [page for kind in comparison.KINDS for page in comparison.quick(world.platform, kind)]
    assert len(pages) > 8
    assert max(len(page.candidates) for page in pages) < 10
    monkeypatch.undo()
    whole = world.client.audit()
    assert drift.findings(small) == drift.findings(whole)
    assert small.checked == whole.checked
    assert world.client.audit(deep=True, repair=True).clean
    drift.agree(world)


# -- aside while the queue lags ------------------------------------------------------------------------------------------


def test_an_audit_stands_aside_while_a_drain_is_behind_and_goes_on_in_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_round, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(audit_round, "_PAUSE_SECONDS", 0.01)
    settings = engines.settings_for(world.settings.home, audit_pause_seconds=0.05)
    with MemoryClient.from_env(settings) as client:
        assert client.audit().paused_seconds == 0.0
        saved = client.save("Late.").id
        world.sql.execute("update memory.ledger set owed_since = now() - interval '1 hour' where owed_number is not null")
        assert client.audit().paused_seconds == 0.0  # nobody works on it: waiting would not help
        assert world.platform.record.begin_drain("graph", "somebody", lease_seconds=60)
        verdict = client.audit()
        assert verdict.paused_seconds == pytest.approx(0.05)
        assert ("owed_too_long", "ledger", "memory", saved) in drift.findings(verdict)
        assert client.audits(1)[0]["paused_seconds"] == pytest.approx(0.05)
        world.platform.record.end_drain("graph", "somebody")
    world.client.sync()
    drift.agree(world)


def test_an_audit_goes_on_as_soon_as_the_drain_has_caught_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_round, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(audit_round, "_PAUSE_SECONDS", 0.01)
    world.client.save("Late, and then not.")
    world.sql.execute("update memory.ledger set owed_since = now() - interval '1 hour' where owed_number is not null")
    assert world.platform.record.begin_drain("graph", "somebody", lease_seconds=60)
    verdicts = []
    audit = threading.Thread(target=lambda: verdicts.append(world.client.audit()))
    audit.start()
    assert audit.is_alive()
    world.platform.record.end_drain("graph", "somebody")
    world.client.sync()
    audit.join(30)
    (verdict,) = verdicts
    assert verdict.paused_seconds < 60
    drift.agree(world)


# -- what is said --------------------------------------------------------------------------------------------------------


def test_a_finding_says_since_when_and_what_was_last_written_and_settled(world: World) -> None:
    id_ = world.memory("moved")
    world.cypher("MATCH (m:Memory {id: $id}) SET m.revision = 1, m.dl = 1", id=id_)
    first = world.client.audit()
    (one,) = first.findings
    assert one.last_write is not None
    assert one.last_settlement is not None
    version, revision, marker = world.row(
        "select m.version, m.revision, l.settled_marker from memory.memories m"
        " join memory.ledger l on l.id = m.id::text and l.projection = 'graph' where m.id = %s",
        id_,
    )
    assert (one.last_write["version"], one.last_write["revision"]) == (version, revision)
    settled = {name: one.last_settlement[name] for name in ("projection", "revision", "version", "marker")}
    assert settled == {"projection": "graph", "revision": revision, "version": version, "marker": marker}
    assert one.last_write["at"] < one.last_settlement["at"]
    assert one.since is not None
    assert first.started_at is not None
    assert first.started_at <= one.since
    for deep in (False, True):
        (again,) = world.client.audit(deep=deep).findings
        assert again.since == one.since
    assert world.client.audit(incremental=True).findings[0].since == one.since
    assert world.client.audit(repair=True).clean
    world.cypher("MATCH (m:Memory {id: $id}) SET m.revision = 1, m.dl = 1", id=id_)
    (later,) = world.client.audit().findings
    assert later.since is not None
    assert later.since > one.since  # it was in step in between
    assert world.client.audit(repair=True).clean


def test_a_row_that_was_put_right_while_others_differ_begins_anew(world: World) -> None:
    first, other = lost(world, "note-1"), lost(world, "note-2")
    before = {finding.id: finding.since for finding in world.client.audit().findings}
    world.platform.record.owe([{"projection": "graph", "kind": "memory", "id": first}])
    world.client.sync()
    assert first not in {finding.id for finding in world.client.audit().findings}
    lost(world, "note-1")
    after = {finding.id: finding.since for finding in world.client.audit().findings}
    assert after[other] == before[other]
    assert (after[first] or 0) > (before[first] or 0)  # type: ignore[operator]
    assert world.client.audit(repair=True).clean


def test_what_was_edited_keeps_its_time_from_one_deep_audit_to_the_next(world: World) -> None:
    """The quick ones in between do not see it, and end nothing."""
    world.cypher("MATCH (m:Memory {id: $id}) SET m.created_at = 1", id=world.memory("note-1"))
    (one,) = world.client.audit(deep=True).findings
    assert world.client.audit().clean
    assert world.client.audit(incremental=True).clean
    (again,) = world.client.audit(deep=True).findings
    assert again.since == one.since
    assert world.client.audit(deep=True, repair=True).clean


def test_entities_and_relations_have_a_last_write_too(world: World) -> None:
    ada, (met, source, target) = world.entity("Ada"), world.relation("Ada", "met", "Ben")
    world.cypher("MATCH (e:Entity {id: $id}) SET e.dl = 1", id=ada)
    world.cypher("MATCH ({id: $s})-[n:RELATES_TO {id: $r}]->({id: $t}) DELETE n", s=source, r=met, t=target)
    world.sql.execute("update memory.embeddings set version = 0 where id = %s", [ada])
    found = {(finding.store, finding.subject): finding for finding in world.client.audit().findings}
    assert set(found) == {("graph", "entity"), ("graph", "relation"), ("embeddings", "embedding")}
    for finding in found.values():
        assert finding.last_write is not None
        assert finding.last_settlement is not None
        assert finding.last_write["at"] is not None
        assert finding.last_settlement["projection"] == finding.store
    assert world.client.audit(repair=True).clean


def test_a_verdict_says_what_it_cost_and_holds_no_word_that_a_person_wrote(world: World) -> None:
    verdict = world.client.audit(deep=True)
    assert verdict.bytes > 10_000
    assert world.client.audit().bytes > 1000
    assert world.client.audits(1)[0]["bytes"] > 1000
    assert verdict.at is not None
    world.cypher("MATCH (e:Entity {id: $id}) SET e.name = 'Quetzalcoatl'", id=world.entity("Ada"))
    faults.killed_at(world.settings, "audit.page:4", "client.audit(deep=True)")
    for column, table in (("findings", "audit_rounds"), ("findings", "verdicts")):
        stored = json.dumps([row[0] for row in world.sql.execute(f"select {column} from memory.{table}").fetchall()])
        assert "Quetzalcoatl" not in stored
        assert "Ada" not in stored
    assert world.client.audit(deep=True, resume=True).findings[0].actual == {"name": "Quetzalcoatl"}
    assert world.client.audit(deep=True, repair=True).clean
