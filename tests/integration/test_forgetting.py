"""Memories that leave the record, because somebody forgets them or because their time is over; and what must not be left of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import Gone, InvalidInput, NotFound
from memory_pipelines.services import maintenance
from memory_pipelines.services.platform import Platform
from tests import engines
from tests.integration import faults


def soon(client: MemoryClient, **fields: Any) -> str:
    """Save a memory that has just expired; returns its id."""
    return client.save(expires_at=datetime.now(UTC) - timedelta(seconds=1), **fields).id


# -- forget ------------------------------------------------------------------------------------------------------------


def test_a_forgotten_memory_is_gone_and_forgetting_it_again_is_fine(client: MemoryClient) -> None:
    saved = client.save("A secret.", key="k")
    receipt, again = client.forget(saved.id), client.forget(saved.id)
    assert (receipt.forgotten, receipt.ids, again.forgotten) == (1, (saved.id,), 0)
    assert receipt.at == again.at
    for read in (lambda: client.get(saved.id), lambda: client.get(key="k"), lambda: client.update(saved.id, text="Back.")):
        with pytest.raises(Gone) as error:
            read()
        assert error.value.code == "memory_forgotten"
    assert list(client.list()) == []
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
    assert error.value.code == "memory_unknown"


def test_a_whole_namespace_is_forgotten_page_by_page(client: MemoryClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memory_pipelines.services.forgetting.BATCH", 7)
    client.save_many({"text": f"Note {n}.", "namespace": "gone"} for n in range(30))
    client.save("Stays.", namespace="kept")
    receipt = client.forget(namespace="gone")
    assert (receipt.forgotten, len(set(receipt.ids))) == (30, 30)
    assert client.forget(namespace="gone").forgotten == 0
    assert list(client.list(namespace="gone")) == []
    assert [memory.text for memory in client.list(namespace="kept")] == ["Stays."]
    with pytest.raises(NotFound) as error:
        client.forget(namespace="never")
    assert error.value.code == "namespace_unknown"


@pytest.mark.parametrize("identity", ["id", "key"])
def test_what_is_forgotten_stays_forgotten_unless_revived_and_then_its_numbers_go_on(client: MemoryClient, identity: str) -> None:
    saved = client.save("First life.", key="k")
    name = {"id": saved.id, "key": "k"} if identity == "id" else {"key": "k"}
    client.update(saved.id, metadata={"n": 1})
    client.forget(saved.id)
    with pytest.raises(Gone) as error:
        client.save("Again.", **name)
    assert error.value.code == "memory_forgotten"
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


# -- expiry ------------------------------------------------------------------------------------------------------------


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
        assert error.value.code == "memory_expired"
    assert [memory.id for memory in client.list()] == [stays]
    assert list(client.list(thread="t")) == []
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
    assert error.value.code == "memory_forgotten"
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


def test_what_is_chosen_is_forgotten_everywhere_and_the_rest_stays(client: MemoryClient) -> None:
    some = {"entities": [{"name": "Ada"}], "namespace": "n"}
    items = [{"text": f"Ada met Ben at {n}.", "thread": "t" if n % 2 else "u", **some} for n in range(20)]
    client.save_many(items)
    client.sync()
    assert client.count(namespace="n", thread="t") == 10
    result = client.forget(namespace="n", thread="t", wait="all")
    assert (result.forgotten, result.at is not None) == (10, True)
    assert (client.count(namespace="n", thread="t"), client.count(namespace="n")) == (0, 10)
    assert client.forget(namespace="n", thread="t").forgotten == 0
    assert client.audit(deep=True).clean


@pytest.mark.parametrize(
    "asked",
    [
        {"thread": "t"}, {"thread": "t", "key": "k"}, {"before": "2026-01-01", "id": "00000000-0000-7000-8000-000000000001"},
        {"namespace": "n", "metadata": {}}, {"namespace": "n", "before": "soon"},
    ],
)  # fmt: skip
def test_a_choice_that_cannot_be_meant_forgets_nothing(client: MemoryClient, asked: dict[str, Any]) -> None:
    client.save("stays", namespace="n", thread="t", key="k")
    with pytest.raises(InvalidInput):
        client.forget(**asked)
    assert client.count(namespace="n") == 1


def test_a_forget_that_was_killed_between_two_pages_is_finished_by_the_next(client: MemoryClient, settings: Settings) -> None:
    client.save_many([{"text": f"note {n}", "namespace": "n", "thread": "t"} for n in range(1200)] + [{"text": "stays", "namespace": "n"}])
    client.sync()
    faults.killed_at(settings, "forget.committed", "client.forget(namespace='n', thread='t')")
    left = client.count(namespace="n", thread="t")
    assert left == 700, "a page is forgotten, whole"
    assert client.forget(namespace="n", thread="t").forgotten == left
    client.sync()
    assert client.count(namespace="n") == 1
    assert client.audit(deep=True).clean


def test_history_and_update_take_a_key(client: MemoryClient) -> None:
    client.save("Mara lives in Porto.", key="home", namespace="n")
    assert client.update(key="home", namespace="n", text="Mara lives in Lisbon.").version == 2
    assert [entry.version for entry in client.history(key="home", namespace="n")] == [1, 2]
    client.forget(key="home", namespace="n")
    assert [entry.text for entry in client.history(key="home", namespace="n")] == [None] * 3, "numbers and times are left"
    with pytest.raises(Gone):
        client.update(key="home", namespace="n", text="x")
    for neither in ({}, {"id": "00000000-0000-7000-8000-000000000001", "key": "home"}):
        with pytest.raises(InvalidInput):
            client.history(**neither)


def test_maintenance_sweeps_what_has_expired(client: MemoryClient) -> None:
    client.save("Over.", expires_at="2020-01-01", wait="all")
    assert client.maintain()["expired"] == 1
    assert client.count() == 0
    assert client.maintain()["expired"] == 0
