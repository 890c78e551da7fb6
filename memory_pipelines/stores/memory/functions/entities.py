"""Entities, relations and who supports them. A subject lives while at least one memory mentions it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from memory_pipelines.stores.memory.functions.base import (
    Payload,
    clock,
    drop_embeddings,
    keyed_hash,
    owe,
    refs,
    refuse,
    settle_gone,
    settled,
    uuid,
)
from memory_pipelines.stores.memory.functions.embeddings import nearest_entities
from memory_pipelines.stores.memory.functions.leases import check_lease
from memory_pipelines.stores.memory.rows import Entity, Link, Memory, Relation
from memory_pipelines.stores.memory.tables import Table, Tables

Links = Table[tuple[str, str], Link]


def store_links(tables: Tables, rows: Sequence[Payload], *, given: bool, bump: bool) -> list[list[str]]:
    """Make the links of some memories exactly what one origin says they are; what the other origin says stays.

    Args:
        rows: a dict a memory: memory, namespace, version, valid_from, entities, relations.
        given: the origin: the caller, else extraction.
        bump: raise the revision of memories whose links changed (a save has raised it already).

    Returns:
        The refs that now are owed.
    """
    touched_entities = {link.subject for row in rows for link in tables.mentions.having("memory", row["memory"])}
    touched_relations = {link.subject for row in rows for link in tables.statements.having("memory", row["memory"])}
    entities, renewed_entities = _entities(tables, rows)
    relations, renewed_relations = _relations(tables, rows, entities)
    changed = []
    for row in rows:
        named = {entities[row["namespace"], entity["key"]] for entity in row["entities"]}
        stated = {relations[_stated(row, said)] for said in row["relations"]}
        touched_entities |= named
        touched_relations |= stated
        if _link(tables.mentions, row, named, given=given):
            changed.append(row["memory"])
        _link(tables.statements, row, stated, given=given)
    removed = _drop_unsupported(tables, touched_entities, touched_relations)
    owe(tables, "graph", "entity", renewed_entities)
    owe(tables, "embeddings", "entity", renewed_entities)
    owe(tables, "graph", "relation", renewed_relations)
    if bump:
        for id_ in changed:
            memory = tables.memories[id_]
            tables.memories.put(id_, replace(memory, revision=memory.revision + 1))
        owe(tables, "graph", "memory", changed)
    return [*refs("entity", renewed_entities), *refs("relation", renewed_relations), *removed, *(refs("memory", changed) if bump else [])]


def _entities(tables: Tables, rows: Sequence[Payload]) -> tuple[dict[tuple[str, str], str], list[str]]:
    """Ids of the entities named, and which of them are new or came back. Of two spellings one with a type comes first."""
    ids: dict[tuple[str, str], str] = {}
    renewed = []
    named = [(row["namespace"], entity) for row in rows for entity in row["entities"]]
    for namespace, said in sorted(named, key=lambda pair: pair[1]["type"] == "thing"):
        if (namespace, said["key"]) in ids:
            continue
        hashed = keyed_hash(tables, "entity", namespace, said["key"])
        old = next(iter(tables.entities.having("name_hash", hashed)), None)
        if old is None:
            old = tables.entities.put(id_ := str(uuid4()), Entity(id_, namespace, said["name"], said["type"], said["key"], hashed))
            renewed.append(id_)
        elif old.deleted_at is not None or (old.type == "thing" and said["type"] != "thing"):
            kind = said["type"] if old.type in (None, "thing") else old.type
            name = old.name if old.name is not None else said["name"]
            fresh = replace(old, name=name, name_key=said["key"], type=kind, deleted_at=None, revision=old.revision + 1)
            tables.entities.put(old.id, fresh)
            renewed.append(old.id)
        ids[namespace, said["key"]] = old.id
    return ids, renewed


def _stated(row: Payload, said: Payload) -> tuple[str, str, str, str]:
    return (row["namespace"], said["source_key"], said["predicate"], said["target_key"])


def _relations(
    tables: Tables, rows: Sequence[Payload], entities: dict[tuple[str, str], str]
) -> tuple[dict[tuple[str, str, str, str], str], list[str]]:
    """Ids of the relations stated, and which of them are new or came back."""
    ids: dict[tuple[str, str, str, str], str] = {}
    renewed = []
    for row in rows:
        for said in row["relations"]:
            if (key := _stated(row, said)) in ids:
                continue
            source, target = entities[row["namespace"], said["source_key"]], entities[row["namespace"], said["target_key"]]
            hashed = keyed_hash(tables, "relation", source, said["predicate"], target)
            old = next(iter(tables.relations.having("name_hash", hashed)), None)
            if old is None:
                old = tables.relations.put(id_ := str(uuid4()), Relation(id_, row["namespace"], source, said["predicate"], target, hashed))
                renewed.append(id_)
            elif old.deleted_at is not None:
                tables.relations.put(old.id, replace(old, predicate=said["predicate"], deleted_at=None, revision=old.revision + 1))
                renewed.append(old.id)
            ids[key] = old.id
    return ids, renewed


def _link(links: Links, row: Payload, wanted: set[str], *, given: bool) -> bool:
    """Set one origin's flag where it is wanted, clear it elsewhere, delete what nobody says. True when links came or went."""
    changed = False
    for subject in wanted:
        old = links.get((row["memory"], subject))
        changed |= old is None
        given_now, extracted_now = given or (old is not None and old.given), not given or (old is not None and old.extracted)
        links.put((row["memory"], subject), Link(row["memory"], subject, given_now, extracted_now, row["version"], row["valid_from"]))
    for old in links.having("memory", row["memory"]):
        if old.subject in wanted or not (old.given if given else old.extracted):
            continue
        if old.given and old.extracted:
            links.put((old.memory, old.subject), replace(old, given=not given, extracted=given))
        else:
            links.drop((old.memory, old.subject))
            changed = True
    return changed


def _drop_unsupported(tables: Tables, entities: Iterable[str], relations: Iterable[str]) -> list[list[str]]:
    """Delete entities and relations, of those given, that nothing supports any more. Returns the refs that changed."""
    gone_relations = [
        row.id for row in (tables.relations[id_] for id_ in sorted(relations))
        if row.deleted_at is None and not tables.statements.having("subject", row.id)
    ]  # fmt: skip
    gone_entities = [
        row.id for row in (tables.entities[id_] for id_ in sorted(entities))
        if row.deleted_at is None and not tables.mentions.having("subject", row.id)
    ]  # fmt: skip
    for id_ in gone_relations:
        relation = tables.relations[id_]
        tables.relations.put(id_, replace(relation, revision=relation.revision + 1, deleted_at=clock(), predicate=None))
    for id_ in gone_entities:
        entity = tables.entities[id_]
        fresh = replace(entity, revision=entity.revision + 1, deleted_at=clock(), name=None, name_key=None, type=None)
        tables.entities.put(id_, fresh)
        drop_embeddings(tables, "entity", id_)
        settle_gone(tables, "embeddings", "entity", id_, revision=fresh.revision, version=fresh.revision)
    owe(tables, "graph", "entity", gone_entities)
    owe(tables, "graph", "relation", gone_relations)
    return [*refs("entity", gone_entities), *refs("relation", gone_relations)]


def drop_links(tables: Tables, memories: Sequence[str]) -> list[list[str]]:
    """Take away every support that some memories gave: the memories are being forgotten."""
    mentions = [link for id_ in memories for link in tables.mentions.having("memory", id_)]
    statements = [link for id_ in memories for link in tables.statements.having("memory", id_)]
    for links, rows in ((tables.mentions, mentions), (tables.statements, statements)):
        for link in rows:
            links.drop((link.memory, link.subject))
    return _drop_unsupported(tables, {link.subject for link in mentions}, {link.subject for link in statements})


def memory_store_links_v1(tables: Tables, p: Payload) -> Any:
    """Store extracted links and settle the debt, in one transaction. A result made from an older version is refused."""
    check_lease(tables, p.get("lease"))
    accepted, emptied = [], []
    for row in p["rows"]:
        memory = tables.memories.get(uuid(row["id"]))
        if memory is not None and memory.deleted_at is None and memory.version == row["version"]:
            if not p.get("accept_empty") and _empties(tables, memory, row):
                emptied.append(memory.id)
                continue
            facts = {"memory": memory.id, "namespace": memory.namespace, "version": memory.version, "valid_from": memory.created_at}
            accepted.append({**facts, "entities": row["entities"], "relations": row["relations"]})
    touched = store_links(tables, accepted, given=False, bump=True) if accepted else []
    paid = 0
    for row in p["rows"]:
        memory, debt = tables.memories.get(uuid(row["id"])), tables.ledger.get(("entities", "memory", row["id"]))
        if debt is None or debt.owed_number is None or debt.owed_number != row["number"]:
            continue
        if memory is not None and memory.id in emptied:
            continue
        if memory is None or memory.deleted_at is not None or memory.version == row["version"]:
            revision, version = (0, 0) if memory is None else (memory.revision, memory.version)
            tables.ledger.put(debt.key, settled(debt, revision=revision, version=version))
            paid += 1
    return {"stored": paid, "superseded": len(p["rows"]) - paid - len(emptied), "emptied": emptied, "touched": touched}


def _empties(tables: Tables, memory: Memory, row: Payload) -> bool:
    """Whether a result is empty where the very same text gave links before, and nobody accepts that."""
    if row["entities"] or row["relations"]:
        return False
    debt = tables.ledger.get(("entities", "memory", memory.id))
    if debt is None or debt.settled_version != memory.version or (debt.hint or {}).get("accept_empty"):
        return False
    return any(link.extracted for links in (tables.mentions, tables.statements) for link in links.having("memory", memory.id))


def memory_find_entity_v1(tables: Tables, p: Payload) -> Any:
    """The live entity with this name, else the names nearest to it: same beginning or part, then nearest vector."""
    namespace, key = p["namespace"], p["key"]
    if namespace not in tables.namespaces:
        refuse(404, "namespace_unknown", "There is no namespace of this name; the first save creates one.", namespace=namespace)
    found = next(iter(tables.entities.having("name_hash", keyed_hash(tables, "entity", namespace, key))), None)
    if found is not None and found.deleted_at is None:
        return {"entity": {"id": found.id, "name": found.name, "type": found.type}, "suggestions": []}
    named = [row for row in tables.entities if row.namespace == namespace and row.deleted_at is None and row.name_key is not None]
    near = sorted((row for row in named if key in str(row.name_key)), key=lambda row: (len(str(row.name_key)), str(row.name_key)))[:5]
    if not near and p.get("vector") is not None:
        near = nearest_entities(tables, namespace, p["vector"])
    return {"entity": None, "suggestions": [row.name for row in near]}
