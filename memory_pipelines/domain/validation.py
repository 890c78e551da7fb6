"""Raw input -> `MemoryInput`: what may enter the record, decided in one place for the client, imports and the CLI.

Lives here: rules for whole memories, their entities and relations. The rules of single fields are in `fields.py` and
are offered from here too. To add a field: a line in `memory_input`, one in `patch`, a rule in `fields.py`, a test.
Must stay out: I/O, and anything that needs to know what is already stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import uuid_utils

from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.fields import (
    identifier,
    key,
    label,
    limit,
    metadata,
    moment,
    namespace,
    query,
    refuse,
    storable,
    text,
    thread,
)
from memory_pipelines.domain.models import EntityMention, MemoryInput, RelationMention
from memory_pipelines.domain.names import name_key, predicate_key
from memory_pipelines.domain.passages import cut

__all__ = ["identifier", "key", "limit", "memory_input", "metadata", "moment", "namespace", "patch", "query", "text", "thread"]

NAME_CHARS = 200
MOST_LINKS = 256
SOURCE_CHARS = 2000

CHANGEABLE = ("text", "metadata", "thread", "source", "created_at", "expires_at", "entities", "relations")
FIELDS = ("id", "key", "namespace", *CHANGEABLE)

T = TypeVar("T")


def memory_input(item: Mapping[str, Any], *, passage_chars: int, text_limit: int) -> MemoryInput:
    """One memory, checked, normalised and cut into passages.

    Args:
        item: the arguments of `MemoryClient.save`; what is absent or None takes its default.
        passage_chars: about how many characters a passage holds.
        text_limit: most characters `text` may have.

    Raises:
        InvalidInput: with a stable code and the field's name in `detail["field"]`; the text is never repeated.
    """
    if not isinstance(item, Mapping):
        raise InvalidInput("memory_invalid", "A memory must be an object with at least `text`.")
    _known(item, FIELDS)
    body = text(item.get("text"), text_limit)
    given_id = item.get("id")
    given_namespace = item.get("namespace")
    return MemoryInput(
        id=str(uuid_utils.uuid7()) if given_id is None else identifier(given_id),
        id_given=given_id is not None,
        text=body,
        namespace="default" if given_namespace is None else namespace(given_namespace),
        key=key(item.get("key")),
        thread=thread(item.get("thread")),
        metadata=metadata(item.get("metadata")),
        source=label(item.get("source"), "source", "source_invalid", SOURCE_CHARS),
        created_at=moment(item.get("created_at"), "created_at"),
        expires_at=moment(item.get("expires_at"), "expires_at"),
        entities=entities(item.get("entities")),
        relations=relations(item.get("relations")),
        passages=tuple(cut(body, passage_chars)),
    )


def patch(changes: Mapping[str, Any], *, passage_chars: int, text_limit: int) -> dict[str, Any]:
    """The fields an update changes, checked and normalised; `passages` comes with `text`.

    None clears `thread`, `source`, `expires_at`, `metadata`, `entities` and `relations`.

    Raises:
        InvalidInput: `changes_missing`, `field_unknown`, or the code of the field's own rule.
    """
    _known(changes, CHANGEABLE)
    if not changes:
        raise InvalidInput("changes_missing", f"Nothing to change: name at least one of {', '.join(CHANGEABLE)}.")
    rules: dict[str, Callable[[Any], Any]] = {
        "text": lambda value: text(value, text_limit),
        "metadata": metadata,
        "thread": thread,
        "source": lambda value: label(value, "source", "source_invalid", SOURCE_CHARS),
        "created_at": lambda value: moment(value, "created_at"),
        "expires_at": lambda value: moment(value, "expires_at"),
        "entities": entities,
        "relations": relations,
    }
    checked = {name: rules[name](value) for name, value in changes.items()}
    if "created_at" in checked and checked["created_at"] is None:
        refuse("timestamp_invalid", "`created_at` cannot be cleared: give a time, or leave it out.", "created_at")
    if "text" in checked:
        checked["passages"] = tuple(cut(checked["text"], passage_chars))
    return checked


def entities(value: Any) -> tuple[EntityMention, ...]:
    """Entities given with a memory, without repetitions.

    Raises:
        InvalidInput: `entity_invalid`, `text_invalid`
    """

    def one(item: Any, position: int) -> EntityMention:
        if isinstance(item, EntityMention):
            item = {"name": item.name, "type": item.type}
        where = f"entities[{position}]"
        parts = _parts(item, where, "entity_invalid", ("name", "type"), '{"name": "Anna", "type": "person"}')
        kind = parts.get("type")
        return EntityMention(
            name=_name(parts.get("name"), f"{where}.name", "entity_invalid"),
            type="thing" if kind is None else _word(kind, f"{where}.type", "entity_invalid").lower(),
        )

    return _links(value, "entities", "entity_invalid", one)


def relations(value: Any) -> tuple[RelationMention, ...]:
    """Relations given with a memory, without repetitions.

    Raises:
        InvalidInput: `relation_invalid`, `text_invalid`
    """

    def one(item: Any, position: int) -> RelationMention:
        if isinstance(item, RelationMention):
            item = {"source": item.source, "predicate": item.predicate, "target": item.target}
        where = f"relations[{position}]"
        example = '{"source": "Anna", "predicate": "works_at", "target": "Acme"}'
        parts = _parts(item, where, "relation_invalid", ("source", "predicate", "target"), example)
        return RelationMention(
            source=_name(parts.get("source"), f"{where}.source", "relation_invalid"),
            predicate=_predicate(parts.get("predicate"), f"{where}.predicate", "relation_invalid"),
            target=_name(parts.get("target"), f"{where}.target", "relation_invalid"),
        )

    return _links(value, "relations", "relation_invalid", one)


def _links(value: Any, field: str, code: str, one: Callable[[Any, int], T]) -> tuple[T, ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        refuse(code, f"`{field}` must be a list of objects.", field)
    if len(value) > MOST_LINKS:
        refuse(
            code, f"`{field}` has {len(value):,} entries; the limit is {MOST_LINKS} a memory.", field, limit=MOST_LINKS, length=len(value)
        )
    return tuple(dict.fromkeys(one(item, position) for position, item in enumerate(value)))


def _parts(item: Any, where: str, code: str, names: tuple[str, ...], example: str) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        refuse(code, f"`{where}` must be an object such as {example}.", where)
    if any(name not in names for name in item):
        refuse(code, f"`{where}` has a field that is not known; it may hold {', '.join(names)}.", where)
    return item


def _name(value: Any, where: str, code: str) -> str:
    name = _word(value, where, code)
    if not name_key(name):
        refuse(code, f"`{where}` has no visible character.", where)
    return name


def _predicate(value: Any, where: str, code: str) -> str:
    return _word(predicate_key(_word(value, where, code)), where, code)  # once more: its one spelling may be longer


def _word(value: Any, where: str, code: str) -> str:
    if not isinstance(value, str):
        refuse(code, f"`{where}` is missing or not a string.", where)
    word = " ".join(storable(value, where).split())
    if not word:
        refuse(code, f"`{where}` is empty: name it, or leave the whole entry out.", where)
    if len(word) > NAME_CHARS:
        refuse(code, f"`{where}` has {len(word):,} characters; the limit is {NAME_CHARS}.", where, limit=NAME_CHARS, length=len(word))
    return word


def _known(item: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    for name in item:
        if name in allowed:
            continue
        shown = f"`{name}`" if isinstance(name, str) and name.isidentifier() and len(name) <= 64 else "A field"
        why = " (a memory keeps its id, key and namespace for ever)" if name in FIELDS else ""
        raise InvalidInput("field_unknown", f"{shown} cannot be set here{why}; known are {', '.join(allowed)}.", {"allowed": list(allowed)})
