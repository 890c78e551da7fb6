"""Memories: save, update, forget. Every write is one transaction with the debts it makes. Reading is in `reading.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from memory_pipelines.stores.memory.functions.base import (
    Payload,
    clock,
    content_hash,
    drop_embeddings,
    drop_passages,
    iso,
    keyed_hash,
    millis,
    moment,
    owe,
    refs,
    refuse,
    settle_gone,
    uuid,
)
from memory_pipelines.stores.memory.functions.entities import drop_links, store_links
from memory_pipelines.stores.memory.functions.reading import (
    known_namespace,
    memory_get_many_v1,
    memory_get_v1,
    memory_history_v1,
    memory_list_v1,
    memory_namespaces_v1,
    refuse_gone,
)
from memory_pipelines.stores.memory.rows import Memory, Passage, Version
from memory_pipelines.stores.memory.tables import Tables

__all__ = [
    "memory_forget_v1", "memory_get_many_v1", "memory_get_v1", "memory_history_v1", "memory_list_v1", "memory_namespaces_v1",
    "memory_save_v1", "memory_update_v1",
]  # fmt: skip


def memory_save_v1(tables: Tables, p: Payload) -> Any:
    """Save memories: all of them, or none."""
    items: list[Payload] = p["memories"]
    results: list[Payload] = [{} for _ in items]
    links: dict[str, Payload] = {}
    order = sorted(range(len(items)), key=lambda n: ((items[n].get("key") or items[n]["id"]).encode(), n))
    for n in order:
        result = _save_one(tables, items[n], n, bool(p.get("revive")))
        row = result.pop("links", None)
        results[n] = result
        if row is not None:
            links[result["id"]] = row  # of a memory that is there twice, the later ones
    if links:
        results[0]["touched"] += store_links(tables, [links[id_] for id_ in sorted(links)], given=True, bump=False)
    return {"results": results}


def _save_one(tables: Tables, item: Payload, index: int, revive: bool) -> Payload:
    """Save one memory of a batch. Its links are left to the caller: the result has them as `links`."""
    id_, namespace, key, given = uuid(item["id"]), item["namespace"], item.get("key"), item.get("given")
    key_hash = None if key is None else keyed_hash(tables, "key", namespace, key)
    created, expires, metadata = moment(item.get("created_at")), moment(item.get("expires_at")), item.get("metadata") or {}
    hashed = content_hash(item["text"], metadata, item.get("thread"), item.get("source"), millis(created), millis(expires), given)
    if namespace not in tables.namespaces:
        tables.namespaces.put(namespace, namespace)
    old = _already(tables, item, index, id_, key_hash)
    if old is None:
        fresh = Memory(
            id_, namespace, key, key_hash, item.get("thread"), item["text"], metadata, item.get("source"), given, "created", 1, 1,
            hashed, created or tables.now, created is not None, tables.now, expires,
        )  # fmt: skip
        tables.memories.put(id_, fresh)
        _cut(tables, fresh, item["passages"])
        for projection in ("entities", "embeddings", "graph"):
            owe(tables, projection, "memory", [id_])
        return _result(fresh, "created", key, []) | ({} if given is None else {"links": links_row(fresh, given)})
    if old.deleted_at is None and old.content_hash == hashed and (key_hash is None or old.key_hash is not None):
        return _result(old, "unchanged", old.key, [])
    touched: list[list[str]] = []
    if old.expires_at is not None and old.expires_at <= tables.now:  # not yet seen by maintenance: the same as if it had been
        touched = refs("memory", [id_ := old.id]) + bury(tables, [id_], "expired")[1]
        old = tables.memories[id_]
    if old.deleted_at is not None and not revive:
        return _result(old, "forgotten", key, touched)
    began = old.created_at if old.deleted_at is None else tables.now
    _keep_version(tables, old)
    fresh = replace(
        old, key=key if key is not None else old.key, key_hash=key_hash or old.key_hash, thread=item.get("thread"), text=item["text"],
        metadata=metadata, source=item.get("source"), given=given, operation="updated" if old.deleted_at is None else "revived",
        version=old.version + 1, revision=old.revision + 1, content_hash=hashed, updated_at=clock(), deleted_at=None,
        expires_at=expires, created_at=created or began, created_given=created is not None,
    )  # fmt: skip
    tables.memories.put(fresh.id, fresh)
    _content_changed(tables, fresh, item["passages"], same_text=old.text == fresh.text)
    result = _result(fresh, fresh.operation, fresh.key, touched)
    return result if given is None and old.given is None else result | {"links": links_row(fresh, given)}


def _already(tables: Tables, item: Payload, index: int, id_: str, key_hash: bytes | None) -> Memory | None:
    """The memory that an item names by its key or its id.

    Raises:
        Conflict: `key_conflict`, `namespace_conflict`
    """
    by_key = None if key_hash is None else next(iter(tables.memories.having("key_hash", key_hash)), None)
    if by_key is not None:
        if by_key.id != id_ and item.get("id_given"):
            refuse(
                409, "key_conflict", "This key belongs to another memory of the namespace: save without an id, or under another key.",
                index=index, id=id_, other=by_key.id,
            )  # fmt: skip
        return by_key
    old = tables.memories.get(id_)
    if old is not None and old.namespace != item["namespace"]:
        refuse(
            409, "namespace_conflict", "A memory with this id lives in another namespace, and a memory never moves.", index=index, id=id_
        )
    if old is not None and key_hash is not None and old.key_hash is not None:
        refuse(409, "key_conflict", "A memory with this id has another key.", index=index, id=id_)
    return old


def memory_update_v1(tables: Tables, p: Payload) -> Any:
    """Change only the fields that are present."""
    c: Payload = p["changes"]
    old = _live(tables, uuid(p["id"]))
    changes: dict[str, Any] = {name: c[name] for name in ("text", "metadata", "thread", "source", "given") if name in c}
    if "created_at" in c:
        changes |= {"created_at": moment(c["created_at"]), "created_given": True}
    if "expires_at" in c:
        changes["expires_at"] = moment(c["expires_at"])
    fresh = replace(old, **changes)
    created = millis(fresh.created_at) if fresh.created_given else None
    hashed = content_hash(fresh.text, fresh.metadata, fresh.thread, fresh.source, created, millis(fresh.expires_at), fresh.given)
    expected = p.get("expected_version", old.version)
    if old.version != expected and (old.version != expected + 1 or hashed != old.content_hash):
        refuse(
            409, "version_conflict", "Someone else has written this memory since: read it again, then decide.",
            id=old.id, expected=expected, version=old.version,
        )  # fmt: skip
    if hashed == old.content_hash:
        return _result(old, "unchanged", old.key, [])
    _keep_version(tables, old)
    fresh = replace(fresh, content_hash=hashed, operation="updated", version=old.version + 1, revision=old.revision + 1, updated_at=clock())
    tables.memories.put(fresh.id, fresh)
    _content_changed(tables, fresh, c.get("passages") or [], same_text=fresh.text == old.text)
    touched = store_links(tables, [links_row(fresh, fresh.given)], given=True, bump=False) if "given" in c else []
    return _result(fresh, "updated", fresh.key, touched)


def memory_forget_v1(tables: Tables, p: Payload) -> Any:
    """Forget ids, one key of a namespace, or a page of a namespace."""
    ids: list[str] | None
    if "ids" in p:
        ids = [uuid(i) for i in p["ids"]] or None
        for id_ in ids or ():
            if id_ not in tables.memories:
                refuse(404, "memory_unknown", "There is no memory with this id.", id=id_)
    else:
        known_namespace(tables, p["namespace"])
        if "key" in p:
            ids = [row.id for row in tables.memories.having("key_hash", keyed_hash(tables, "key", p["namespace"], p["key"]))]
            if not ids:
                refuse(404, "memory_unknown", "There is no memory with this key in this namespace.", namespace=p["namespace"])
        else:
            ids = [row.id for row in tables.memories.having("live", p["namespace"])[: p["limit"]]] or None
    gone, touched = bury(tables, ids or [], "forgotten")
    graves = [row.deleted_at for row in (tables.memories[id_] for id_ in ids or ()) if row.deleted_at is not None]
    more = not ("ids" in p or "key" in p) and bool(ids)
    return {"ids": gone, "touched": touched, "at": iso(max(graves, default=None)), "of": ids, "more": more}


def bury(tables: Tables, ids: list[str], operation: str) -> tuple[list[str], list[list[str]]]:
    """Turn live memories into tombstones. Returns their ids, and the refs that changed because of it."""
    rows = [row for row in (tables.memories[id_] for id_ in sorted(set(ids))) if row.deleted_at is None]
    if operation == "expired":
        rows = [row for row in rows if row.expires_at is not None and row.expires_at <= tables.now]
    for row in rows:
        _keep_version(tables, row)
        for version in tables.history.having("memory", row.id):
            tables.history.put((row.id, version.version), replace(version, text=None, metadata=None))
        drop_passages(tables, row.id)
        drop_embeddings(tables, "memory", row.id)
    touched = drop_links(tables, [row.id for row in rows])
    for row in rows:
        grave = replace(
            row, text=None, key=None, thread=None, metadata={}, source=None, given=None, content_hash=None, operation=operation,
            version=row.version + 1, revision=row.revision + 1, updated_at=clock(), deleted_at=clock(), created_at=tables.now,
            created_given=False, expires_at=None,
        )  # fmt: skip
        tables.memories.put(row.id, grave)
        for projection in ("entities", "embeddings"):
            settle_gone(tables, projection, "memory", row.id, revision=grave.revision, version=grave.version)
    owe(tables, "graph", "memory", [row.id for row in rows])
    return [row.id for row in rows], touched


def links_row(row: Memory, links: Payload | None) -> Payload:
    """What `store_links` takes of one memory."""
    said = links or {}
    return {
        "memory": row.id, "namespace": row.namespace, "version": row.version, "valid_from": row.created_at,
        "entities": said.get("entities") or [], "relations": said.get("relations") or [],
    }  # fmt: skip


def _live(tables: Tables, id_: str) -> Memory:
    row = tables.memories.get(id_)
    if row is None:
        refuse(404, "memory_unknown", "There is no memory with this id.", id=id_)
    refuse_gone(tables, row)
    return row


def _keep_version(tables: Tables, row: Memory) -> None:
    if (row.id, row.version) not in tables.history:
        kept = Version(row.id, row.version, row.revision, row.operation, row.updated_at, row.text, row.metadata)
        tables.history.put((row.id, row.version), kept)


def _cut(tables: Tables, row: Memory, passages: list[str]) -> None:
    for n, text in enumerate(passages):
        tables.passages.put((row.id, n), Passage(row.id, n, row.version, row.namespace, text))


def _content_changed(tables: Tables, row: Memory, passages: list[str], *, same_text: bool) -> None:
    """Replace a memory's passages and owe its projections. With the same text as before, what hangs on the text alone is
    stamped with the new version instead of being made again."""
    if not same_text:
        drop_passages(tables, row.id)
        _cut(tables, row, passages)
        for projection in ("entities", "embeddings"):
            owe(tables, projection, "memory", [row.id])
    else:
        for passage in tables.passages.having("memory", row.id):
            tables.passages.put((row.id, passage.ordinal), replace(passage, version=row.version))
        for projection in ("entities", "embeddings"):
            debt = tables.ledger.get((projection, "memory", row.id))
            if debt is None:
                continue
            # The text is what they hang on: where it failed, or gave what it gave, it would again.
            if debt.attempts > 0 and debt.failed_seen == row.version - 1:
                debt = tables.ledger.put(debt.key, replace(debt, failed_seen=row.version))
            if debt.owed_number is not None:
                if projection == "entities" and debt.settled_version == row.version - 1:
                    tables.ledger.put(debt.key, replace(debt, settled_version=row.version))
                owe(tables, projection, "memory", [row.id])
                continue
            tables.ledger.put(debt.key, replace(debt, settled_version=row.version))
            if projection == "embeddings":
                for v in tables.embeddings.having("of", ("memory", row.id)):
                    tables.embeddings.put((v.kind, v.id, v.passage, v.generation), replace(v, version=row.version))
    owe(tables, "graph", "memory", [row.id])


def _result(row: Memory, outcome: str, key: str | None, touched: list[list[str]]) -> Payload:
    return {"id": row.id, "version": row.version, "revision": row.revision, "outcome": outcome, "key": key, "touched": touched}
