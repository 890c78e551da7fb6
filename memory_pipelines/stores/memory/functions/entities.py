"""Entities, relations and who supports them. A subject lives while at least one memory mentions it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from memory_pipelines.stores.memory.functions.alias_names import (
    borrows_name,
    entity_named,
    forget_unsaid_names,
    learn_names,
    relation_named,
    shown_as,
)
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
    touched_entities = _subjects(link for row in rows for link in tables.mentions.having("memory", row["memory"]))
    touched_relations = _subjects(link for row in rows for link in tables.statements.having("memory", row["memory"]))
    entities, renewed_entities = _entities(tables, rows)
    relations, renewed_relations = _relations(tables, rows, entities)
    changed = []
    for row in rows:
        named = {id_: shown_as(tables, id_) for id_ in (entities[row["namespace"], entity["key"]] for entity in row["entities"])}
        stated = dict(relations[_stated(row, said)] for said in row["relations"])
        touched_entities |= {*named, *named.values()}
        touched_relations |= {*stated, *stated.values()}
        if _link(tables.mentions, row, named, given=given):
            changed.append(row["memory"])
        _link(tables.statements, row, stated, given=given)
    removed = drop_unsupported(tables, touched_entities, touched_relations)
    renewed_relations = [id_ for id_ in renewed_relations if tables.relations[id_].deleted_at is None]  # not what only was named
    owe(tables, "graph", "entity", renewed_entities)
    owe(tables, "embeddings", "entity", renewed_entities)
    owe(tables, "graph", "relation", renewed_relations)
    if bump:
        for id_ in changed:
            memory = tables.memories[id_]
            tables.memories.put(id_, replace(memory, revision=memory.revision + 1))
        owe(tables, "graph", "memory", changed)
    return [*refs("entity", renewed_entities), *refs("relation", renewed_relations), *removed, *(refs("memory", changed) if bump else [])]


def _subjects(links: Iterable[Link]) -> set[str]:
    """What some links name, and what they show."""
    return {id_ for link in links for id_ in (link.subject, link.shows)}


def _entities(tables: Tables, rows: Sequence[Payload]) -> tuple[dict[tuple[str, str], str], list[str]]:
    """Ids of the entities named, and which are new or came back. Of two spellings one with a type comes first."""
    ids: dict[tuple[str, str], str] = {}
    said_of: dict[str, Payload] = {}
    renewed = []
    named = [(row["namespace"], entity) for row in rows for entity in row["entities"]]
    for namespace, said in sorted(named, key=lambda pair: pair[1]["type"] == "thing"):
        if (namespace, said["key"]) in ids:
            continue
        old = entity_named(tables, namespace, said["key"])
        if old is None:
            hashed = keyed_hash(tables, "entity", namespace, said["key"])
            old = tables.entities.put(id_ := str(uuid4()), Entity(id_, namespace, said["name"], said["type"], said["key"], hashed))
            renewed.append(id_)
        ids[namespace, said["key"]] = old.id
        said_of[old.id] = said
    shown: dict[str, tuple[bool, Payload]] = {}
    for id_, said in said_of.items():  # an entity's own name comes before those that were merged into it
        own = (root := shown_as(tables, id_)) == id_
        if root not in shown or own:
            shown[root] = (own, said)
    renewed += [id_ for id_, (own, said) in shown.items() if _renew(tables, tables.entities[id_], said, own=own)]
    learn_names(tables, said_of)
    return ids, renewed


def _renew(tables: Tables, old: Entity, said: Payload, *, own: bool) -> bool:
    """Let what was forgotten live again, and what is of unknown type learn it. A name that means another entity wakes that one, which
    then is called so until its own name comes. True when it changed."""
    borrowed = own and borrows_name(tables, old)
    learns = own and old.type == "thing" and said["type"] != "thing"
    if old.deleted_at is None and not learns and not (borrowed and old.name_key != said["key"]):
        return False
    name, key = (said["name"], said["key"]) if borrowed or old.name is None else (old.name, old.name_key)
    kind = said["type"] if old.type in (None, "thing") or borrowed else old.type
    tables.entities.put(old.id, replace(old, name=name, name_key=key, type=kind, deleted_at=None, revision=old.revision + 1))
    return True


def _stated(row: Payload, said: Payload) -> tuple[str, str, str, str]:
    return (row["namespace"], said["source_key"], said["predicate"], said["target_key"])


def _relations(
    tables: Tables, rows: Sequence[Payload], entities: dict[tuple[str, str], str]
) -> tuple[dict[tuple[str, str, str, str], tuple[str, str]], list[str]]:
    """Ids of the relations stated, each as it was named and as it is shown, and which are new or came back."""
    ids: dict[tuple[str, str, str, str], tuple[str, str]] = {}
    renewed: list[str] = []
    for row in rows:
        for said in row["relations"]:
            if (key := _stated(row, said)) in ids:
                continue
            source, target = entities[row["namespace"], said["source_key"]], entities[row["namespace"], said["target_key"]]
            named, is_new = _relation(tables, row["namespace"], source, said["predicate"], target)
            renewed += [named.id] if is_new else []
            ends = shown_as(tables, source), shown_as(tables, target)
            shown, is_new = _relation(tables, row["namespace"], ends[0], said["predicate"], ends[1])
            renewed += [shown.id] if is_new else []
            if shown.deleted_at is not None:
                tables.relations.put(shown.id, replace(shown, predicate=said["predicate"], deleted_at=None, revision=shown.revision + 1))
                renewed.append(shown.id)
            ids[key] = (named.id, shown.id)
    return ids, renewed


def _relation(tables: Tables, namespace: str, source: str, predicate: str, target: str) -> tuple[Relation, bool]:
    """A relation, living or not, and whether it is new."""
    old = relation_named(tables, source, predicate, target)
    if old is not None:
        return old, False
    hashed = keyed_hash(tables, "relation", source, predicate, target)
    return tables.relations.put(id_ := str(uuid4()), Relation(id_, namespace, source, predicate, target, hashed)), True


def _link(links: Links, row: Payload, wanted: dict[str, str], *, given: bool) -> bool:
    """Set one origin's flag where it is wanted, clear it elsewhere, delete what nobody says. True when links came or went."""
    changed = False
    for subject, shows in wanted.items():
        old = links.get((row["memory"], subject))
        changed |= old is None
        given_now, extracted_now = given or (old is not None and old.given), not given or (old is not None and old.extracted)
        shown = None if shows == subject else shows
        fresh = Link(row["memory"], subject, given_now, extracted_now, row["version"], row["valid_from"], shown)
        links.put((row["memory"], subject), fresh)
    for old in links.having("memory", row["memory"]):
        if old.subject in wanted or not (old.given if given else old.extracted):
            continue
        if old.given and old.extracted:
            links.put((old.memory, old.subject), replace(old, given=not given, extracted=given))
        else:
            links.drop((old.memory, old.subject))
            changed = True
    return changed


def drop_unsupported(tables: Tables, entities: Iterable[str], relations: Iterable[str]) -> list[list[str]]:
    """Delete entities and relations, of those given, that nothing supports any more. Returns the refs that changed."""
    gone_relations = [
        row.id for row in (tables.relations[id_] for id_ in sorted(relations))
        if row.deleted_at is None and not tables.statements.having("shows", row.id)
    ]  # fmt: skip
    gone_entities = [
        row.id for row in (tables.entities[id_] for id_ in sorted(entities))
        if row.deleted_at is None and not tables.mentions.having("shows", row.id)
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
    renamed = forget_unsaid_names(tables, entities)
    for id_ in renamed:
        drop_embeddings(tables, "entity", id_)  # a vector tells the name
    owe(tables, "embeddings", "entity", renamed)
    owe(tables, "graph", "entity", [*gone_entities, *renamed])
    owe(tables, "graph", "relation", gone_relations)
    return [*refs("entity", [*gone_entities, *renamed]), *refs("relation", gone_relations)]


def drop_links(tables: Tables, memories: Sequence[str]) -> list[list[str]]:
    """Take away every support that some memories gave: the memories are being forgotten."""
    mentions = [link for id_ in memories for link in tables.mentions.having("memory", id_)]
    statements = [link for id_ in memories for link in tables.statements.having("memory", id_)]
    for links, rows in ((tables.mentions, mentions), (tables.statements, statements)):
        for link in rows:
            links.drop((link.memory, link.subject))
    return drop_unsupported(tables, _subjects(mentions), _subjects(statements))


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
    found = entity_named(tables, namespace, key)
    found = None if found is None else tables.entities[shown_as(tables, found.id)]
    if found is not None and found.deleted_at is None:
        return {"entity": {"id": found.id, "name": found.name, "type": found.type}, "suggestions": []}
    named = [(str(row.name_key), row.name) for row in (*tables.entities, *tables.aliases) if row.namespace == namespace and row.name_key]
    near = [name for _, name in sorted((pair for pair in named if key in pair[0]), key=lambda pair: (len(pair[0]), pair[0]))[:5]]
    if not near and p.get("vector") is not None:
        near = [row.name for row in nearest_entities(tables, namespace, p["vector"])]
    return {"entity": None, "suggestions": near}
