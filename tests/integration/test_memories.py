"""Memories in the record: save, update, forget, expire, list, and what must never happen to them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from uuid_utils import uuid7

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import Conflict, Gone, InvalidInput, MemoryPipelinesError, NotFound
from memory_pipelines.domain.models import PROJECTIONS
from memory_pipelines.services import maintenance
from memory_pipelines.services.platform import Platform
from tests import engines

FIELDS: dict[str, tuple[Any, Any]] = {
    "text": ("The cat is called Miso.", "The cat is called Udon."),
    "metadata": ({"topic": "pets"}, {"topic": "cats", "sure": True}),
    "thread": ("monday", "tuesday"),
    "source": ("chat", "letter"),
    "created_at": (datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), datetime(2024, 5, 6, tzinfo=UTC)),
    "expires_at": (datetime(2999, 1, 1, tzinfo=UTC), datetime(2998, 1, 1, tzinfo=UTC)),
}


def code_of(error: pytest.ExceptionInfo[MemoryPipelinesError]) -> str:
    return error.value.code


def texts(client: MemoryClient, **filters: Any) -> list[str]:
    return [memory.text for memory in client.list(**filters)]


def soon(client: MemoryClient, **fields: Any) -> str:
    """Save a memory that has just expired; returns its id."""
    return client.save(expires_at=datetime.now(UTC) - timedelta(seconds=1), **fields).id


# -- save ----------------------------------------------------------------------------------------------------------------


def test_what_was_saved_is_what_is_read(client: MemoryClient) -> None:
    fields = {name: value for name, (value, _) in FIELDS.items()}
    saved = client.save(**fields, key="cat", namespace="home")
    memory = client.get(saved.id)
    assert {name: getattr(memory, name) for name in fields} == fields
    assert (memory.key, memory.namespace, memory.version, memory.revision) == ("cat", "home", 1, 1)
    assert client.get(key="cat", namespace="home") == memory


def test_saving_again_under_a_key_updates_and_saving_the_same_changes_nothing(client: MemoryClient) -> None:
    first = client.save("Mara lives in Porto.", key="home", metadata={"a": 1})
    same = client.save("Mara lives in Porto.", key="home", metadata={"a": 1})
    second = client.save("Mara lives in Lisbon.", key="home")
    assert (first.outcome, same.outcome, second.outcome) == ("created", "unchanged", "updated")
    assert first.id == same.id == second.id
    assert (same.version, second.version) == (1, 2)
    assert client.get(key="home").text == "Mara lives in Lisbon."
    assert client.get(key="home").metadata == {}  # a save says everything; an update only what it names
    assert same.touched == ()


@pytest.mark.parametrize("identity", ["id", "key", "id and key"])
def test_the_same_save_sent_twice_at_once_gives_one_memory(client: MemoryClient, identity: str) -> None:
    names = {"id": str(uuid7())} if identity == "id" else {"key": "k"} if identity == "key" else {"id": str(uuid7()), "key": "k"}
    client.save("The connection is open.", namespace="other")
    results = engines.at_once(*[lambda: client.save("Tea, not coffee.", **names)] * 4)
    assert sorted(result.outcome for result in results) == ["created", "unchanged", "unchanged", "unchanged"]
    assert len({result.id for result in results}) == 1
    assert texts(client) == ["Tea, not coffee."]


def test_a_retry_with_an_id_of_the_callers_own_saves_once(client: MemoryClient) -> None:
    mine = str(uuid7())
    results = [client.save("I moved.", id=mine), client.save("I moved.", id=mine), client.save("I moved back.", id=mine.upper())]
    assert [result.outcome for result in results] == ["created", "unchanged", "updated"]
    assert texts(client) == ["I moved back."]


def test_an_id_of_another_namespace_is_refused(client: MemoryClient) -> None:
    taken = client.save("Here.", namespace="a").id
    with pytest.raises(Conflict) as error:
        client.save("There.", id=taken, namespace="b")
    assert code_of(error) == "namespace_conflict"
    assert client.get(taken).text == "Here."
    assert "b" not in client._platform.record.namespaces()


def test_a_key_that_belongs_to_another_id_is_refused(client: MemoryClient) -> None:
    first, second = client.save("One.", key="one"), client.save("Two.", key="two")
    with pytest.raises(Conflict) as error:
        client.save("Another one.", key="one", id=str(uuid7()))
    assert (code_of(error), error.value.detail["other"]) == ("key_conflict", first.id)
    with pytest.raises(Conflict) as error:
        client.save("Another two.", key="one", id=second.id)
    assert code_of(error) == "key_conflict"
    with pytest.raises(Conflict) as error:
        client.save("A second name.", key="three", id=second.id)
    assert code_of(error) == "key_conflict"
    assert sorted(texts(client)) == ["One.", "Two."]


def test_a_memory_without_a_key_may_be_given_one(client: MemoryClient) -> None:
    nameless = client.save("Rain.")
    named = client.save("Rain.", id=nameless.id, key="weather")
    assert named.outcome == "updated"
    assert client.get(key="weather").id == nameless.id


def test_a_batch_is_saved_whole_or_not_at_all(client: MemoryClient) -> None:
    taken = client.save("Elsewhere.", namespace="elsewhere").id
    items = [{"text": f"Note {n}."} for n in range(5)]
    with pytest.raises(Conflict) as error:
        client.save_many([*items[:3], {"text": "Not mine.", "id": taken}, *items[3:]])
    assert (code_of(error), error.value.detail["index"]) == ("namespace_conflict", 3)
    with pytest.raises(NotFound):
        client.list()
    with pytest.raises(InvalidInput) as wrong:
        client.save_many([*items, {"text": ""}])
    assert wrong.value.detail["index"] == 5
    with pytest.raises(NotFound):
        client.list()


def test_an_error_in_a_later_batch_counts_from_the_first_item(client: MemoryClient) -> None:
    taken = client.save("Elsewhere.", namespace="elsewhere").id
    items: list[dict[str, Any]] = [{"text": f"Note {n}."} for n in range(503)]
    items[501]["id"] = taken
    with pytest.raises(Conflict) as error:
        client.save_many(items)
    assert error.value.detail["index"] == 501
    assert client._platform.record.counts()["namespaces"]["default"] == 500  # the batch before was whole


def test_a_key_twice_in_a_batch_is_written_twice_in_order(client: MemoryClient) -> None:
    results = client.save_many([{"text": "Old.", "key": "k"}, {"text": "Between."}, {"text": "New.", "key": "k"}])
    assert [result.outcome for result in results] == ["created", "created", "updated"]
    assert client.get(key="k").text == "New."


@pytest.mark.parametrize("shared", ["keys", "entities"])
def test_batches_that_share_rows_in_another_order_never_wait_in_a_ring(client: MemoryClient, settings: Settings, shared: str) -> None:
    people = [{"name": f"Person {n:02}", "type": "person"} for n in range(20)]
    client.save("All of them.", entities=people)
    client.close()
    before = engines.deadlocks(settings)
    with MemoryClient.from_env(settings) as busy:

        def write(writer: str, order: list[dict[str, str]]) -> None:
            for turn in range(12):  # every other time into a namespace that is new to all
                busy.save_many(
                    {
                        "text": f"{writer} {turn}",
                        "namespace": f"turn {turn // 2}",
                        "key": person["name"] if shared == "keys" else f"{writer} {n:02}",
                        "entities": [person],
                    }
                    for n, person in enumerate(order)
                )

        engines.at_once(lambda: write("a", people), lambda: write("b", people[::-1]), lambda: write("c", people[10:] + people[:10]))
        assert len(busy.list(namespace="turn 5", limit=100)) == (20 if shared == "keys" else 60)
    assert engines.deadlocks(settings) == before


# -- update --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", FIELDS)
def test_an_update_changes_the_field_it_names_and_no_other(client: MemoryClient, field: str) -> None:
    before = client.get(client.save(**{name: value for name, (value, _) in FIELDS.items()}, entities=[{"name": "Miso", "type": "cat"}]).id)
    result = client.update(before.id, **{field: FIELDS[field][1]})
    after = client.get(before.id)
    assert (result.outcome, result.version, after.version) == ("updated", 2, 2)
    assert getattr(after, field) == FIELDS[field][1]
    for name in (*FIELDS, "key", "namespace", "entities", "relations"):
        assert name == field or getattr(after, name) == getattr(before, name), name


@pytest.mark.parametrize("field", ["metadata", "thread", "source", "expires_at"])
def test_none_clears_a_field(client: MemoryClient, field: str) -> None:
    saved = client.save(**{name: value for name, (value, _) in FIELDS.items()})
    client.update(saved.id, **{field: None})
    assert not getattr(client.get(saved.id), field)


def test_an_update_that_says_nothing_new_is_unchanged(client: MemoryClient) -> None:
    saved = client.save("Same.", metadata={"b": [1, 2], "a": None})
    same = client.update(saved.id, text="Same.", metadata={"a": None, "b": [1, 2]})
    assert (same.outcome, same.version) == ("unchanged", 1)
    assert len(client.history(saved.id)) == 1


def test_an_update_of_an_older_version_is_refused_and_writes_nothing(client: MemoryClient) -> None:
    saved = client.save("First.")
    client.update(saved.id, text="Second.", expected_version=1)
    with pytest.raises(Conflict) as error:
        client.update(saved.id, text="Third.", expected_version=1)
    assert (code_of(error), error.value.detail["version"]) == ("version_conflict", 2)
    assert client.get(saved.id).text == "Second."


def test_of_two_updates_of_one_version_exactly_one_wins(client: MemoryClient) -> None:
    saved = client.save("First.")

    def write(text: str) -> str:
        try:
            return client.update(saved.id, text=text, expected_version=1).outcome
        except Conflict as error:
            return error.code

    assert sorted(engines.at_once(lambda: write("Mine."), lambda: write("Yours."))) == ["updated", "version_conflict"]
    assert client.get(saved.id).version == 2


def test_links_may_be_updated_by_half(client: MemoryClient) -> None:
    people = [{"name": "Ada", "type": "person"}, {"name": "Ben", "type": "person"}]
    knows = [{"source": "Ada", "predicate": "knows", "target": "Ben"}]
    saved = client.save("Ada knows Ben.", entities=people, relations=knows)
    client.update(saved.id, relations=[{"source": "Ben", "predicate": "owes", "target": "Ada"}])
    memory = client.get(saved.id)
    assert [(entity.name, entity.type) for entity in memory.entities] == [("Ada", "person"), ("Ben", "person")]
    assert [relation.predicate for relation in memory.relations] == ["owes"]
    client.update(saved.id, entities=[*people, {"name": "Cleo", "type": "person"}])
    memory = client.get(saved.id)
    assert [entity.name for entity in memory.entities] == ["Ada", "Ben", "Cleo"]
    assert [relation.predicate for relation in memory.relations] == ["owes"]


@pytest.mark.parametrize("act", ["get", "update", "history", "forget", "sync_state"])
def test_an_unknown_id_is_said_to_be_unknown(client: MemoryClient, act: str) -> None:
    client.save("Something.")
    arguments: dict[str, Any] = {"text": "x"} if act == "update" else {}
    with pytest.raises(NotFound) as error:
        getattr(client, act)(str(uuid7()), **arguments)
    assert code_of(error) == "memory_unknown"


def test_a_change_beside_the_text_keeps_vectors_and_links_and_only_the_graph_is_owed(client: MemoryClient, settings: Settings) -> None:
    saved = client.save("Ada Lovelace met Charles Babbage in London.", wait="all")
    with engines.connect(settings) as connection:
        before = connection.execute("select passage, v::text from memory.embeddings where id = %s", [saved.id]).fetchall()
        client.update(saved.id, metadata={"seen": True})
        after = connection.execute("select passage, v::text from memory.embeddings where id = %s", [saved.id]).fetchall()
        versions = connection.execute("select distinct version from memory.embeddings where id = %s", [saved.id]).fetchall()
    state = client.sync_state(saved.id).projections
    assert {name: state[name].owed for name in PROJECTIONS} == {"entities": False, "embeddings": False, "graph": True}
    assert {name: state[name].settled_version for name in ("entities", "embeddings")} == {"entities": 2, "embeddings": 2}
    assert before == after
    assert versions == [(2,)]
    client.sync("graph")
    assert client.audit(deep=True).clean


def test_a_change_beside_the_text_does_not_pay_for_an_older_debt(client: MemoryClient) -> None:
    saved = client.save("Not embedded yet.")
    client.update(saved.id, metadata={"seen": True})
    assert client.sync_state(saved.id).projections["embeddings"].owed
    client.sync()
    assert client.audit(deep=True).clean


# -- history -------------------------------------------------------------------------------------------------------------


def test_history_tells_every_version_with_its_text(client: MemoryClient) -> None:
    saved = client.save("One.", key="k")
    client.save("Two.", key="k", metadata={"n": 2})
    client.update(saved.id, thread="t")
    entries = client.history(saved.id)
    assert [(entry.version, entry.operation, entry.text) for entry in entries] == [
        (1, "created", "One."), (2, "updated", "Two."), (3, "updated", "Two."),
    ]  # fmt: skip
    assert [entry.metadata for entry in entries] == [{}, {"n": 2}, {"n": 2}]
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)


# -- forget --------------------------------------------------------------------------------------------------------------


def test_a_forgotten_memory_is_gone_and_forgetting_it_again_is_fine(client: MemoryClient) -> None:
    saved = client.save("A secret.", key="k")
    receipt, again = client.forget(saved.id), client.forget(saved.id)
    assert (receipt.forgotten, receipt.ids, again.forgotten) == (1, (saved.id,), 0)
    assert receipt.at == again.at
    for read in (lambda: client.get(saved.id), lambda: client.get(key="k"), lambda: client.update(saved.id, text="Back.")):
        with pytest.raises(Gone) as error:
            read()
        assert code_of(error) == "memory_forgotten"
    assert texts(client) == []
    assert [(entry.version, entry.operation, entry.text, entry.metadata) for entry in client.history(saved.id)] == [
        (1, "created", None, None), (2, "forgotten", None, None),
    ]  # fmt: skip


def test_a_key_is_forgotten_in_its_namespace_only(client: MemoryClient) -> None:
    client.save("Mine.", key="k")
    client.save("Yours.", key="k", namespace="other")
    assert client.forget(key="k").forgotten == 1
    assert client.forget(key="k").forgotten == 0
    assert client.get(key="k", namespace="other").text == "Yours."
    with pytest.raises(NotFound) as error:
        client.forget(key="never", namespace="other")
    assert code_of(error) == "memory_unknown"


def test_a_whole_namespace_is_forgotten_page_by_page(client: MemoryClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memory_pipelines.services.memories.BATCH", 7)
    client.save_many({"text": f"Note {n}.", "namespace": "gone"} for n in range(30))
    client.save("Stays.", namespace="kept")
    receipt = client.forget(namespace="gone")
    assert (receipt.forgotten, len(set(receipt.ids))) == (30, 30)
    assert client.forget(namespace="gone").forgotten == 0
    assert (texts(client, namespace="gone"), texts(client, namespace="kept")) == ([], ["Stays."])
    with pytest.raises(NotFound) as error:
        client.forget(namespace="never")
    assert code_of(error) == "namespace_unknown"


@pytest.mark.parametrize("identity", ["id", "key"])
def test_what_is_forgotten_stays_forgotten_unless_revived_and_then_its_numbers_go_on(client: MemoryClient, identity: str) -> None:
    saved = client.save("First life.", key="k")
    name = {"id": saved.id, "key": "k"} if identity == "id" else {"key": "k"}
    client.update(saved.id, metadata={"n": 1})
    client.forget(saved.id)
    with pytest.raises(Gone) as error:
        client.save("Again.", **name)
    assert code_of(error) == "memory_forgotten"
    assert [result.outcome for result in client.save_many([{"text": "Again.", **name}])] == ["forgotten"]
    revived = client.save("Second life.", **name, revive=True)
    assert (revived.outcome, revived.id, revived.version) == ("revived", saved.id, 4)
    assert revived.revision > saved.revision
    assert (client.get(key="k").text, client.get(saved.id).metadata) == ("Second life.", {})
    assert [(entry.operation, entry.text) for entry in client.history(saved.id)] == [
        ("created", None), ("updated", None), ("forgotten", None), ("revived", "Second life."),
    ]  # fmt: skip
    client.sync()
    assert client.audit(deep=True).clean


def test_after_a_forget_nothing_a_person_wrote_is_left_in_any_table(client: MemoryClient, platform: Platform, settings: Settings) -> None:
    words = ["quetzal", "wombat", "narwhal", "okapi", "axolotl", "pangolin", "tarsier", "capybara", "kakapo", "numbat", "dugong", "saiga"]
    quetzal, wombat, narwhal, okapi, axolotl, pangolin, tarsier, capybara, kakapo, numbat, dugong, saiga = words
    saved = client.save(
        f"The {quetzal} met Sir Wombat Numbat in Kakapo Street.", key=okapi, thread=narwhal, source=axolotl,
        metadata={pangolin: tarsier}, entities=[{"name": capybara, "type": saiga}],
        relations=[{"source": capybara, "predicate": dugong, "target": kakapo}],
    )  # fmt: skip
    client.sync()
    platform.graph._transport.run("MATCH (e:Entity) DETACH DELETE e", write=True)  # findings of an audit are kept: they name things too
    assert not client.audit(deep=True, repair=True).findings
    client.update(saved.id, text=f"The {wombat} and the {numbat}.", thread=numbat)
    client.sync()
    before = engines.everything_in(settings).lower()
    assert [word for word in words if word in before] == words  # else this test could not fail

    client.forget(saved.id)

    after = engines.everything_in(settings).lower()
    assert [word for word in words if word in after] == []
    client.sync()
    assert [word for word in words if word in engines.everything_in_graph(settings).lower()] == []
    assert client.audit(deep=True).clean
    with engines.redis_server(settings) as stream:
        kept = repr([stream.xrange(key) for key in stream.scan_iter("*")]).lower()
    assert [word for word in words if word in kept] == []


# -- expiry --------------------------------------------------------------------------------------------------------------


def test_an_expired_memory_is_hidden_at_once_everywhere(client: MemoryClient) -> None:
    stays = client.save("The heron stays.").id
    gone = soon(client, text="The heron leaves.", key="k", thread="t", entities=[{"name": "Heron"}])
    client.sync()
    for read in (
        lambda: client.get(gone),
        lambda: client.get(key="k"),
        lambda: client.update(gone, expires_at=None),
        lambda: client.update(gone, entities=[]),
    ):
        with pytest.raises(Gone) as error:
            read()
        assert code_of(error) == "memory_expired"
    assert [memory.id for memory in client.list()] == [stays]
    assert texts(client, thread="t") == []
    assert [hit.id for hit in client.search("heron leaves")] == [stays]
    assert client.search("heron", thread="t") == ()
    assert client.related("Heron").memories in ((), (client.get(stays),))
    assert [entry.text for entry in client.history(gone)] == [None]


def test_maintenance_makes_an_expiry_a_versioned_delete(client: MemoryClient, platform: Platform, settings: Settings) -> None:
    gone = soon(client, text="The heron leaves.", key="k")
    client.save("Later.", expires_at="2999-01-01")
    client.sync()
    assert maintenance.maintain(platform)["expired"] == 1
    assert maintenance.maintain(platform)["expired"] == 0
    state = client.sync_state(gone)
    assert (state.forgotten, state.version) == (True, 2)
    assert [(entry.operation, entry.text) for entry in client.history(gone)] == [("created", None), ("expired", None)]
    assert "heron" not in engines.everything_in(settings)
    client.sync()
    assert client.audit(deep=True).clean


@pytest.mark.parametrize("maintained", [True, False], ids=["after maintenance", "before maintenance"])
def test_an_expired_key_is_as_forgotten_before_maintenance_as_after_it(
    client: MemoryClient, platform: Platform, settings: Settings, maintained: bool
) -> None:
    gone = soon(client, text="The heron leaves.", key="k")
    if maintained:
        maintenance.maintain(platform)
    with pytest.raises(Gone) as error:
        client.save("Another bird.", key="k")
    assert code_of(error) == "memory_forgotten"
    revived = client.save("Another bird.", key="k", revive=True)
    assert (revived.id, revived.outcome) == (gone, "revived")
    assert client.get(key="k").text == "Another bird."
    assert "heron" not in engines.everything_in(settings)
    client.sync()
    assert client.audit(deep=True).clean


def test_maintenance_does_not_bury_what_was_revived_while_it_looked(client: MemoryClient, platform: Platform, settings: Settings) -> None:
    gone = soon(client, text="The heron leaves.", key="k")
    waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
    with engines.connect(settings) as watcher, engines.connect(settings) as writer, ThreadPoolExecutor(1) as pool:
        writer.execute("begin")
        writer.execute("update memory.memories set expires_at = null where id = %s", [gone])
        maintained = pool.submit(maintenance.maintain, platform)
        engines.until(lambda: watcher.execute(waiting).fetchone(), "maintenance waits for the writer")
        writer.execute("commit")
        assert maintained.result()["expired"] == 0
    assert client.get(gone).text == "The heron leaves."


# -- list ----------------------------------------------------------------------------------------------------------------


def test_pages_show_every_memory_once_while_others_are_written(client: MemoryClient) -> None:
    day = datetime(2025, 1, 1, tzinfo=UTC)
    there = {client.save(f"Note {n}.", created_at=day + timedelta(minutes=n // 5)).id for n in range(40)}  # five share each time
    seen: list[str] = []
    cursor, page_number = None, 0
    while True:
        page = client.list(limit=7, cursor=cursor)
        seen.extend(memory.id for memory in page)
        client.save(f"Newer {page_number}.")
        client.save(f"Before the page {page_number}.", created_at=page.memories[0].created_at + timedelta(seconds=30))
        page_number += 1
        cursor = page.cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen))
    assert set(seen) == there
    times = [memory.created_at for memory in client.list(limit=1000)]
    assert times == sorted(times, reverse=True)


def test_a_last_page_that_is_full_has_no_cursor(client: MemoryClient) -> None:
    client.save_many({"text": f"Note {n}."} for n in range(10))
    page = client.list(limit=10)
    assert (len(page), page.cursor) == (10, None)


@pytest.mark.parametrize("cursor", ["nonsense", "bnVsbA==", "W251bGwsIG51bGxd", "é", "WzEsMl0=", "WyIyMDI1LTAxLTAxIiwgIngiXQ=="])
def test_a_cursor_that_nobody_made_is_refused(client: MemoryClient, cursor: str) -> None:
    client.save("Something.")
    with pytest.raises(InvalidInput) as error:
        client.list(cursor=cursor)
    assert code_of(error) == "cursor_invalid"


def test_filters_choose_by_metadata_thread_and_time(client: MemoryClient) -> None:
    client.save("a", metadata={"topic": "food", "tags": ["x", "y"], "who": {"name": "Ada"}}, thread="one", created_at="2025-01-01")
    client.save("b", metadata={"topic": "food"}, thread="two", created_at="2025-02-01")
    client.save("c", metadata={"topic": "work"}, thread="one", created_at="2025-03-01")
    assert texts(client, metadata={"topic": "food"}) == ["b", "a"]
    assert texts(client, metadata={"tags": ["y"]}) == ["a"]
    assert texts(client, metadata={"who": {"name": "Ada"}, "topic": "food"}) == ["a"]
    assert texts(client, metadata={"topic": "none"}) == []
    assert texts(client, thread="one") == ["c", "a"]
    assert texts(client, created_after="2025-02-01") == ["c", "b"]
    assert texts(client, created_before="2025-02-01") == ["a"]
    assert texts(client, created_after="2025-01-15", created_before=datetime(2025, 2, 15, tzinfo=UTC), metadata={"topic": "food"}) == ["b"]


def test_namespaces_keep_apart_and_an_unknown_one_is_said_to_be_unknown(client: MemoryClient) -> None:
    client.save("Mine.", namespace="a", key="k")
    client.save("Yours.", namespace="b", key="k")
    assert (texts(client, namespace="a"), texts(client, namespace="b")) == (["Mine."], ["Yours."])
    unknown = {"namespace": "c"}
    for read in (lambda: client.list(**unknown), lambda: client.search("mine", **unknown), lambda: client.get(key="k", **unknown)):
        with pytest.raises(NotFound) as error:
            read()
        assert code_of(error) == "namespace_unknown"


# -- what people write ---------------------------------------------------------------------------------------------------

WRITINGS = [
    "👩‍👩‍👧‍👦 family, flag 🇵🇹, skin 👍🏽",
    "שלום עולם, مرحبا بالعالم \u200f\u202bmixed\u202c",
    "東京は日本の首都です。漢字ひらがな",
    "e\u0301 é ﬁ Å ß ẞ İ ı",
    "\"double\" 'single' `back` $dollar$ $$ {curly} %s %(name)s :colon ?",
    "C:\\path\\to\\new \\u0041 \\\\ \\' \\\"",
    "tab\tnewline\nreturn\r\nend \x7f\x1b[0m",
    "'; drop schema memory cascade; --",
    "\U0010ffff\ufffd\ufffe",
    "null",
    "{}",
    "a" * 3000,
]


@pytest.mark.parametrize("writing", WRITINGS, ids=range(len(WRITINGS)))
def test_every_writing_comes_back_as_it_was(client: MemoryClient, writing: str) -> None:
    short = writing[:200]
    saved = client.save(writing, key=short, thread=short, source=short, metadata={short: [short, {"x": short}]})
    memory = client.get(key=short)
    assert (memory.text, memory.key, memory.thread, memory.source) == (writing, short, short, short)
    assert memory.metadata == {short: [short, {"x": short}]}
    assert texts(client, thread=short, metadata={short: [short]}) == [writing]
    client.sync()
    assert [hit.text for hit in client.search(writing)] == [writing]
    assert client.audit(deep=True).clean
    assert client.forget(key=short).ids == (saved.id,)


_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(-1e15, 1e15) | _WORDS  # JSON does not tell a larger float from an integer
_JSON = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3), max_leaves=8)


@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=_WORDS, metadata=st.dictionaries(_WORDS, _JSON, max_size=4))
def test_whatever_validation_lets_in_comes_back_and_is_known_again(client: MemoryClient, text: str, metadata: dict[str, Any]) -> None:
    try:
        saved = client.save(text, metadata=metadata, key="k")
    except InvalidInput:
        return
    memory = client.get(saved.id)
    assert (memory.text, memory.metadata) == (text, metadata)
    assert client.save(text, metadata=metadata, key="k").outcome == "unchanged"


def test_times_are_in_utc_whatever_zone_the_server_keeps(platform: Platform, settings: Settings) -> None:
    platform.close()  # a new client's connections are the first to learn of the zone
    with engines.connect(settings) as connection:
        connection.execute("alter role current_user set timezone = 'America/New_York'")
        try:
            other = MemoryClient.from_env(settings)
            with other:
                old = other.save("Long ago.", created_at="1066-10-14T09:00:00+00:00")
                memory = other.get(old.id)
                assert memory.created_at == datetime(1066, 10, 14, 9, tzinfo=UTC)
                assert {at.utcoffset() for at in (memory.created_at, memory.updated_at)} == {timedelta(0)}
                assert texts(other, created_before="1066-10-14T09:00:01Z") == ["Long ago."]
                assert other.save("Long ago.", id=old.id, created_at="1066-10-14T09:00:00+00:00").outcome == "unchanged"
        finally:
            connection.execute("alter role current_user reset timezone")
