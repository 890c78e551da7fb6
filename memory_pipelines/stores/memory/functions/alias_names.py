"""What a name means once entities were merged: as what one is shown, and which merged names are still said. Merging: `aliases.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from memory_pipelines.stores.memory.functions.base import keyed_hash
from memory_pipelines.stores.memory.rows import Entity, Link, Relation
from memory_pipelines.stores.memory.tables import Tables


def entity_named(tables: Tables, namespace: str, key: str) -> Entity | None:
    """The entity that a name was given to, living or not."""
    return next(iter(tables.entities.having("name_hash", keyed_hash(tables, "entity", namespace, key))), None)


def relation_named(tables: Tables, source: str, predicate: str, target: str) -> Relation | None:
    """The relation between two entities, living or not."""
    return next(iter(tables.relations.having("name_hash", keyed_hash(tables, "relation", source, predicate, target))), None)


def shown_as(tables: Tables, id_: str) -> str:
    """The entity that a named one is shown as: itself, unless it was merged."""
    alias = tables.aliases.get(id_)
    return id_ if alias is None else alias.entity


def borrows_name(tables: Tables, entity: Entity) -> bool:
    """Whether an entity lives under the name of one that was merged into it, because its own was forgotten."""
    return entity.name_key is not None and any(row.name_key == entity.name_key for row in tables.aliases.having("entity", entity.id))


def family(tables: Tables, id_: str) -> list[str]:
    """An entity and all that was merged into it, directly or not."""
    found = [id_]
    for parent in found:  # it grows meanwhile
        found += [row.id for row in tables.aliases.having("parent", parent)]
    return found


def shown_mentions(tables: Tables, memory: str) -> list[Link]:
    """The mentions of a memory that projections show, by entity: one that it names in several ways it mentions once."""
    by_entity = {link.shows: link for link in tables.mentions.having("memory", memory)}
    return [by_entity[entity] for entity in sorted(by_entity)]


def learn_names(tables: Tables, said: Mapping[str, dict[str, Any]]) -> None:
    """Merged names that are mentioned again are known again, and learn their type.

    Args:
        said: by the id of the entity named: name, type, key.
    """
    for id_, one in said.items():
        alias = tables.aliases.get(id_)
        if alias is None or not (alias.name is None or (alias.type == "thing" and one["type"] != "thing")):
            continue
        name, key = (one["name"], one["key"]) if alias.name is None else (alias.name, alias.name_key)
        kind = one["type"] if alias.type in (None, "thing") else alias.type
        tables.aliases.put(id_, replace(alias, name=name, name_key=key, type=kind))


def forget_unsaid_names(tables: Tables, entities: Iterable[str]) -> list[str]:
    """Forget the merged names, of those given and of what they were merged into, that no memory says any more. What lived under such a
    name takes another that it goes by: those entities are returned."""
    up = [id_ for id_ in dict.fromkeys(entities) if id_ in tables.aliases]
    forgotten: list[tuple[str, str | None]] = []
    for id_ in up:  # it grows meanwhile
        alias = tables.aliases[id_]
        if alias.parent in tables.aliases and alias.parent not in up:
            up.append(alias.parent)
        if alias.name is not None and not any(tables.mentions.having("subject", member) for member in family(tables, id_)):
            forgotten.append((alias.entity, alias.name_key))
            tables.aliases.put(id_, replace(alias, name=None, name_key=None, type=None))
    return take_other_names(tables, forgotten)


def take_other_names(tables: Tables, leaving: Iterable[tuple[str, str | None]]) -> list[str]:
    """Let what lives under a name that leaves it take the first other that it goes by.

    Args:
        leaving: entities, and the key of the name that each may live under and that no alias has any longer.

    Returns:
        The entities that were renamed.
    """
    renamed = []
    for id_, key in leaving:
        entity = tables.entities[id_]
        known = [alias for alias in tables.aliases.having("entity", id_) if alias.name is not None]
        if known and key is not None and entity.deleted_at is None and entity.name_key == key:
            other = min(known, key=lambda alias: (alias.merged_at, alias.id))
            fresh = replace(entity, name=other.name, name_key=other.name_key, type=other.type, revision=entity.revision + 1)
            tables.entities.put(id_, fresh)
            renamed.append(id_)
    return renamed
