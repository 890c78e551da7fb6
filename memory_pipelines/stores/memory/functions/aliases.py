"""Entities merged into others, and back. Mentions and statements keep what was named, and only say as what they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NoReturn
from uuid import uuid4

from memory_pipelines.stores.memory.functions.alias_names import entity_named, family, relation_named, shown_as, take_other_names
from memory_pipelines.stores.memory.functions.base import Payload, clock, iso, keyed_hash, moment, owe, refs, refuse, uuid
from memory_pipelines.stores.memory.functions.entities import drop_unsupported
from memory_pipelines.stores.memory.functions.leases import check_lease
from memory_pipelines.stores.memory.functions.reading import known_namespace
from memory_pipelines.stores.memory.rows import Alias, Entity, Link, Relation
from memory_pipelines.stores.memory.tables import Tables


def memory_merge_entities_v1(tables: Tables, p: Payload) -> Any:
    """Show one entity, and all that was merged into it, as another from now on. Mentions keep what they named."""
    check_lease(tables, p.get("lease"))
    namespace, name = p["namespace"], p["source"]["name"]
    known_namespace(tables, namespace)
    source, target = _named(tables, namespace, p["source"]), _named(tables, namespace, p["target"])
    root, shown = tables.entities[shown_as(tables, target.id)], shown_as(tables, source.id)
    if root.id == source.id:
        message = "These are one entity already: nothing can be merged into itself or into its own alias."
        refuse(400, "entity_merged_with_itself", message, namespace=namespace, name=name)
    if shown not in (source.id, root.id):
        message = "The entity to merge is an alias of another one: unmerge it first, or merge that one."
        refuse(409, "entity_is_alias", message, namespace=namespace, name=name)
    memories: list[str] = []
    touched: list[list[str]] = []
    if shown == source.id:
        if source.deleted_at is not None or root.deleted_at is not None:
            missing = p["target"]["name"] if source.deleted_at is None else name
            message = "No memory of this namespace mentions both of these entities."
            refuse(404, "entity_unknown", message, namespace=namespace, name=missing)
        ids = family(tables, source.id)
        memories = _naming(tables, ids)
        for alias in tables.aliases.having("entity", source.id):
            tables.aliases.put(alias.id, replace(alias, entity=root.id))
        alias = Alias(source.id, namespace, root.id, root.id, source.name, source.type, source.name_key, clock(), p.get("by"))
        tables.aliases.put(alias.id, alias)
        touched = _show_anew(tables, ids, memories, root.id)
    return {
        "outcome": "merged" if shown == source.id else "unchanged", "entity": _told(root),
        "alias": {"id": source.id, "name": tables.aliases[source.id].name}, "memories": len(memories), "touched": touched,
    }  # fmt: skip


def memory_unmerge_entity_v1(tables: Tables, p: Payload) -> Any:
    """Take a merge back: whatever names that entity, or one that had been merged into it, is shown as it again."""
    check_lease(tables, p.get("lease"))
    namespace, name = p["namespace"], p["name"]["name"]
    known_namespace(tables, namespace)
    entity = entity_named(tables, namespace, p["name"]["key"])
    merged = tables.aliases.get(None if entity is None else entity.id)
    if merged is None:
        message = f"'{name}' was not merged into another entity of this namespace."
        refuse(404, "alias_unknown", message, namespace=namespace, name=name)
    ids = family(tables, merged.id)
    memories = _naming(tables, ids)
    tables.aliases.drop(merged.id)
    for id_ in ids:
        if (alias := tables.aliases.get(id_)) is not None:
            tables.aliases.put(id_, replace(alias, entity=merged.id))
    renewed = take_other_names(tables, [(merged.entity, merged.name_key)])
    if (again := tables.entities[merged.id]).deleted_at is not None and memories:
        fresh = replace(
            again, name=merged.name, type=merged.type, name_key=merged.name_key, deleted_at=None, revision=again.revision + 1
        )  # fmt: skip
        tables.entities.put(again.id, fresh)
        renewed.append(again.id)
    owe(tables, "graph", "entity", renewed)
    owe(tables, "embeddings", "entity", renewed)
    touched = [*refs("entity", renewed), *_show_anew(tables, ids, memories, merged.entity)]
    now, was = tables.entities[merged.id], tables.entities[merged.entity]
    told = {"entity": None if now.deleted_at else _told(now), "from": None if was.deleted_at else _told(was)}
    return told | {"memories": len(memories), "touched": touched}


def memory_aliases_v1(tables: Tables, p: Payload) -> Any:
    """The merges of a namespace, the oldest first, a page at a time."""
    known_namespace(tables, p["namespace"])
    rows = _in_order(alias for alias in tables.aliases if alias.namespace == p["namespace"])
    if "after" in p:
        at, id_ = moment(p["after"][0]), uuid(p["after"][1])
        rows = [row for row in rows if at is not None and (row.merged_at, row.id) > (at, id_)]
    return [_alias(tables, row) for row in rows[: p["limit"]]]


def memory_entity_v1(tables: Tables, p: Payload) -> Any:
    """One entity as it is shown, what was merged into it, and which memories mention it under which name, the newest first."""
    known_namespace(tables, p["namespace"])
    entity = tables.entities[shown_as(tables, _named(tables, p["namespace"], p["name"]).id)]
    if entity.deleted_at is not None:
        _unknown(p["namespace"], p["name"])
    aliases = _in_order(tables.aliases.having("entity", entity.id))
    names = {entity.id: entity.name} | {alias.id: alias.name for alias in aliases}
    said = [link for id_ in names for link in tables.mentions.having("subject", id_)]
    newest = sorted(sorted(said, key=lambda link: (link.memory, link.subject)), key=lambda link: link.valid_from, reverse=True)
    return {
        "id": entity.id, "name": entity.name, "type": entity.type, "revision": entity.revision,
        "aliases": [_alias(tables, alias) for alias in aliases], "mentions": len({link.memory for link in said}),
        "memories": [_mention(link, names[link.subject]) for link in newest[: p["limit"]]],
    }  # fmt: skip


def _show_anew(tables: Tables, ids: Sequence[str], memories: Sequence[str], supported: str) -> list[list[str]]:
    """Show some named entities as what the aliases now say: mentions, statements, and the relations between what is shown.

    Args:
        ids: entities as named.
        memories: that name them.
        supported: what they were or are shown as, beside themselves.

    Returns:
        The refs that now are owed.
    """
    for link in [link for id_ in ids for link in tables.mentions.having("subject", id_)]:
        shown = shown_as(tables, link.subject)
        tables.mentions.put((link.memory, link.subject), replace(link, shown=None if shown == link.subject else shown))
    # What a statement was shown as until now knows the predicate: all of them are read before any is changed.
    moved = [
        (link, relation, str(tables.relations[link.shows].predicate))
        for memory in memories for link in tables.statements.having("memory", memory)
        for relation in [tables.relations[link.subject]] if relation.source in ids or relation.target in ids
    ]  # fmt: skip
    touched: set[str] = set()
    renewed: list[str] = []
    for link, relation, predicate in moved:
        shown_relation, is_new = _shown_relation(tables, relation, predicate)
        renewed += [shown_relation] if is_new else []
        touched |= {link.subject, link.shows, shown_relation}
        shown_now = None if shown_relation == link.subject else shown_relation
        tables.statements.put((link.memory, link.subject), replace(link, shown=shown_now))
    removed = drop_unsupported(tables, {*ids, supported}, touched)
    owe(tables, "graph", "relation", renewed)
    for id_ in memories:
        memory = tables.memories[id_]
        tables.memories.put(id_, replace(memory, revision=memory.revision + 1))
    owe(tables, "graph", "memory", memories)
    return [*refs("relation", renewed), *removed, *refs("memory", memories)]


def _shown_relation(tables: Tables, relation: Relation, predicate: str) -> tuple[str, bool]:
    """The relation between the ends as they are shown now, alive, and whether it is new or came back."""
    source, target = shown_as(tables, relation.source), shown_as(tables, relation.target)
    old = relation_named(tables, source, predicate, target)
    if old is None:
        hashed = keyed_hash(tables, "relation", source, predicate, target)
        old = Relation(str(uuid4()), relation.namespace, source, predicate, target, hashed)
    elif old.deleted_at is None:
        return old.id, False
    else:
        old = replace(old, predicate=predicate, deleted_at=None, revision=old.revision + 1)
    tables.relations.put(old.id, old)
    return old.id, True


def _naming(tables: Tables, ids: Iterable[str]) -> list[str]:
    return sorted({link.memory for id_ in ids for link in tables.mentions.having("subject", id_)})


def _named(tables: Tables, namespace: str, named: Payload) -> Entity:
    """The entity with a name, merged or not.

    Raises:
        NotFound: `entity_unknown`
    """
    entity = entity_named(tables, namespace, named["key"])
    if entity is None or (entity.deleted_at is not None and entity.id not in tables.aliases):
        _unknown(namespace, named)
    return entity


def _unknown(namespace: str, named: Payload) -> NoReturn:
    refuse(404, "entity_unknown", f"No memory of this namespace mentions '{named['name']}'.", namespace=namespace, name=named["name"])


def _in_order(aliases: Iterable[Alias]) -> list[Alias]:
    return sorted(aliases, key=lambda alias: (alias.merged_at, alias.id))


def _told(entity: Entity) -> Payload:
    return {"id": entity.id, "name": entity.name, "type": entity.type}


def _alias(tables: Tables, alias: Alias) -> Payload:
    parent = tables.aliases.get(alias.parent)
    into = parent.name if parent is not None and parent.name is not None else tables.entities[alias.parent].name
    return {
        "id": alias.id, "name": alias.name, "type": alias.type, "entity_id": alias.entity, "entity": tables.entities[alias.entity].name,
        "merged_into": into, "merged_at": iso(alias.merged_at), "merged_by": alias.merged_by,
    }  # fmt: skip


def _mention(link: Link, name: str | None) -> Payload:
    return {
        "memory": link.memory, "entity_id": link.subject, "name": name, "given": link.given, "extracted": link.extracted,
        "version": link.version, "valid_from": iso(link.valid_from),
    }  # fmt: skip
