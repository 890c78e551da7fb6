"""What `explain` tells of one row, in real stores, and what an attempt costs that never fails: nothing."""

from __future__ import annotations

import json

import pytest

from memory_pipelines.domain.errors import InvalidInput, NotFound
from memory_pipelines.domain.models import as_json
from tests.integration.drift import World, unknown


def fail(world: World, id_: str, times: int, *, final: bool = False) -> None:
    """Charge failures of one row to the graph's ledger, as a drain does."""
    for n in range(times):
        number = world.value("select owed_number from memory.ledger where projection = 'graph' and id = %s", id_)
        charge = {"kind": "memory", "id": id_, "number": number, "error": f"graph_error: the {n}th time", "final": final}
        assert world.platform.record.fail("graph", [charge], max_attempts=100)["failed"] == 1


def test_a_memory_is_explained_from_its_first_write_to_its_last_verdict(world: World) -> None:
    id_ = world.memory("moved")
    found, links = world.client.explain(id_), len(world.mentions(memory=id_))
    assert found.kind == "memory"
    assert found.record is not None
    assert (found.record["version"], found.record["revision"], found.record["mentions"]) == (2, 3, links)
    (node,) = found.stores["graph"]
    assert (node["revision"], node["dh"], node["dl"]) == (found.record["revision"], found.record["dh"], found.record["dl"])
    assert [vector["version"] for vector in found.stores["embeddings"]] == [2]
    assert [passage["version"] for passage in found.stores["passages"]] == [2]
    assert {row["projection"] for row in found.ledger} == {"entities", "embeddings", "graph"}
    assert found.attempts == found.dead_letter == ()
    times = [event["at"] for event in found.events]
    assert times == sorted(times)
    assert [event["what"] for event in found.events][:2] == ["created", "updated"]
    assert [event["what"] for event in found.events].count("settled") == 3


def test_it_says_no_word_that_a_person_wrote_unless_it_is_asked(world: World) -> None:
    id_, ada, (met, _, _) = world.memory("moved"), world.entity("Ada"), world.relation("Ada", "met", "Ben")
    for subject, words in ((id_, ["Porto", "moved"]), (ada, ["Ada"]), (met, ["met"])):
        silent, told = (json.dumps(as_json(world.client.explain(subject, text=text)), default=str) for text in (False, True))
        assert [word for word in words if f'"{word}"' in silent or f" {word} " in silent] == []
        assert [word for word in words if word not in told] == []


def test_entities_and_relations_are_explained_too(world: World) -> None:
    ada, (met, source, target) = world.entity("Ada"), world.relation("Ada", "met", "Ben")
    entity, relation = world.client.explain(ada), world.client.explain(met)
    assert (entity.kind, relation.kind) == ("entity", "relation")
    assert {row["projection"] for row in entity.ledger} == {"embeddings", "graph"}
    assert [vector["passage"] for vector in entity.stores["embeddings"]] == [0]
    assert entity.record is not None
    assert relation.record is not None
    assert entity.record["mentions"] > 3
    assert (relation.record["source"], relation.record["target"]) == (source, target)
    for found in (entity, relation):
        (node,) = found.stores["graph"]
        assert found.record is not None
        assert (node["revision"], node["dl"]) == (found.record["revision"], found.record["dl"])


def test_what_failed_is_told_with_the_last_ten_attempts_and_the_settlement_that_ended_them(world: World) -> None:
    id_ = world.memory("note-1")
    world.client.update(id_, text="Note 1, once more.")
    fail(world, id_, 12)
    found = world.client.explain(id_)
    assert [attempt["attempt"] for attempt in found.attempts] == list(range(3, 13))
    assert {attempt["outcome"] for attempt in found.attempts} == {"failed"}
    assert found.attempts[-1]["error"] == "graph_error: the 11th time"
    fail(world, id_, 1, final=True)
    parked = world.client.explain(id_)
    assert [row["projection"] for row in parked.dead_letter] == ["graph"]
    assert parked.attempts[-1]["outcome"] == "parked"
    assert [event["what"] for event in parked.events][-1] == "parked"
    world.sql.execute("update memory.ledger set parked_at = null, retry_at = null where id = %s", [id_])
    world.client.sync()
    settled = world.client.explain(id_)
    assert (settled.attempts[-1]["outcome"], settled.attempts[-1]["attempt"], len(settled.attempts)) == ("settled", 13, 10)
    assert settled.dead_letter == ()


def test_a_row_that_never_fails_leaves_no_trace_among_the_attempts(world: World) -> None:
    before = world.value("select count(*) from memory.attempts")
    world.client.save("A smooth one.", entities=[{"name": "Ada"}])
    world.client.sync()
    assert world.value("select count(*) from memory.attempts") == before


def test_what_an_audit_named_is_told_with_the_verdict(world: World) -> None:
    id_, ada = world.memory("note-2"), world.entity("Ada")
    world.cypher("MATCH (m:Memory {id: $id}) SET m.revision = 0, m.dl = 1", id=id_)
    world.sql.execute("update memory.embeddings set version = 0 where id = %s", [ada])
    world.client.audit()
    for subject, kind in ((id_, "stale"), (ada, "stale")):
        found = world.client.explain(subject)
        assert found.finding is not None
        assert [finding["kind"] for finding in found.finding["findings"]] == [kind]
        assert found.finding["mode"] == "quick"
        assert "named by an audit" in {event["what"] for event in found.events}
    assert world.client.explain(id_).stores["graph"][0]["revision"] == 0
    assert world.client.audit(repair=True).clean


def test_what_only_a_store_knows_is_explained_as_unknown_to_the_record(world: World) -> None:
    ghost, foreign = unknown(), "it's nobody's"
    for id_ in (ghost, foreign):
        world.cypher("CREATE (:Memory {id: $id, revision: 4})", id=id_)
        found = world.client.explain(id_)
        assert (found.kind, found.record) == ("unknown", None)
        assert found.stores["graph"][0]["revision"] == 4
    assert world.client.audit(repair=True).clean


def test_a_forgotten_memory_is_explained_by_its_numbers(world: World) -> None:
    found = world.client.explain(world.tombstone("memories"), text=True)
    assert found.record is not None
    assert found.record["deleted_at"] is not None
    assert found.record["text"] is None
    assert found.stores["embeddings"] == []
    assert "forgotten" in {event["what"] for event in found.events}


def test_an_id_that_nobody_knows_is_an_error(world: World) -> None:
    with pytest.raises(NotFound) as error:
        world.client.explain(unknown())
    assert error.value.code == "subject_unknown"
    with pytest.raises(InvalidInput):
        world.client.explain("")
