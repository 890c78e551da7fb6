"""The record against its port: the ledger's protocol, errors that survive the transport, and any order of any writes.

To add a transport, add a line to `records.TRANSPORTS`: the same assertions must hold for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from uuid_utils import uuid7

from memory_pipelines import MemoryClient, Settings, wiring
from memory_pipelines.domain.errors import ConfigurationError, Conflict, Gone, InvalidInput, NotFound, Unavailable
from memory_pipelines.domain.models import PROJECTIONS, EntityMention, Links, MemoryInput, Ref
from memory_pipelines.ports import RecordStore
from memory_pipelines.services import maintenance
from memory_pipelines.services.platform import Platform
from memory_pipelines.stores.postgres.psycopg_transport import PsycopgTransport
from memory_pipelines.stores.postgres.rpc_transport import RpcTransport
from memory_pipelines.stores.postgres.store import PostgresRecord
from memory_pipelines.stores.postgres.subjects import sync as ledger
from tests import engines, records


def item(text: str = "A note.", **fields: Any) -> MemoryInput:
    return MemoryInput(id=str(uuid7()), text=text, passages=(text,), **fields)


def saved(record: RecordStore, *texts: str) -> list[str]:
    return [result.id for result in record.save([item(text) for text in texts])]


def everything(record: RecordStore, projection: str, limit: int = 1000) -> list[tuple[str, str, int]]:
    claim = record.claim(projection, refs=None, limit=limit, owed_for_seconds=0)
    return [(row.kind, row.id, row.number) for row in claim.rows]


def answers(record: RecordStore) -> bool:
    try:
        return record.namespaces() == []
    except Unavailable:
        return False


# -- transport -----------------------------------------------------------------------------------------------------------


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


@records.ON_SERVERS
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


@records.ON_SERVERS
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


@records.ON_SERVERS
def test_connections_that_the_server_cut_are_replaced(record: RecordStore, settings: Settings, transport: str) -> None:
    engines.at_once(*[lambda: record.namespaces()] * 5)
    with engines.connect(settings) as connection:
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and usename is not null")
    if transport == "rest":  # the light server itself may die of it, and is started again
        engines.until(lambda: answers(record), "the server has replaced its own", 20)
    assert engines.at_once(*[lambda: record.namespaces()] * 5) == [[]] * 5


@records.ON_SERVERS
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


# -- the ledger ----------------------------------------------------------------------------------------------------------


def test_a_save_owes_every_projection_and_a_later_debt_has_a_higher_number(record: RecordStore) -> None:
    first, second = saved(record, "a", "b")
    for projection in PROJECTIONS:
        rows = everything(record, projection)
        assert [row[:2] for row in rows] == [("memory", first), ("memory", second)]
        assert rows[0][2] < rows[1][2]
    before = everything(record, "graph")[0][2]
    record.update(first, {"metadata": {"n": 1}})
    assert everything(record, "graph")[-1][1] == first
    assert everything(record, "graph")[-1][2] > before


def test_a_claim_takes_what_was_asked_for_with_its_present_state(record: RecordStore) -> None:
    first, second, third = saved(record, "a", "b", "c")
    record.update(first, {"text": "a new", "passages": ("a new",)})
    record.forget(ids=[second])
    unknown = str(uuid7())
    record.owe([{"projection": "graph", "kind": "memory", "id": unknown}, {"projection": "graph", "kind": "memory", "id": "no uuid"}])
    wanted = [Ref("memory", id_) for id_ in (first, second, unknown, "no uuid")]
    claim = record.claim("graph", refs=[*wanted, *wanted, Ref("nonsense", third)], limit=10)
    states = {row.id: row.state for row in claim.rows}
    assert set(states) == {first, second, unknown, "no uuid"}
    assert (states[unknown], states["no uuid"]) == (None, None)
    assert states[first]
    assert (states[first]["version"], states[first]["deleted"]) == (2, False)
    assert states[second]
    assert (states[second]["deleted"], states[second]["props"]) == (True, None)
    assert record.claim("embeddings", refs=[Ref("memory", first)], limit=10).rows[0].state["passages"] == ["a new"]  # type: ignore[index]
    assert record.claim("graph", refs=[], limit=10).rows == ()


def test_claims_are_numbered_and_page_through_the_ledger(record: RecordStore) -> None:
    ids = saved(record, *(f"note {n}" for n in range(10)))
    seen, after, numbers = [], 0, []
    while rows := (claim := record.claim("entities", refs=None, limit=4, owed_for_seconds=0, after=after)).rows:
        seen += [row.id for row in rows]
        after = max(row.number for row in rows)
        numbers.append(claim.claim)
        assert claim.claim <= claim.issued
    assert seen == ids
    assert numbers == sorted(set(numbers))
    assert record.claim("entities", refs=None, limit=4, owed_for_seconds=60).rows == ()  # nothing is that old


def test_a_graph_row_settles_only_under_the_number_that_was_noted(record: RecordStore) -> None:
    (one,) = saved(record, "a")
    claim = record.claim("graph", refs=[Ref("memory", one)], limit=1)
    row = {"kind": "memory", "id": one, "number": claim.rows[0].number, "revision": 1, "version": 1, "marker": 1}
    record.update(one, {"thread": "t"})
    assert record.settle_graph([row], claim=claim.claim, markers=[1])["settled"] == 0
    assert record.sync_state(one).projections["graph"].owed
    again = record.claim("graph", refs=[Ref("memory", one)], limit=1)
    row |= {"number": again.rows[0].number, "revision": 2, "version": 2, "marker": 2}
    assert record.settle_graph([row], claim=again.claim, markers=[2])["settled"] == 1
    state = record.sync_state(one).projections["graph"]
    assert (state.owed, state.settled_version, state.settled_revision) == (False, 2, 2)
    assert record.settle_graph([row], claim=again.claim, markers=[2])["settled"] == 0
    assert record.claim("graph", refs=[Ref("memory", one)], limit=1).rows == ()


def test_a_row_that_keeps_failing_is_parked_blocks_nobody_and_is_released_by_a_new_debt(record: RecordStore) -> None:
    bad, good = saved(record, "bad", "good")

    def fail(final: bool = False) -> dict[str, Any]:
        (row,) = [row for row in everything(record, "embeddings") if row[1] == bad] or [("memory", bad, number)]
        return dict(
            record.fail("embeddings", [{"kind": "memory", "id": bad, "number": row[2], "error": "too odd", "final": final}], max_attempts=2)
        )

    number = everything(record, "embeddings")[0][2]
    assert fail() == {"failed": 1, "parked": 0}
    assert [row[1] for row in everything(record, "embeddings")] == [good]  # not before a pause
    assert fail() == {"failed": 1, "parked": 1}
    state = record.sync_state(bad).projections["embeddings"]
    assert (state.owed, state.parked) == (True, "too odd")
    status = record.status(30)["projections"]["embeddings"]
    assert (status["owed"], status["parked"], status["ready"]) == (1, 1, 1)
    record.update(bad, {"text": "better", "passages": ("better",)})
    assert {row[1] for row in everything(record, "embeddings")} == {bad, good}
    assert record.sync_state(bad).projections["embeddings"].parked is None
    assert fail(final=True) == {"failed": 1, "parked": 1}


def test_a_failure_of_an_older_debt_is_not_charged(record: RecordStore) -> None:
    (one,) = saved(record, "a")
    number = everything(record, "embeddings")[0][2]
    record.update(one, {"text": "b", "passages": ("b",)})
    late = [{"kind": "memory", "id": one, "number": number, "error": "x", "final": True}]
    assert record.fail("embeddings", late, max_attempts=1) == {"failed": 0, "parked": 0}


def test_an_id_that_a_repair_has_owed_may_still_be_saved(record: RecordStore) -> None:
    strange = item()
    record.owe([{"projection": "graph", "kind": "memory", "id": strange.id, "forced": 3}])
    assert record.save([strange])[0].outcome == "created"
    assert [row[1] for row in everything(record, "graph")] == [strange.id]


def test_shards_owe_every_row_once(record: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_OWED_AT_ONCE", 3)
    ids = saved(record, *(f"note {n}" for n in range(50)))
    rows = [{"id": id_, "number": number, "version": 1, "links": Links()} for _, id_, number in everything(record, "entities")]
    record.store_links(rows)
    assert everything(record, "entities") == []
    counts = [record.owe_shard("entities", shard, 7) for shard in range(7)]
    assert (sum(counts), max(counts) < 50) == (50, True)
    assert {row[1] for row in everything(record, "entities")} == set(ids)


def test_a_drain_belongs_to_one_holder_until_it_ends_or_stops_beating(record: RecordStore) -> None:
    assert record.begin_drain("graph", "one", lease_seconds=30)
    assert record.begin_drain("graph", "one", lease_seconds=30)
    assert not record.begin_drain("graph", "two", lease_seconds=30)
    assert record.begin_drain("entities", "two", lease_seconds=30)
    record.end_drain("graph", "two")  # not its own
    assert not record.begin_drain("graph", "two", lease_seconds=30)
    record.end_drain("graph", "one")
    assert record.begin_drain("graph", "two", lease_seconds=0.05)
    assert record.status(30)["projections"]["entities"]["draining"]
    engines.until(lambda: record.begin_drain("graph", "three", lease_seconds=30), "a holder that stopped beating holds nothing")


def test_of_many_that_begin_at_once_one_holds_the_drain(record: RecordStore) -> None:
    for turn in range(10):
        fences = engines.at_once(*[partial(record.begin_drain, "graph", f"{turn} {n}", lease_seconds=30) for n in range(4)])
        begun = [fence > 0 for fence in fences]
        assert sum(begun) == 1
        record.end_drain("graph", f"{turn} {begun.index(True)}")


def test_a_claim_renews_its_holders_lease(record: RecordStore) -> None:
    saved(record, "a")
    assert record.begin_drain("graph", "one", lease_seconds=0.3)
    record.claim("graph", refs=None, limit=1, owed_for_seconds=0, holder="one", lease_seconds=60)
    deadline = time.monotonic() + 0.4
    while time.monotonic() < deadline:
        assert not record.begin_drain("graph", "two", lease_seconds=30)


# -- embeddings ----------------------------------------------------------------------------------------------------------


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


# -- verdicts ------------------------------------------------------------------------------------------------------------


def test_verdicts_come_newest_first(record: RecordStore) -> None:
    for seconds in (1.5, 2.5, 3.5):
        empty: dict[str, Any] = {"checked": {}, "pending": 0, "kinds": {}, "findings": [], "repaired": 0}
        record.save_verdict({"mode": "quick", "clean": True, "seconds": seconds, **empty})
    assert [verdict["seconds"] for verdict in record.verdicts(2)] == [3.5, 2.5]


# -- any order, and twice ------------------------------------------------------------------------------------------------

KEYS = ["k0", "k1", "k2", "k3"]
TEXTS = ["The cat sleeps.", "The dog barks.", "It rained all night. " * 40]
LINKS: list[dict[str, list[dict[str, str]]]] = [
    {"entities": [], "relations": []},
    {"entities": [{"name": "Ada", "type": "person"}], "relations": []},
    {"entities": [{"name": "Ada", "type": "person"}, {"name": "Ben", "type": "person"}], "relations": []},
    {"entities": [], "relations": [{"source": "Ben", "predicate": "knows", "target": "Cleo"}]},
    {"entities": [{"name": "Dora", "type": "person"}], "relations": [
        {"source": "Ben", "predicate": "knows", "target": "Cleo"}, {"source": "Cleo", "predicate": "likes", "target": "Ada"},
    ]},
]  # fmt: skip
METADATA: list[dict[str, Any]] = [{}, {"a": 1}, {"a": [None, "x"]}]


class Model:
    """What a memory should be, in plain Python."""

    def __init__(self) -> None:
        self.id = ""
        self.live = False
        self.version = 0
        self.content: dict[str, Any] = {}
        self.history: list[tuple[str, str | None]] = []

    def write(self, operation: str, content: dict[str, Any]) -> None:
        self.version, self.live, self.content = self.version + 1, True, content
        self.history.append((operation, content["text"]))

    def forget(self) -> None:
        self.version, self.live = self.version + 1, False
        self.history = [(operation, None) for operation, _ in self.history] + [("forgotten", None)]


def contents() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"text": st.sampled_from(TEXTS), "metadata": st.sampled_from(METADATA), "links": st.sampled_from(LINKS)})


class Writes(RuleBasedStateMachine):
    """Save, update, link, forget and revive in any order, each perhaps twice; then every store says what the model says."""

    def __init__(self, client: MemoryClient, platform: Platform) -> None:
        super().__init__()
        self.client, self.platform = client, platform
        self.namespace = str(uuid7())
        self.models = {key: Model() for key in KEYS}

    def _saved(self, key: str, content: dict[str, Any], revive: bool) -> str:
        """What the model says a save does."""
        model = self.models[key]
        if model.version == 0:
            model.write("created", content)
            return "created"
        if model.live:
            if model.content == content:
                return "unchanged"
            model.write("updated", content)
            return "updated"
        if revive:
            model.write("revived", content)
            return "revived"
        return "forgotten"

    def _item(self, key: str, content: dict[str, Any]) -> dict[str, Any]:
        return {"key": key, "namespace": self.namespace, "text": content["text"], "metadata": content["metadata"], **content["links"]}

    @rule(key=st.sampled_from(KEYS), content=contents(), revive=st.booleans(), times=st.integers(1, 2))
    def save(self, key: str, content: dict[str, Any], revive: bool, times: int) -> None:
        for _ in range(times):
            expected = self._saved(key, content, revive)
            if expected == "forgotten":
                with pytest.raises(Gone):
                    self.client.save(**self._item(key, content), revive=revive)
                continue
            result = self.client.save(**self._item(key, content), revive=revive)
            model = self.models[key]
            assert (result.outcome, result.version) == (expected, model.version)
            assert model.id in ("", result.id)
            model.id = result.id

    @rule(rows=st.lists(st.tuples(st.sampled_from(KEYS), contents()), min_size=1, max_size=5), revive=st.booleans())
    def save_a_batch(self, rows: list[tuple[str, dict[str, Any]]], revive: bool) -> None:
        results = self.client.save_many([self._item(key, content) for key, content in rows], revive=revive)
        expected = [self._saved(key, content, revive) for key, content in rows]
        assert [result.outcome for result in results] == expected
        for (key, _), result in zip(rows, results, strict=True):
            self.models[key].id = result.id

    @rule(
        key=st.sampled_from(KEYS),
        content=contents(),
        fields=st.sets(st.sampled_from(["text", "metadata", "links"]), min_size=1),
        times=st.integers(1, 2),
    )
    def update(self, key: str, content: dict[str, Any], fields: set[str], times: int) -> None:
        model = self.models[key]
        if not model.id:
            return
        changes: dict[str, Any] = {}
        for field in fields:
            changes |= content["links"] if field == "links" else {field: content[field]}
        for _ in range(times):
            if not model.live:
                with pytest.raises(Gone):
                    self.client.update(model.id, **changes)
                continue
            after = {**model.content, **{field: content[field] for field in fields}}
            expected = "unchanged" if after == model.content else "updated"
            if expected == "updated":
                model.write("updated", after)
            result = self.client.update(model.id, **changes)
            assert (result.outcome, result.version) == (expected, model.version)

    @rule(key=st.sampled_from(KEYS), by_key=st.booleans(), times=st.integers(1, 2))
    def forget(self, key: str, by_key: bool, times: int) -> None:
        model = self.models[key]
        if not model.id:
            return
        for _ in range(times):
            receipt = self.client.forget(key=key, namespace=self.namespace) if by_key else self.client.forget(model.id)
            assert receipt.forgotten == int(model.live)
            if model.live:
                model.forget()

    @rule(projections=st.lists(st.sampled_from(PROJECTIONS), min_size=1, max_size=3))
    def drain(self, projections: list[str]) -> None:
        self.client.sync(*projections)

    @rule()
    def maintain(self) -> None:
        maintenance.maintain(self.platform)

    def teardown(self) -> None:
        self.client.sync()
        self._agree()
        if any(model.id for model in self.models.values()):
            self.client.forget(namespace=self.namespace)
        self.client.sync()
        verdict = self.client.audit(deep=True)
        assert (verdict.findings, verdict.pending) == ((), 0)
        assert set(self.platform.graph.counts().values()) == {0}
        counts = self.platform.record.counts()
        assert {
            name: counts[name] for name in ("memories", "passages", "embeddings", "entities", "mentions", "relations")
        } == dict.fromkeys(("memories", "passages", "embeddings", "entities", "mentions", "relations"), 0)

    def _agree(self) -> None:
        verdict = self.client.audit(deep=True)
        assert (verdict.findings, verdict.pending) == ((), 0)
        live = {model.id: model for model in self.models.values() if model.live}
        if any(model.id for model in self.models.values()):
            assert {memory.id for memory in self.client.list(namespace=self.namespace)} == set(live)
        for model in self.models.values():
            if model.id:
                assert [(entry.operation, entry.text) for entry in self.client.history(model.id)] == model.history
                assert self.client.sync_state(model.id).settled
        named, pairs, stated = set(), 0, set()
        for model in live.values():
            memory = self.client.get(model.id)
            assert (memory.text, memory.metadata, memory.version) == (model.content["text"], model.content["metadata"], model.version)
            links = model.content["links"]
            of_this = {entity["name"] for entity in links["entities"]} | {
                relation[end] for relation in links["relations"] for end in ("source", "target")
            }
            assert {entity.name for entity in memory.entities} == of_this
            named |= of_this
            pairs += len(of_this)
            stated |= {tuple(relation.values()) for relation in links["relations"]}
        expected = {"memory": len(live), "entity": len(named), "mention": pairs, "relation": len(stated)}
        assert self.platform.graph.counts() == expected
        for name in named:
            assert {UUID(memory.id) for memory in self.client.related(name, namespace=self.namespace).memories} <= {
                UUID(id_) for id_ in live
            }


@pytest.fixture
def machine(place: records.Place) -> Iterator[Callable[[], Writes]]:
    """Machines on one empty platform without an extractor, so that the given links are all there are."""
    platform = wiring.open_platform(place.settings.model_copy(update={"extractor": "none"}))
    yield partial(Writes, MemoryClient(platform), platform)
    platform.close()


def test_any_writes_in_any_order_end_with_every_store_agreeing(machine: Callable[[], Writes]) -> None:
    run_state_machine_as_test(machine, settings=examples(max_examples=10, stateful_step_count=15, deadline=None))


def test_the_names_of_an_extraction_are_compared_as_those_of_a_caller(record: RecordStore) -> None:
    (one,) = saved(record, "a")
    rows = [{"id": id_, "number": number, "version": 1} for _, id_, number in everything(record, "entities")]
    found = Links((EntityMention("St. Paul’s", "place"), EntityMention("st paul")))
    record.store_links([row | {"links": found} for row in rows])
    assert record.find_entity("default", "ST. PAUL'S", None)["entity"]["type"] == "place"
    assert record.counts()["mentions"] == 1
    assert not record.sync_state(one).projections["entities"].owed
