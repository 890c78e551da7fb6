"""The record in memory: it has every function that the SQL has, and a call that fails leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from uuid_utils import uuid7

from memory_pipelines.domain.errors import Conflict, InvalidInput
from memory_pipelines.domain.models import EntityMention, MemoryInput
from memory_pipelines.stores.memory import tables
from memory_pipelines.stores.memory.record import FUNCTIONS, WITHOUT, MemoryFunctions
from memory_pipelines.stores.postgres.examine import expected_functions
from memory_pipelines.stores.postgres.store import PostgresRecord


@pytest.fixture
def record() -> Iterator[PostgresRecord]:
    name = f"memory://{uuid7()}"
    yield PostgresRecord(MemoryFunctions(name))
    tables.forget(name)


def test_every_function_of_the_sql_has_its_twin() -> None:
    assert set(FUNCTIONS) | WITHOUT.keys() == expected_functions()
    assert not set(FUNCTIONS) & WITHOUT.keys()


def item(**fields: object) -> MemoryInput:
    return MemoryInput(**{"id": str(uuid7()), "text": "A note.", "passages": ("A note.",), **fields})  # type: ignore[arg-type]  # by name


def test_a_batch_that_is_refused_half_way_leaves_no_row_no_index_and_no_debt(record: PostgresRecord) -> None:
    record.save([item(key="z", text="Before.")])
    ada = (EntityMention("Ada", "person"),)
    with pytest.raises(Conflict) as error:
        record.save([item(key="a", namespace="new", entities=ada), item(key="z", text="After."), item(id_given=True, key="z")])
    assert (error.value.code, error.value.detail["index"]) == ("key_conflict", 2)
    assert record.namespaces() == ["default"]
    assert [memory.text for memory in record.page({"namespace": "default", "limit": 9})] == ["Before."]
    assert len(record.claim("graph", refs=None, limit=9, owed_for_seconds=0).rows) == 1
    assert record.counts()["entities"] == 0
    assert record.save([item(key="a", namespace="new", entities=ada)])[0].outcome == "created"  # its key was given back


def test_nothing_that_a_caller_holds_is_the_record_s_own(record: PostgresRecord) -> None:
    metadata = {"list": [1]}
    (result,) = record.save([item(metadata=metadata)])
    metadata["list"].append(2)
    record.get(id=result.id).metadata["list"].append(3)
    assert record.get(id=result.id).metadata == {"list": [1]}


@pytest.mark.parametrize("text", ["a\x00b", "\\\x00"])
def test_what_postgres_cannot_hold_is_refused(record: PostgresRecord, text: str) -> None:
    with pytest.raises(InvalidInput) as error:
        record.save([item(text=text)])
    assert error.value.code == "value_invalid"
    assert record.save([item(text="\\u0000 is no zero")])[0].outcome == "created"


def test_records_of_one_name_are_one_and_of_another_are_not(record: PostgresRecord) -> None:
    (result,) = record.save([item()])
    name = f"memory://{uuid7()}"
    other = PostgresRecord(MemoryFunctions(name))
    assert other.namespaces() == []
    assert other.health()["identity"] != record.health()["identity"]
    tables.forget(name)
    assert record.get(id=result.id).text == "A note."
