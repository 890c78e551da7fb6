"""JSON of the record's functions to models and back. No calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from memory_pipelines.domain import models
from memory_pipelines.domain.models import Memory, MemoryInput, Ref, SaveResult
from memory_pipelines.domain.names import name_key, predicate_key


def given(entities: Sequence[models.EntityMention], relations: Sequence[models.RelationMention]) -> dict[str, Any] | None:
    """The links a caller gave, as the record keeps them; None for none."""
    return links(entities, relations) if entities or relations else None


def links(entities: Sequence[models.EntityMention], relations: Sequence[models.RelationMention]) -> dict[str, Any]:
    """Links with the keys that decide which names are the same, and one spelling of each predicate, whoever says it. Entities named only
    by a relation are mentioned as things."""
    found: dict[str, dict[str, str]] = {}
    for entity in sorted(entities, key=lambda one: one.type == "thing"):  # of two spellings the first, but a type before none
        key = name_key(entity.name)
        found.setdefault(key, {"name": entity.name, "type": entity.type, "key": key})
    rows = []
    for relation in dict.fromkeys(replace(one, predicate=predicate_key(one.predicate)) for one in relations):
        source, target = name_key(relation.source), name_key(relation.target)
        found.setdefault(source, {"name": relation.source, "type": "thing", "key": source})
        found.setdefault(target, {"name": relation.target, "type": "thing", "key": target})
        rows.append(
            {
                "source": relation.source,
                "source_key": source,
                "predicate": relation.predicate,
                "target": relation.target,
                "target_key": target,
            }
        )
    return {"entities": [found[key] for key in sorted(found)], "relations": rows}


def save_item(item: MemoryInput) -> dict[str, Any]:
    """One memory as `memory_save_v1` takes it."""
    return {
        "id": item.id, "id_given": item.id_given, "namespace": item.namespace, "key": item.key, "thread": item.thread, "text": item.text,
        "metadata": dict(item.metadata), "source": item.source,
        "created_at": plain(item.created_at), "expires_at": plain(item.expires_at),
        "passages": list(item.passages), "given": given(item.entities, item.relations),
    }  # fmt: skip


def save_result(row: Mapping[str, Any]) -> SaveResult:
    """The receipt of one write."""
    touched = refs(row["touched"])
    if row["outcome"] in {"created", "updated", "revived"}:
        touched = (Ref("memory", row["id"]), *touched)
    return SaveResult(row["id"], row["version"], row["revision"], row["outcome"], row["key"], touched)


def memory(row: Mapping[str, Any]) -> Memory:
    """A live memory."""
    fields = {
        **row,
        "created_at": moment(row["created_at"]), "updated_at": moment(row["updated_at"]), "expires_at": time(row["expires_at"]),
        "entities": tuple(models.EntityMention(entity["name"], entity["type"]) for entity in row["entities"]),
        "relations": tuple(models.RelationMention(r["source"], r["predicate"], r["target"]) for r in row["relations"]),
    }  # fmt: skip
    return Memory(**fields)


def refs(rows: Sequence[Sequence[str]]) -> tuple[Ref, ...]:
    """Subjects, as `[[kind, id], …]` carries them."""
    return tuple(Ref(kind, id_) for kind, id_ in rows)


def moment(value: str) -> datetime:
    """A time that is always there."""
    return datetime.fromisoformat(value).astimezone(UTC)


def time(value: str | None) -> datetime | None:
    """A time, or None."""
    return None if value is None else moment(value)


def plain(value: Any) -> Any:
    """Any model as JSON-serialisable data."""
    return models.as_json(value)
