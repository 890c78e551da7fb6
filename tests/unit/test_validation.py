"""What may enter the record: every rule with its code, and that nothing but `InvalidInput` ever escapes."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_pipelines.domain import validation
from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.models import EntityMention, MemoryInput, RelationMention

LIMIT = 1000


def accept(**item: Any) -> MemoryInput:
    return validation.memory_input({"text": "Mara moved to Lisbon.", **item}, passage_chars=80, text_limit=LIMIT)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def test_a_plain_memory_gets_an_id_of_its_own_and_its_passages() -> None:
    memory = accept()
    assert uuid.UUID(memory.id).version == 7
    assert not memory.id_given
    assert memory.namespace == "default"
    assert memory.passages == ("Mara moved to Lisbon.",)
    assert accept().id != memory.id


def test_everything_given_is_kept_and_normalised() -> None:
    given_id = "0198C7A2-5D3E-7C41-9F6B-2F1D7F0A9C55"
    memory = accept(
        id=given_id, key="k", namespace="mara", thread="t", source="chat", metadata={"a": [1, (2, None)], "ü": True},
        created_at="1660-01-01", expires_at=datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        entities=[{"name": " Anna  Lee ", "type": "Person"}, {"name": "Anna Lee", "type": "person"}, {"name": "Acme"}],
        relations=[{"source": "Anna Lee", "predicate": "works_at", "target": "Acme"}],
    )  # fmt: skip
    assert memory.id == given_id.lower()
    assert memory.id_given
    assert (memory.key, memory.namespace, memory.thread, memory.source) == ("k", "mara", "t", "chat")
    assert memory.metadata == {"a": [1, [2, None]], "ü": True}
    assert memory.created_at == datetime(1660, 1, 1, tzinfo=UTC)
    assert memory.expires_at == datetime(2030, 1, 1, tzinfo=UTC)
    assert memory.entities == (EntityMention("Anna Lee", "person"), EntityMention("Acme", "thing"))
    assert memory.relations == (RelationMention("Anna Lee", "works_at", "Acme"),)


BAD = [
    ({"text": None}, "text_missing"),
    ({"text": ""}, "text_empty"),
    ({"text": " \n\t\u00a0\u200b"}, "text_empty"),
    ({"text": "x" * (LIMIT + 1)}, "text_too_long"),
    ({"text": "a\0b"}, "text_invalid"),
    ({"text": "a\ud800b"}, "text_invalid"),
    ({"text": 7}, "text_invalid"),
    ({"text": b"bytes"}, "text_invalid"),
    ({"key": "k\0"}, "text_invalid"),
    ({"namespace": "n\ud800"}, "text_invalid"),
    ({"thread": "\0t"}, "text_invalid"),
    ({"source": "s\0"}, "text_invalid"),
    ({"metadata": {"a": {"b": ["\0"]}}}, "text_invalid"),
    ({"metadata": {"a": {"b\ud800": 1}}}, "text_invalid"),
    ({"entities": [{"name": "A\0"}]}, "text_invalid"),
    ({"relations": [{"source": "A", "predicate": "p", "target": "B\ud800"}]}, "text_invalid"),
    ({"metadata": [1]}, "metadata_invalid"),
    ({"metadata": "x"}, "metadata_invalid"),
    ({"metadata": {"a": float("nan")}}, "metadata_invalid"),
    ({"metadata": {"a": [float("-inf")]}}, "metadata_invalid"),
    ({"metadata": {1: "a"}}, "metadata_invalid"),
    ({"metadata": {"a": {2: "b"}}}, "metadata_invalid"),
    ({"metadata": {"a": object()}}, "metadata_invalid"),
    ({"metadata": {"a": datetime.now(UTC)}}, "metadata_invalid"),
    ({"metadata": {"a": 10**5000}}, "metadata_invalid"),
    ({"metadata": nested(100)}, "metadata_invalid"),
    ({"metadata": nested(100_000)}, "metadata_invalid"),
    ({"metadata": {"a": "é" * 33_000}}, "metadata_too_large"),
    ({"id": "not-a-uuid"}, "id_invalid"),
    ({"id": 7}, "id_invalid"),
    ({"id": ""}, "id_invalid"),
    ({"key": ""}, "key_invalid"),
    ({"key": " "}, "key_invalid"),
    ({"key": "k" * 513}, "key_invalid"),
    ({"key": 7}, "key_invalid"),
    ({"namespace": ""}, "namespace_invalid"),
    ({"namespace": "n" * 257}, "namespace_invalid"),
    ({"namespace": "a\nb"}, "namespace_invalid"),
    ({"namespace": "a\x7f"}, "namespace_invalid"),
    ({"thread": ""}, "thread_invalid"),
    ({"thread": 1.5}, "thread_invalid"),
    ({"source": ""}, "source_invalid"),
    ({"source": "s" * 2001}, "source_invalid"),
    ({"created_at": "yesterday"}, "timestamp_invalid"),
    ({"created_at": "2026-05-01T09:30:00"}, "timestamp_invalid"),
    ({"created_at": datetime(2026, 5, 1)}, "timestamp_invalid"),
    ({"created_at": "2026-02-30"}, "timestamp_invalid"),
    ({"created_at": "0000-01-01"}, "timestamp_invalid"),
    ({"created_at": "10000-01-01"}, "timestamp_invalid"),
    ({"created_at": "0001-01-01T00:00:00+14:00"}, "timestamp_invalid"),
    ({"created_at": 1700000000}, "timestamp_invalid"),
    ({"expires_at": ""}, "timestamp_invalid"),
    ({"entities": "Anna"}, "entity_invalid"),
    ({"entities": ["Anna"]}, "entity_invalid"),
    ({"entities": [{"type": "person"}]}, "entity_invalid"),
    ({"entities": [{"name": "  "}]}, "entity_invalid"),
    ({"entities": [{"name": "\u200b"}]}, "entity_invalid"),
    ({"entities": [{"name": "A", "role": "x"}]}, "entity_invalid"),
    ({"entities": [{"name": "A" * 201}]}, "entity_invalid"),
    ({"entities": [{"name": f"A{n}"} for n in range(257)]}, "entity_invalid"),
    ({"relations": {"source": "A"}}, "relation_invalid"),
    ({"relations": [{"source": "A", "target": "B"}]}, "relation_invalid"),
    ({"relations": [{"source": "A", "predicate": "", "target": "B"}]}, "relation_invalid"),
    ({"relations": [{"source": "A", "predicate": "p" * 201, "target": "B"}]}, "relation_invalid"),
    ({"metadta": {}}, "field_unknown"),
]


@pytest.mark.parametrize(("item", "code"), BAD, ids=[f"{index}-{code}" for index, (_, code) in enumerate(BAD)])
def test_what_is_wrong_has_a_code_and_names_its_field(item: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        accept(**item)
    assert caught.value.code == code
    if code != "field_unknown":
        assert caught.value.detail["field"].startswith(next(iter(item)))
    assert caught.value.message.endswith(".")


def test_a_text_that_is_too_long_says_by_how_much() -> None:
    with pytest.raises(InvalidInput) as caught:
        accept(text="x" * (LIMIT + 5))
    assert caught.value.detail == {"field": "text", "limit": LIMIT, "length": LIMIT + 5}


def test_the_text_is_never_repeated() -> None:
    secret = "zebra-password-9431"
    for item in (
        {"text": secret * 100},
        {"text": secret + "\0"},
        {"key": secret + "\0"},
        {"metadata": {"a": secret + "\0"}},
        {"created_at": secret},
    ):
        with pytest.raises(InvalidInput) as caught:
            accept(**item)
        assert secret not in str(caught.value.as_dict())


@given(st.text(alphabet=st.characters(), max_size=300))
def test_any_text_passes_unchanged_or_is_invalid(text: str) -> None:
    try:
        memory = validation.memory_input({"text": text}, passage_chars=80, text_limit=200)
    except InvalidInput as error:
        assert error.code in {"text_empty", "text_too_long", "text_invalid"}  # noqa: PT017  # either outcome is right
    else:
        assert memory.text == text
        assert memory.passages


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5) | st.datetimes() | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(validation.FIELDS) | st.text(max_size=5), ANYTHING, max_size=6))
def test_nothing_but_invalid_input_escapes(item: dict[str, Any]) -> None:
    for call in (validation.memory_input, validation.patch):
        try:
            call(item, passage_chars=80, text_limit=200)
        except InvalidInput as error:
            assert error.code  # noqa: PT017  # either outcome is right; only another exception would be wrong


@given(ANYTHING, st.integers())
def test_single_fields_raise_nothing_else(value: Any, number: int) -> None:
    rules = (
        validation.identifier, validation.namespace, validation.key, validation.thread, validation.query, validation.limit,
        lambda given: validation.moment(given, "created_after"), lambda given: validation.limit(number if given else given),
    )  # fmt: skip
    for rule in rules:
        try:
            rule(value)
        except InvalidInput as error:
            assert error.detail["field"]  # noqa: PT017  # as above


@pytest.mark.parametrize("value", [0, -1, 1001, 10**9, True, "5", 2.0, None])
def test_limits(value: Any) -> None:
    with pytest.raises(InvalidInput, match="whole number from 1 to 1,000") as caught:
        validation.limit(value)
    assert caught.value.code == "limit_invalid"


def test_limits_that_are_fine() -> None:
    assert [validation.limit(1), validation.limit(1000), validation.limit(5000, most=5000)] == [1, 1000, 5000]


def test_moments() -> None:
    assert validation.moment(None, "created_after") is None
    assert validation.moment("2026-05-01T09:30:00Z", "created_after") == datetime(2026, 5, 1, 9, 30, tzinfo=UTC)
    assert validation.moment(date(2026, 5, 1), "created_after") == datetime(2026, 5, 1, tzinfo=UTC)
    assert validation.moment("9999-12-31", "created_after") == datetime(9999, 12, 31, tzinfo=UTC)


def test_queries() -> None:
    assert validation.query("where?") == "where?"
    for value, code in (
        ("", "query_empty"),
        (None, "query_empty"),
        (" \n", "query_empty"),
        ("a\0", "text_invalid"),
        ("x" * 20_000, "query_too_long"),
    ):
        with pytest.raises(InvalidInput) as caught:
            validation.query(value)
        assert caught.value.code == code


def change(**changes: Any) -> dict[str, Any]:
    return validation.patch(changes, passage_chars=80, text_limit=LIMIT)


def test_a_patch_holds_only_what_was_given() -> None:
    assert change(thread=None, expires_at=None) == {"thread": None, "expires_at": None}
    assert change(metadata={"a": 1}) == {"metadata": {"a": 1}}
    assert change(text="New. Text.") == {"text": "New. Text.", "passages": ("New. Text.",)}
    assert change(entities=[]) == {"entities": ()}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "changes_missing"),
        ({"namespace": "other"}, "field_unknown"),
        ({"txt": "a"}, "field_unknown"),
        ({"text": None}, "text_missing"),
        ({"text": ""}, "text_empty"),
        ({"created_at": None}, "timestamp_invalid"),
        ({"metadata": [1]}, "metadata_invalid"),
    ],
)
def test_bad_patches(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        change(**changes)
    assert caught.value.code == code


def test_an_unknown_field_names_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="expires_at") as caught:
        change(key="other")
    assert "for ever" in caught.value.message
    assert "text" in caught.value.detail["allowed"]
