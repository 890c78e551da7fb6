"""Entities: which there are, which are one, merging them and taking that back, what a name is shown as.

A merge is written to the record and owed to the graph like any other write. Mentions keep what they named, so that taking it back is
exact. Must stay out: deciding which entities are one.
"""

from __future__ import annotations

from typing import Any

from memory_pipelines.domain import cursors, fields, validation
from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Entity, EntityAlias, EntityPage, MergeResult
from memory_pipelines.domain.names import name_key
from memory_pipelines.services import events, leases
from memory_pipelines.services.platform import Platform

_PAGE = 500
_PATIENCE_SECONDS = 10.0  # for another merge in the same namespace, which takes a moment
_BY_CHARS = 200


def merge(platform: Platform, source: str, target: str, *, namespace: str, by: str | None) -> MergeResult:
    """Show one entity as another; see `MemoryClient.merge_entities`."""
    space, one, other = validation.namespace(namespace), validation.query(source), validation.query(target)
    if name_key(one) == name_key(other):
        raise InvalidInput(
            "entity_merged_with_itself", "Both names are one entity already: nothing can be merged into itself.", {"namespace": space}
        )
    who = fields.label(by, "by", "by_invalid", _BY_CHARS)
    with leases.hold(platform, leases.merging(space), wait_seconds=_PATIENCE_SECONDS) as lease:
        reach("merge.leased")
        result = platform.record.merge_entities(space, one, other, by=who, lease=lease)
        reach("merge.committed")
    events.publish(platform, result.touched)
    return result


def unmerge(platform: Platform, name: str, *, namespace: str) -> MergeResult:
    """Take a merge back; see `MemoryClient.unmerge_entity`."""
    space, wanted = validation.namespace(namespace), validation.query(name)
    with leases.hold(platform, leases.merging(space), wait_seconds=_PATIENCE_SECONDS) as lease:
        result = platform.record.unmerge_entity(space, wanted, lease=lease)
        reach("unmerge.committed")
    events.publish(platform, result.touched)
    return result


def listed(platform: Platform, *, namespace: str) -> tuple[EntityAlias, ...]:
    """Every merge of a namespace; see `MemoryClient.aliases`."""
    space = validation.namespace(namespace)
    found: list[EntityAlias] = []
    while True:
        after = (found[-1].merged_at.isoformat(), found[-1].id) if found else None
        page = platform.record.aliases(space, limit=_PAGE, after=after)
        found.extend(page)
        if len(page) < _PAGE:
            return tuple(found)


def entity(platform: Platform, name: str, *, namespace: str, limit: int) -> Entity:
    """What a name is shown as; see `MemoryClient.entity`."""
    return platform.record.entity(validation.namespace(namespace), validation.query(name), limit=validation.limit(limit))


def entities(platform: Platform, *, namespace: str, kind: str | None, prefix: str | None, limit: int, cursor: str | None) -> EntityPage:
    """A page of live entities, by name; see `MemoryClient.entities`."""
    filters: dict[str, Any] = {"namespace": validation.namespace(namespace), "limit": (most := validation.limit(limit))}
    if kind is not None:
        filters["type"] = str(fields.label(kind, "type", "type_invalid")).lower()
    if prefix is not None:
        filters["prefix"] = name_key(str(fields.label(prefix, "prefix", "prefix_invalid")))
    if cursor is not None:
        filters["after"] = _position(cursor)
    page = platform.record.entities(filters)
    last = page[-1] if len(page) == most else None
    return EntityPage(page, None if last is None else cursors.written(last.key, last.id))


def _position(cursor: str) -> list[str]:
    try:
        key, entity_id = cursors.read(cursor)
        return [str(key), validation.identifier(entity_id)]
    except (AttributeError, ValueError, TypeError, InvalidInput):
        raise InvalidInput("cursor_invalid", "This cursor was not made by `entities`: start again without one.") from None
