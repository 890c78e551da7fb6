"""The record against its port: errors that survive the transport, vectors, verdicts.

To add a transport, add a line to `records.TRANSPORTS`: the same assertions must hold for it. What is owed: `test_ledger.py`.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest
from uuid_utils import uuid7

from memory_pipelines import Settings
from memory_pipelines.domain.errors import ConfigurationError, Conflict, Gone, InvalidInput, NotFound, Unavailable
from memory_pipelines.ports import RecordStore
from memory_pipelines.stores.postgres.psycopg_transport import PsycopgTransport
from memory_pipelines.stores.postgres.rpc_transport import RpcTransport
from memory_pipelines.stores.postgres.store import PostgresRecord
from tests import engines
from tests.contract.debts import everything, item, saved


def answers(record: RecordStore) -> bool:
    try:
        return record.namespaces() == []
    except Unavailable:
        return False


# -- transport ---------------------------------------------------------------------------------------------------------


def test_an_update_whose_answer_was_lost_may_be_sent_again(record: RecordStore) -> None:
    (id_,) = saved(record, "First.")
    change = {"text": "Second.", "passages": ("Second.",)}
    first = record.update(id_, change, expected_version=1)
    assert (first.outcome, first.version) == ("updated", 2)
    again = record.update(id_, change, expected_version=1)  # as a transport does that has not heard the first one's end
    assert (again.outcome, again.version) == ("unchanged", 2)
    for other, expected in (({"text": "Third.", "passages": ("Third.",)}, 1), (change, 5)):
        with pytest.raises(Conflict) as error:
            record.update(id_, other, expected_version=expected)
        assert error.value.code == "version_conflict"
    record.update(id_, {"text": "Third.", "passages": ("Third.",)}, expected_version=2)
    with pytest.raises(Conflict):
        record.update(id_, change, expected_version=1)
    assert record.get(id=id_).version == 3


def test_an_error_keeps_its_code_its_detail_and_its_kind(record: RecordStore) -> None:
    unknown = str(uuid7())
    with pytest.raises(NotFound) as error:
        record.get(id=unknown)
    assert (error.value.code, error.value.detail["id"], error.value.retryable) == ("memory_unknown", unknown, False)
    gone = saved(record, "x")[0]
    record.forget(ids=[gone])
    with pytest.raises(Gone) as late:
        record.get(id=gone)
    assert (late.value.code, late.value.detail["id"]) == ("memory_forgotten", gone)


def test_a_function_that_is_not_there_says_to_migrate(record: RecordStore) -> None:
    with pytest.raises(ConfigurationError) as error:
        record._transport.call("memory_tomorrow_v9", {})  # type: ignore[attr-defined]  # below the port on purpose
    assert error.value.code == "schema_outdated"


def test_a_task_or_value_that_makes_no_sense_is_invalid(record: RecordStore) -> None:
    with pytest.raises(InvalidInput) as error:
        record.maintain("dance", limit=1)
    assert error.value.code == "task_unknown"
    with pytest.raises(InvalidInput):
        record.get(id="no uuid")


def test_an_id_that_is_none_is_invalid_also_where_no_row_is_looked_at(record: RecordStore, settings: Settings) -> None:
    """Of a table that is known to be empty, kept plans read it whole, and would never come to the id."""
    with engines.connect(settings) as connection:
        connection.execute("vacuum analyze memory.memories")
    for _ in range(8):  # from the sixth on, the plan is kept
        with pytest.raises(NotFound):
            record.get(id=str(uuid7()))
    with pytest.raises(InvalidInput):
        record.get(id="no uuid")


def test_a_value_that_the_record_cannot_read_is_invalid(record: RecordStore) -> None:
    saved(record, "a")
    for after in (["yesterdayish", str(uuid7())], ["2026-01-01T00:00:00+00:00", "no uuid"], ["99999-01-01T25:00:00Z", str(uuid7())]):
        with pytest.raises(InvalidInput) as error:
            record.page({"namespace": "default", "limit": 1, "after": after})
        assert error.value.code == "value_invalid"


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03", "53300"])
def test_what_may_succeed_the_next_time_is_tried_again_and_not_for_ever(record: RecordStore, settings: Settings, state: str) -> None:
    with engines.connect(settings) as connection:
        connection.execute("create sequence memory.tries")  # keeps counting when a transaction is undone
        connection.execute(
            f"""create or replace function public.memory_namespaces_v1(input text) returns jsonb
            language plpgsql security definer as $$ begin
              if nextval('memory.tries') in (3, 9) then return '["at last"]'; end if;
              raise exception using errcode = '{state}', message = 'not now';
            end $$"""
        )
        assert record.namespaces() == ["at last"]
        with pytest.raises(Unavailable) as error:
            record.namespaces()
        assert (error.value.code, error.value.retryable) == ("record_unavailable", True)
        assert connection.execute("select last_value from memory.tries").fetchone() == (8,)  # five tries more


def test_texts_and_numbers_come_back_as_they_went(record: RecordStore) -> None:
    text = "“Zoë” said: \\n is no line.\n\tThis is 😀 — and \u2028 too. '; drop table x; --"
    metadata = {"big": 2**53 - 1, "small": -0.25, "deep": {"list": [1, None, True, "1"]}, "": "", "ключ": "值", "long": "x" * 10_000}
    (result,) = record.save([item(text, metadata=metadata, namespace="ünï/cödé", key="a?b&c=d#e")])
    found = record.get(key="a?b&c=d#e", namespace="ünï/cödé")
    assert (found.id, found.text, found.metadata) == (result.id, text, metadata)
    assert record.namespaces() == ["ünï/cödé"]


def test_more_threads_than_connections_are_served(record: RecordStore) -> None:
    results = engines.at_once(*[partial(saved, record, f"note {n}") for n in range(40)])
    assert len({ids[0] for ids in results}) == 40


def test_connections_that_the_server_cut_are_replaced(record: RecordStore, settings: Settings, transport: str) -> None:
    engines.at_once(*[lambda: record.namespaces()] * 5)
    with engines.connect(settings) as connection:
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and usename is not null")
    if transport == "rest":  # the light server itself may die of it, and is started again
        engines.until(lambda: answers(record), "the server has replaced its own", 20)
    assert engines.at_once(*[lambda: record.namespaces()] * 5) == [[]] * 5


def test_a_record_that_is_not_there_is_unavailable_soon(transport: str) -> None:
    store = PostgresRecord(
        PsycopgTransport("postgresql://postgres:hunter2@127.0.0.1:1/memory", timeout=0.3)
        if transport == "psycopg"
        else RpcTransport("http://127.0.0.1:1", "sb_secret_hunter2", timeout=0.3)
    )
    started = time.monotonic()
    with pytest.raises(Unavailable) as error:
        store.namespaces()
    assert (error.value.code, error.value.retryable) == ("record_unavailable", True)
    assert "hunter2" not in error.value.message
    assert time.monotonic() - started < 2.5  # it waited for a connection once, not once a try
    store.close()


# -- embeddings --------------------------------------------------------------------------------------------------------


def embed(record: RecordStore, generation: int, rows: list[tuple[str, str, int]], version: int, vector: list[float]) -> dict[str, Any]:
    body = [{"kind": kind, "id": id_, "number": number, "version": version, "vectors": 1} for kind, id_, number in rows]
    return dict(record.store_embeddings(body, [vector for _ in rows], generation=generation))


def test_a_generation_is_made_once_and_another_model_is_refused(record: RecordStore) -> None:
    assert len(set(engines.at_once(*[lambda: record.generation("toy", 3)] * 6))) == 1
    for model, dimensions in (("toy", 4), ("other", 3)):
        with pytest.raises(Exception, match="embedder") as error:
            record.generation(model, dimensions)
        assert getattr(error.value, "code", None) == "generation_conflict"


@pytest.mark.parametrize("many", [1, 60], ids=["as text", "as binary"])
def test_vectors_that_are_too_few_for_their_rows_are_refused(record: RecordStore, many: int) -> None:
    generation = record.generation("toy", 3)
    saved(record, *(f"note {n}" for n in range(many)))
    body = [
        {"kind": kind, "id": id_, "number": number, "version": 1, "vectors": 2} for kind, id_, number in everything(record, "embeddings")
    ]
    with pytest.raises(InvalidInput) as error:
        record.store_embeddings(body, [[1.0, 0.0, 0.0]] * many, generation=generation)
    assert error.value.code == "vectors_invalid"
    assert len(everything(record, "embeddings")) == many


@pytest.mark.parametrize("many", [1, 300], ids=["few", "many"])
def test_vectors_are_stored_with_the_settlement_and_never_from_an_older_version(record: RecordStore, many: int) -> None:
    generation = record.generation("toy", 3)
    ids = saved(record, *(f"note {n}" for n in range(many)))
    rows = everything(record, "embeddings")
    changed, gone, stays = ids[0], ids[len(ids) // 2] if many > 1 else None, ids[1:]
    record.update(changed, {"text": "new", "passages": ("new",)})
    if gone:
        record.forget(ids=[gone])
        stays.remove(gone)
    answer = embed(record, generation, rows, 1, [1.0, 0.0, 0.0])
    assert answer["stored"] == len(stays)
    assert record.sync_state(changed).projections["embeddings"].owed
    near = record.search({"namespace": "default", "query": "?", "vector": "[1, 0, 0]", "limit": 1000, "exact": 5000})
    assert {hit.id for hit in near} == set(stays)
    assert record.counts()["embeddings"] == len(stays)
    assert [row[1] for row in everything(record, "embeddings")] == [changed]


@pytest.mark.parametrize("many", [1, 300], ids=["few", "many"])
def test_a_vector_of_the_wrong_length_is_refused_with_its_whole_batch(record: RecordStore, many: int) -> None:
    generation = record.generation("toy", 3)
    saved(record, *(f"note {n}" for n in range(many)))
    with pytest.raises(InvalidInput) as error:
        embed(record, generation, everything(record, "embeddings"), 1, [1.0, 0.0])
    assert (error.value.code, error.value.detail["expected"]) == ("dimension_mismatch", 3)
    assert record.counts()["embeddings"] == 0
    assert len(everything(record, "embeddings")) == many


# -- verdicts ----------------------------------------------------------------------------------------------------------


def test_verdicts_come_newest_first(record: RecordStore) -> None:
    for seconds in (1.5, 2.5, 3.5):
        empty: dict[str, Any] = {"checked": {}, "pending": 0, "kinds": {}, "findings": [], "repaired": 0}
        record.save_verdict({"mode": "quick", "clean": True, "seconds": seconds, **empty})
    assert [verdict["seconds"] for verdict in record.verdicts(2)] == [3.5, 2.5]
