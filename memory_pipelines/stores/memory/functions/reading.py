"""Memories as they are read: one, several, a page, a history. What expired or was forgotten is not shown."""

from __future__ import annotations

from typing import Any

from memory_pipelines.stores.memory.functions.base import Payload, contains, iso, keyed_hash, moment, refuse, uuid
from memory_pipelines.stores.memory.rows import Memory
from memory_pipelines.stores.memory.tables import Tables


def memory_get_v1(tables: Tables, p: Payload) -> Any:
    """One live memory by id or by key of a namespace."""
    if "id" in p:
        row = tables.memories.get(uuid(p["id"]))
    else:
        known_namespace(tables, p["namespace"])
        row = next(iter(tables.memories.having("key_hash", keyed_hash(tables, "key", p["namespace"], p["key"]))), None)
    if row is None:
        refuse(404, "memory_unknown", "There is no such memory.", **p)
    refuse_gone(tables, row)
    return memory_json(row)


def memory_get_many_v1(tables: Tables, p: Payload) -> Any:
    """Live memories among some ids, newest first."""
    rows = (tables.memories.get(id_) for id_ in {uuid(i) for i in p["ids"]})
    return _newest_first([row for row in rows if row is not None and visible(tables, row)])


def memory_list_v1(tables: Tables, p: Payload) -> Any:
    """A page of live memories, newest first, after a keyset position."""
    known_namespace(tables, p["namespace"])
    rows = [row for row in tables.memories.having("live", p["namespace"]) if passes(tables, row, p)]
    if p.get("after") is not None:
        at, id_ = moment(p["after"][0]), uuid(p["after"][1])
        rows = [row for row in rows if at is not None and (row.created_at, row.id) < (at, id_)]
    return _newest_first(rows)[: p["limit"]]


def memory_history_v1(tables: Tables, p: Payload) -> Any:
    """Every version of a memory, oldest first; of one that has expired or was forgotten, numbers and times only."""
    id_ = uuid(p["id"])
    row = tables.memories.get(id_)
    if row is None:
        refuse(404, "memory_unknown", "There is no memory with this id.", id=id_)
    shown = visible(tables, row)
    entries = [*tables.history.having("memory", id_)]
    said = [(e.version, e.revision, e.operation, e.at, e.text, e.metadata) for e in entries]
    said.append((row.version, row.revision, row.operation, row.updated_at, row.text, row.metadata))
    return [
        {"version": version, "revision": revision, "operation": operation, "at": iso(at),
         "text": text if shown else None, "metadata": metadata if shown else None}
        for version, revision, operation, at, text, metadata in sorted(said, key=lambda entry: entry[0])
    ]  # fmt: skip


def memory_namespaces_v1(tables: Tables, p: Payload) -> Any:
    """Names of all namespaces."""
    del p
    return sorted(tables.namespaces)


def visible(tables: Tables, row: Memory) -> bool:
    """Whether a memory is neither forgotten nor expired."""
    return row.deleted_at is None and (row.expires_at is None or row.expires_at > tables.now)


def passes(tables: Tables, row: Memory, p: Payload) -> bool:
    """Whether a live memory passes a request's filters."""
    after, before = moment(p.get("created_after")), moment(p.get("created_before"))
    return (
        row.namespace == p["namespace"]
        and visible(tables, row)
        and (p.get("thread") is None or row.thread == p["thread"])
        and ("metadata" not in p or contains(row.metadata, p["metadata"]))
        and (after is None or row.created_at >= after)
        and (before is None or row.created_at < before)
    )


def memory_json(row: Memory) -> Payload:
    """A memory as it is told."""
    given = row.given or {}
    return {
        "id": row.id, "namespace": row.namespace, "key": row.key, "thread": row.thread, "text": row.text, "metadata": row.metadata,
        "source": row.source, "version": row.version, "revision": row.revision, "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at), "expires_at": iso(row.expires_at),
        "entities": given.get("entities") or [], "relations": given.get("relations") or [],
    }  # fmt: skip


def _newest_first(rows: list[Memory]) -> list[Payload]:
    return [memory_json(row) for row in sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)]


def known_namespace(tables: Tables, namespace: str) -> None:
    """Refuse a namespace that no save has made.

    Raises:
        NotFound: `namespace_unknown`
    """
    if namespace not in tables.namespaces:
        refuse(404, "namespace_unknown", "There is no namespace of this name; the first save creates one.", namespace=namespace)


def refuse_gone(tables: Tables, row: Memory) -> None:
    """Refuse what was forgotten or has expired.

    Raises:
        Gone: `memory_forgotten`, `memory_expired`
    """
    if row.deleted_at is not None:
        refuse(410, "memory_forgotten", "This memory was forgotten.", id=row.id, at=iso(row.deleted_at))
    if row.expires_at is not None and row.expires_at <= tables.now:
        refuse(410, "memory_expired", "This memory has expired.", id=row.id, at=iso(row.expires_at))
