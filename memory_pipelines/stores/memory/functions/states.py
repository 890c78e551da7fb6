"""What projections must hold of a row: the only place that says so here. Claims and audits show the same."""

from __future__ import annotations

from typing import Any

from memory_pipelines.stores.memory.functions.alias_names import shown_mentions
from memory_pipelines.stores.memory.functions.base import Payload, as_uuid, cell, halves, millis
from memory_pipelines.stores.memory.rows import Debt, Entity, Link, Memory, Relation
from memory_pipelines.stores.memory.tables import Tables


def digest(row: Memory | Entity | Relation | Link) -> tuple[int, int]:
    """The digest of a row, as its two halves."""
    match row:
        case Memory():
            return halves(row.id, row.revision, row.created_at.isoformat(), (row.content_hash or b"").hex(), row.namespace)
        case Entity():
            return halves(row.id, row.revision, row.type, row.name, row.namespace)
        case Relation():
            return halves(row.id, row.source, row.target, row.revision, row.predicate, row.namespace)
        case Link():
            return halves(row.memory, row.shows)


def graph_props(row: Memory | Entity | Relation) -> Payload | None:
    """The properties that the graph must show of a live row; None of a tombstone."""
    if row.deleted_at is not None:
        return None
    high, low = digest(row)
    props: Payload = {"id": row.id, "namespace": row.namespace, "revision": row.revision, "dh": high, "dl": low}
    match row:
        case Memory():
            props["created_at"] = millis(row.created_at)
        case Entity():
            props |= {"name": row.name, "type": row.type}
        case Relation():
            return props | {"predicate": row.predicate}
    bucket, leaf = cell(row.id)
    return props | {"bucket": bucket, "leaf": leaf}


def present_state(tables: Tables, debt: Debt) -> Payload | None:
    """The present state of an owed subject, as its projection needs it; None of one that the record does not know."""
    id_ = as_uuid(debt.id)
    if debt.projection == "graph":
        return _in_graph(tables, debt.kind, id_)
    if debt.kind == "memory":
        memory = tables.memories.get(id_)
        if memory is None:
            return None
        state = _numbers(memory, memory.version) | {"namespace": memory.namespace, "text": memory.text}
        if debt.projection == "embeddings":
            passages = sorted(tables.passages.having("memory", memory.id), key=lambda row: row.ordinal)
            state |= {"text": memory.text if debt.hint is not None else None, "passages": [row.text for row in passages]}
        return state
    entity = tables.entities.get(id_) if debt.kind == "entity" and debt.projection == "embeddings" else None
    return None if entity is None else _numbers(entity, entity.revision) | {"namespace": entity.namespace, "passages": [entity.name]}


def _in_graph(tables: Tables, kind: str, id_: str | None) -> Payload | None:
    if kind == "memory" and (memory := tables.memories.get(id_)) is not None:
        mentions = shown_mentions(tables, memory.id)
        said = ";".join(f"{link.shows} {high} {low}" for link in mentions for high, low in [digest(link)])
        return _numbers(memory, memory.version) | {"props": graph_props(memory), "mentions": said}
    if kind == "entity" and (entity := tables.entities.get(id_)) is not None:
        return _numbers(entity, entity.revision) | {"props": graph_props(entity)}
    if kind == "relation" and (relation := tables.relations.get(id_)) is not None:
        ends = {"source": relation.source, "target": relation.target}
        return _numbers(relation, relation.revision) | ends | {"props": graph_props(relation)}
    return None


def _numbers(row: Any, version: int) -> Payload:
    return {"revision": row.revision, "version": version, "deleted": row.deleted_at is not None}
