"""Repair by plan: read first, refused row by row where the record has moved on, harmless twice, proven at its end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memory_pipelines.domain.errors import Conflict, InvalidInput, NotFound
from memory_pipelines.domain.plans import RepairPlan, read_plan
from memory_pipelines.services.repair import planning as repair_planning
from tests.integration import drift
from tests.integration.drift import World

GONE = "MATCH (m:Memory {id: $id}) DETACH DELETE m"


def broken(world: World, *keys: str) -> list[str]:
    """Memories that the graph has lost."""
    ids = [world.memory(key) for key in keys]
    for id_ in ids:
        world.cypher(GONE, id=id_)
    return ids


def plan(world: World, **how: Any) -> RepairPlan:
    """A plan that went through its file, and holds no word of any memory."""
    made = world.client.plan_repair(**how)
    text = made.as_text()
    for word in ("harbour", "Porto", "Ada", "met", "wrote"):
        assert f'"{word}' not in text
        assert f" {word} " not in text
    assert read_plan(text) == made
    return made


def test_a_plan_writes_nothing_and_says_what_why_and_how_many(world: World) -> None:
    broken(world, "note-1", "note-2")
    world.sql.execute("delete from memory.embeddings where kind = 'memory' and id = %s", [world.memory("note-3")])
    before = world.dump()
    made = plan(world)
    assert world.dump() == before
    assert {(line.what, line.rows, line.projections) for line in made.summary} == {
        ("owe graph memory", 2, ("graph",)), ("owe embeddings memory", 1, ("embeddings",)),
    }  # fmt: skip
    assert (made.tokens, made.money) == (0, 0.0), "local models cost nothing"
    result = world.client.repair(made)
    assert (result.outcomes, result.clean, result.findings, result.pending) == ({"owed": 3}, True, (), 0)
    assert result.checked > 3
    drift.agree(world)
    kept = world.platform.record.verdicts(1)[0] if world.client.audit() else {}
    assert kept["clean"]


def test_the_end_of_a_repair_is_kept_as_a_verdict_of_the_touched_rows(world: World) -> None:
    broken(world, "note-1")
    made = plan(world)
    world.client.repair(made)
    (kept,) = world.platform.record.verdicts(1)
    assert (kept["mode"], kept["clean"], kept["repaired"]) == ("repair", True, 1)


def test_a_row_whose_record_has_moved_on_is_refused_and_nothing_of_it_changed(world: World) -> None:
    one, other = broken(world, "note-4", "note-5")
    made = plan(world)
    world.client.update(one, metadata={"n": 1})  # owed: but not by the repair
    owed = world.row("select owed_number, forced, hint from memory.ledger where projection = 'graph' and kind = 'memory' and id = %s", one)
    outcomes = world.platform.record.repair(
        [
            row.model_dump(include={"action", "projection", "kind", "id", "revision", "version", "settled_at", "number"})
            for row in made.rows
        ],
        identity=made.identity,
    )
    assert {row.id: outcome for row, outcome in zip(made.rows, outcomes, strict=True)} == {one: "refused", other: "owed"}
    assert (
        world.row("select owed_number, forced, hint from memory.ledger where projection = 'graph' and kind = 'memory' and id = %s", one)
        == owed
    )
    result = world.client.repair(made)
    assert (result.outcomes, result.clean) == ({"refused": 1, "owed": 1}, True)
    assert [(row["id"], row["outcome"]) for row in result.rows] == [(one, "refused")]
    assert "changed" in result.rows[0]["reason"]
    world.client.sync()
    drift.agree(world)


def test_a_forgotten_or_newly_known_subject_is_refused(world: World) -> None:
    (gone,) = broken(world, "note-6")
    unknown = drift.unknown()
    world.cypher("CREATE (:Memory {id: $id, revision: 3})", id=unknown)
    made = plan(world)
    assert {row.id for row in made.rows} == {gone, unknown}
    world.client.forget(gone)
    world.client.save("It has come after all.", id=unknown)
    result = world.client.repair(made)
    assert result.outcomes == {"refused": 2}
    world.client.sync()
    world.client.audit(repair=True)
    drift.agree(world)


def test_applied_twice_a_plan_does_nothing_the_second_time(world: World) -> None:
    broken(world, "note-7", "note-8")
    world.cypher("CREATE (:Memory {id: $id})", id=drift.unknown())
    world.sql.execute("delete from memory.embeddings where kind = 'memory' and id = %s", [world.memory("note-9")])
    made = plan(world)
    first = world.client.repair(made)
    assert (first.outcomes, first.clean) == ({"owed": 4}, True)
    numbers = world.value("select last_value from memory.owings")
    second = world.client.repair(made)
    assert second.clean
    assert second.outcomes.get("settled", 0) >= 3
    assert world.value("select last_value from memory.owings") <= numbers + 1, "what the record never had leaves no trace to go by"
    drift.agree(world)


def test_a_repaired_stranger_leaves_no_ledger_row(world: World) -> None:
    unknown = drift.unknown()
    world.cypher("CREATE (:Memory {id: $id, revision: 3}) CREATE (:Memory {text: 'no id'})", id=unknown)
    result = world.client.repair(plan(world))
    assert (result.outcomes, result.clean) == ({"owed": 2}, True)
    assert world.value("select count(*) from memory.ledger where id in (%s, 'strays')", unknown) == 0
    drift.agree(world)


def test_a_plan_of_the_newest_verdict_names_what_still_differs(world: World) -> None:
    one, other = broken(world, "note-1", "note-2")
    unknown = drift.unknown()
    world.cypher("CREATE (:Memory {id: $id})", id=unknown)
    assert not world.client.audit(deep=True).clean
    world.client.update(one, metadata={"n": 2})
    world.client.sync()
    made = plan(world, last=True)
    assert {row.id for row in made.rows} == {other, unknown}
    assert world.client.repair(made).clean
    drift.agree(world)
    assert plan(world, last=True).rows == ()


def test_a_verdict_that_does_not_keep_all_it_found_makes_no_plan(world: World) -> None:
    broken(world, "note-1")
    world.client.audit(deep=True)
    world.sql.execute("update memory.verdicts set kinds = '{\"missing\": 5000}' where id = (select max(id) from memory.verdicts)")
    with pytest.raises(Conflict) as error:
        world.client.plan_repair(last=True)
    assert error.value.code == "verdict_truncated"
    assert world.client.audit(deep=True, repair=True).clean


def test_without_an_audit_there_is_no_last_verdict(world: World) -> None:
    world.sql.execute("delete from memory.verdicts")
    with pytest.raises(NotFound) as error:
        world.client.plan_repair(last=True)
    assert error.value.code == "verdict_missing"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"format": "something-else"}, "plan_invalid"), ({"format_version": 2}, "plan_version_unknown"), ({"rows": "none"}, "plan_invalid"),
        ({"rows": [{"action": "burn"}]}, "plan_invalid"), ({"more": 1}, "plan_invalid"), ({"identity": None}, "plan_invalid"),
    ],
)  # fmt: skip
def test_what_is_no_plan_is_refused_with_a_code(world: World, changes: dict[str, Any], code: str) -> None:
    text = json.dumps(json.loads(world.client.plan_repair(deep=False).as_text()) | changes)
    with pytest.raises(InvalidInput) as error:
        read_plan(text)
    assert error.value.code == code
    for nonsense in ("", "{", "[]", "null", "\x00", '{"format": "memory-pipelines/repair-plan"}'):
        with pytest.raises(InvalidInput):
            read_plan(nonsense)


def test_a_plan_of_another_record_is_refused_whole(world: World) -> None:
    broken(world, "note-1")
    made = plan(world)
    foreign = made.model_copy(update={"identity": "somebody-elses"})
    before = world.dump()
    with pytest.raises(Conflict) as error:
        world.client.repair(foreign)
    assert error.value.code == "plan_foreign"
    with pytest.raises(Conflict):
        world.platform.record.repair([{"action": "owe", "projection": "graph", "kind": "memory", "id": "x"}], identity="somebody-elses")
    assert world.dump() == before
    assert world.client.repair(made).clean


def test_a_ledger_row_without_a_subject_is_removed(world: World) -> None:
    from memory_pipelines.domain.models import Finding

    unknown = drift.unknown()
    world.sql.execute(
        "insert into memory.ledger (projection, kind, id, settled_revision, settled_at) values ('graph', 'memory', %s, 1, now())", [unknown]
    )
    finding = Finding("without_subject", "ledger", "memory", unknown, None, None, {"projection": "graph"})
    made = repair_planning.make(world.platform, [finding], "deep")
    assert [row.action for row in made.rows] == ["unledger"]
    assert world.client.repair(made).outcomes == {"unledgered": 1}
    assert world.value("select count(*) from memory.ledger where id = %s", unknown) == 0
    assert world.client.repair(made).outcomes == {"settled": 1}


def test_a_repair_that_is_not_clean_says_so(world: World) -> None:
    """Somebody destroys again what is being repaired: the edge to a node that the record does not own."""
    (id_,) = broken(world, "note-1")
    made = plan(world)
    rows = tuple(row.model_copy(update={"look": (*row.look, ("memory", world.memory("note-2"), None, None))}) for row in made.rows)
    world.cypher(GONE, id=world.memory("note-2"))
    result = world.client.repair(made.model_copy(update={"rows": rows}))
    assert not result.clean
    assert {finding.id for finding in result.findings} == {world.memory("note-2")}
    assert id_ != world.memory("note-2")
    assert world.client.audit(repair=True).clean


def test_money_is_counted_where_a_model_has_a_price_and_unknown_where_not(world: World) -> None:
    ids = [world.memory("note-1"), world.memory("note-2")]
    world.sql.execute("delete from memory.embeddings where kind = 'memory' and id = any (%s::uuid[])", [ids])
    verdict = world.client.audit(deep=True)
    characters = sum(world.value("select sum(length(text)) from memory.passages where memory_id = %s", id_) for id_ in ids)
    settings = world.settings.model_copy(update={"embedder": "openai", "embedder_price": 0.02})
    assert repair_planning.estimate(settings, "embeddings", characters) == -(-characters // 4)
    assert repair_planning.estimate(world.settings, "embeddings", characters) == 0
    world.platform.settings = settings  # type: ignore[misc]  # only the estimate is asked of them
    try:
        priced = repair_planning.make(world.platform, verdict.findings, "deep")
        world.platform.settings = settings.model_copy(update={"embedder_price": None})  # type: ignore[misc]
        unpriced = repair_planning.make(world.platform, verdict.findings, "deep")
    finally:
        world.platform.settings = world.settings  # type: ignore[misc]
    assert characters / 4 <= priced.tokens < characters / 4 + 2
    assert priced.money == pytest.approx(priced.tokens * 0.02 / 1_000_000)
    assert (unpriced.tokens, unpriced.money) == (priced.tokens, None)
    assert world.client.repair(unpriced).clean
