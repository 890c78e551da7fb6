"""Memories as they are read: page by page, by filters, and letter for letter as they were written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import InvalidInput, NotFound
from memory_pipelines.services.platform import Platform
from tests import engines


def texts(client: MemoryClient, **filters: Any) -> list[str]:
    return [memory.text for memory in client.list(**filters)]


# -- list --------------------------------------------------------------------------------------------------------------


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
    assert error.value.code == "cursor_invalid"


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
        assert error.value.code == "namespace_unknown"


# -- what people write -------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"prefix": " "}, "prefix_invalid"), ({"prefix": 5}, "prefix_invalid"), ({"type": ""}, "type_invalid"),
        ({"cursor": 5}, "cursor_invalid"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_list_of_entities_is_named(client: MemoryClient, asked: dict[str, Any], code: str) -> None:
    client.save("Ada sings.", namespace="n")
    with pytest.raises(InvalidInput) as error:
        client.entities(namespace="n", **asked)
    assert (error.value.code, "query" in error.value.message) == (code, False)


def test_a_name_of_a_file_that_no_system_knows_is_named(client: MemoryClient) -> None:
    client.save("Ada sings.")
    for deed, code in ((client.export_file, "file_unwritable"), (client.import_file, "file_unreadable")):
        with pytest.raises(InvalidInput) as error:
            deed("a\0b.jsonl")
        assert error.value.code == code
    with pytest.raises(InvalidInput, match="cursor"):
        client.list(cursor=5)  # type: ignore[arg-type]  # as an untyped caller does
