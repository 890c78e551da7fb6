"""Memories in the record: save, update, and what must never happen to them. Leaving: `test_forgetting.py`; reading: `test_reading.py`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from uuid_utils import uuid7

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import Conflict, InvalidInput, MemoryPipelinesError, NotFound
from memory_pipelines.domain.models import PROJECTIONS
from tests import engines

FIELDS: dict[str, tuple[Any, Any]] = {
    "text": ("The cat is called Miso.", "The cat is called Udon."),
    "metadata": ({"topic": "pets"}, {"topic": "cats", "sure": True}),
    "thread": ("monday", "tuesday"),
    "source": ("chat", "letter"),
    "created_at": (datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), datetime(2024, 5, 6, tzinfo=UTC)),
    "expires_at": (datetime(2999, 1, 1, tzinfo=UTC), datetime(2998, 1, 1, tzinfo=UTC)),
}


# -- save --------------------------------------------------------------------------------------------------------------


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
    assert [memory.text for memory in client.list()] == ["Tea, not coffee."]


def test_a_retry_with_an_id_of_the_callers_own_saves_once(client: MemoryClient) -> None:
    mine = str(uuid7())
    results = [client.save("I moved.", id=mine), client.save("I moved.", id=mine), client.save("I moved back.", id=mine.upper())]
    assert [result.outcome for result in results] == ["created", "unchanged", "updated"]
    assert [memory.text for memory in client.list()] == ["I moved back."]


def test_an_id_of_another_namespace_is_refused(client: MemoryClient) -> None:
    taken = client.save("Here.", namespace="a").id
    with pytest.raises(Conflict) as error:
        client.save("There.", id=taken, namespace="b")
    assert error.value.code == "namespace_conflict"
    assert client.get(taken).text == "Here."
    assert "b" not in client._platform.record.namespaces()


def test_a_key_that_belongs_to_another_id_is_refused(client: MemoryClient) -> None:
    first, second = client.save("One.", key="one"), client.save("Two.", key="two")
    with pytest.raises(Conflict) as error:
        client.save("Another one.", key="one", id=str(uuid7()))
    assert (error.value.code, error.value.detail["other"]) == ("key_conflict", first.id)
    with pytest.raises(Conflict) as error:
        client.save("Another two.", key="one", id=second.id)
    assert error.value.code == "key_conflict"
    with pytest.raises(Conflict) as error:
        client.save("A second name.", key="three", id=second.id)
    assert error.value.code == "key_conflict"
    assert sorted([memory.text for memory in client.list()]) == ["One.", "Two."]


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
    assert (error.value.code, error.value.detail["index"]) == ("namespace_conflict", 3)
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


# -- update ------------------------------------------------------------------------------------------------------------


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
    assert (error.value.code, error.value.detail["version"]) == ("version_conflict", 2)
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
    assert error.value.code == "memory_unknown"


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


# -- history -----------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"text": ""}, "text_empty"), ({"text": "x", "metadata": 7}, "metadata_invalid"),
        ({"text": "x", "expires_at": "soon"}, "timestamp_invalid"),
        ({"text": "x", "namespace": "other", "id": "00000000-0000-7000-8000-000000000001"}, "namespace_conflict"),
    ],
)  # fmt: skip
def test_a_batch_names_the_item_that_is_wrong_by_place_and_by_what_its_caller_calls_it(
    client: MemoryClient, wrong: dict[str, Any], code: str
) -> None:
    client.save("there already", id="00000000-0000-7000-8000-000000000001")
    items = [{"text": f"note {n}"} for n in range(600)] + [{"key": "odd one", **wrong}]
    with pytest.raises(MemoryPipelinesError) as error:
        client.save_many(items)
    assert (error.value.code, error.value.detail["index"]) == (code, 600)
    assert error.value.message.startswith("Item 600, key 'odd one'")
    assert len(client.list(limit=1000).memories) == 501, "the batch before it is in, its own is not"


def test_vectors_of_an_older_text_are_never_stamped_as_those_of_a_newer(client: MemoryClient, settings: Settings) -> None:
    saved = client.save("The cat is called Miso.", metadata={"n": 1})
    client.sync("embeddings")

    def versions() -> list[tuple[int]]:
        with engines.connect(settings) as connection:
            return connection.execute("select version from memory.embeddings where id = %s", [saved.id]).fetchall()

    client.update(saved.id, metadata={"n": 2})
    assert versions() == [(2,)], "with the same text they are those of the new version"
    client.update(saved.id, text="The cat is called Udon.")
    client.update(saved.id, metadata={"n": 4})
    assert all(version < 3 for (version,) in versions()), "what is there was made from the text of version 2"
    client.sync("embeddings")
    assert versions() == [(4,)]
