"""Entities that are merged and taken apart, against the record's port: what is shown, what stays of the names; on every transport.

Must stay out: what a graph shows of it, crashes and whole histories (`tests/integration/test_aliases.py`).
"""

from __future__ import annotations

import pytest
from uuid_utils import uuid7

from memory_pipelines.domain.errors import Conflict, InvalidInput, NotFound
from memory_pipelines.domain.models import EntityMention, MemoryInput, RelationMention
from memory_pipelines.ports import RecordStore


def say(record: RecordStore, *names: str, knows: tuple[tuple[str, str], ...] = ()) -> str:
    """Save a memory that names people, and who knows whom. Returns its id."""
    entities = tuple(EntityMention(name, "person") for name in names)
    relations = tuple(RelationMention(source, "knows", target) for source, target in knows)
    item = MemoryInput(id=str(uuid7()), text="A note.", passages=("A note.",), entities=entities, relations=relations)
    return record.save([item])[0].id


def shown(record: RecordStore) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(memory, name) of every mention and (source, target) of every relation that projections must show."""
    rows = {kind: record.audit_expected(kind, buckets=(0, 4096)) for kind in ("entity", "mention", "relation")}
    names = {row["id"]: row["props"]["name"] for row in rows["entity"]}
    mentions = [(row["source"], names[row["target"]]) for row in rows["mention"]]
    relations = [(names[row["source"]], names[row["target"]]) for row in rows["relation"]]
    assert len(set(mentions)) == len(mentions) == record.counts()["mentions"] == sum(row[1] for row in record.audit_sums("mention"))
    assert len(set(relations)) == len(relations) == sum(row[1] for row in record.audit_sums("relation"))
    claimed = {row.id: row.state for row in record.claim("graph", refs=None, limit=1000, owed_for_seconds=0).rows if row.kind == "memory"}
    for id_ in {memory for memory, _ in mentions}:
        said = {part.split(" ")[0] for part in (claimed[id_] or {})["mentions"].split(";")}
        assert {names[entity] for entity in said} == {name for memory, name in mentions if memory == id_}
    return set(mentions), set(relations)


def test_a_merge_is_shown_and_can_be_taken_back_exactly(record: RecordStore) -> None:
    both = say(record, "Bob", "Robert", "Cleo", knows=(("Bob", "Cleo"), ("Robert", "Cleo")))
    one = say(record, "Bob")
    before = shown(record)
    merged = record.merge_entities("default", "bob", "Robert", by="mara")
    assert (merged.outcome, merged.entity, merged.alias, merged.memories) == ("merged", "Robert", "Bob", 2)
    assert shown(record) == ({(both, "Robert"), (both, "Cleo"), (one, "Robert")}, {("Robert", "Cleo")})
    assert record.merge_entities("default", "Bob", "Robert", by=None).outcome == "unchanged"
    found = record.entity("default", "Bob", limit=10)
    assert (found.name, found.mentions, [(row.name, row.merged_into, row.merged_by) for row in found.aliases]) == (
        "Robert", 2, [("Bob", "Robert", "mara")],
    )  # fmt: skip
    assert {(row.memory, row.name) for row in found.memories} == {(both, "Bob"), (both, "Robert"), (one, "Bob")}
    record.unmerge_entity("default", "Bob")
    assert shown(record) == before
    assert record.aliases("default", limit=10) == ()


def test_what_names_an_alias_brings_back_what_it_is_shown_as(record: RecordStore) -> None:
    anchor = say(record, "Bob", "Robert", "Cleo")
    first = say(record, "Robert", "Cleo", knows=(("Robert", "Cleo"),))
    record.merge_entities("default", "Bob", "Robert", by=None)
    record.forget(ids=[first])
    assert shown(record) == ({(anchor, "Robert"), (anchor, "Cleo")}, set())
    later = say(record, "Bob", "Cleo", knows=(("Bob", "Cleo"),))
    assert shown(record)[1] == {("Robert", "Cleo")}, "the relation was forgotten, and is stated again by another name"
    record.unmerge_entity("default", "Bob")
    assert shown(record)[1] == {("Bob", "Cleo")}
    assert (later, "Bob") in shown(record)[0]


def test_a_chain_moves_with_its_end(record: RecordStore) -> None:
    ids = {name: say(record, name) for name in ("Ada", "Ben", "Cleo")}
    record.merge_entities("default", "Ada", "Ben", by=None)
    record.merge_entities("default", "Ben", "Cleo", by=None)
    assert shown(record)[0] == {(id_, "Cleo") for id_ in ids.values()}
    (first, second) = record.aliases("default", limit=10)
    assert [(row.name, row.merged_into, row.entity) for row in (first, second)] == [("Ada", "Ben", "Cleo"), ("Ben", "Cleo", "Cleo")]
    assert record.aliases("default", limit=10, after=(first.merged_at.isoformat(), first.id)) == (second,)
    record.unmerge_entity("default", "Ben")
    assert shown(record)[0] == {(ids["Ada"], "Ben"), (ids["Ben"], "Ben"), (ids["Cleo"], "Cleo")}


def test_names_live_as_long_as_a_memory_says_them(record: RecordStore) -> None:
    own, other = say(record, "Robert"), say(record, "Bob")
    record.merge_entities("default", "Bob", "Robert", by=None)
    record.forget(ids=[own, other])
    assert [(row.name, row.type) for row in record.aliases("default", limit=10)] == [(None, None)]
    again = say(record, "Bob")
    assert shown(record)[0] == {(again, "Bob")}, "what was decided holds, under the one name that is known"
    later = say(record, "Robert")
    assert shown(record)[0] == {(again, "Robert"), (later, "Robert")}


def test_a_borrowed_name_is_given_back_when_no_memory_says_it_any_more(record: RecordStore) -> None:
    first = say(record, "Ada", "Ben", "Cora")
    record.merge_entities("default", "Ben", "Ada", by=None)
    record.merge_entities("default", "Cora", "Ada", by=None)
    record.forget(ids=[first])
    ben, cora = say(record, "Ben"), say(record, "Cora")
    assert shown(record)[0] == {(ben, "Ben"), (cora, "Ben")}, "woken by an alias, it is called so until its own name comes"
    record.forget(ids=[ben])
    assert shown(record)[0] == {(cora, "Cora")}
    ben = say(record, "Ben")
    assert shown(record)[0] == {(cora, "Cora"), (ben, "Cora")}
    record.unmerge_entity("default", "Ben")
    ada = say(record, "Ada")
    assert shown(record)[0] == {(cora, "Ada"), (ada, "Ada"), (ben, "Ben")}


@pytest.mark.parametrize(("source", "target", "error", "code"), [
    ("Ben", "ben", InvalidInput, "entity_merged_with_itself"), ("Ben", "Ada", InvalidInput, "entity_merged_with_itself"),
    ("Ada", "Cleo", Conflict, "entity_is_alias"), ("Far", "Ben", NotFound, "entity_unknown"), ("Ben", "Far", NotFound, "entity_unknown"),
])  # fmt: skip
def test_what_cannot_be_merged_changes_nothing(
    record: RecordStore, source: str, target: str, error: type[Conflict | InvalidInput | NotFound], code: str
) -> None:
    say(record, "Ada", "Ben", "Cleo")
    record.merge_entities("default", "Ada", "Ben", by=None)
    before = shown(record), record.aliases("default", limit=10)
    with pytest.raises(error) as raised:
        record.merge_entities("default", source, target, by=None)
    assert raised.value.code == code
    with pytest.raises(NotFound) as missing:
        record.unmerge_entity("default", "Ben")
    assert missing.value.code == "alias_unknown"
    assert (shown(record), record.aliases("default", limit=10)) == before
