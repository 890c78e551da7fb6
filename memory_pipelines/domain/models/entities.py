"""Entities: neighbours, aliases, merges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from memory_pipelines.domain.models.memories import Memory
from memory_pipelines.domain.models.terms import Ref


@dataclass(frozen=True, slots=True)
class RelatedEntity:
    """A neighbour of an entity, once. `predicates` say what joins them, `out` what leads to the neighbour and `in` what comes from it;
    without any, memories only mention both. `memories` counts those, `newest` is when the newest of them was written."""

    name: str
    type: str
    predicates: tuple[RelatedBy, ...] = ()
    memories: int = 0
    newest: datetime | None = None


@dataclass(frozen=True, slots=True)
class RelatedBy:
    """One predicate between an entity and its neighbour."""

    predicate: str
    direction: Literal["out", "in"]


@dataclass(frozen=True, slots=True)
class Related:
    """An entity with its neighbours (best first) and the memories that mention it (newest first)."""

    name: str
    type: str
    namespace: str
    neighbours: tuple[RelatedEntity, ...] = ()
    memories: tuple[Memory, ...] = ()


@dataclass(frozen=True, slots=True)
class EntityAlias:
    """An entity that was merged into another. `entity` is what it is shown as, `merged_into` what it was merged into, which may have been
    merged itself since. `name` is None once no memory says it any more."""

    id: str
    name: str | None
    type: str | None
    entity_id: str
    entity: str | None
    merged_into: str | None
    merged_at: datetime
    merged_by: str | None = None


@dataclass(frozen=True, slots=True)
class NamedMention:
    """That one memory mentions an entity, under which name, and who says so. `entity_id` is the entity of that name, merged or not."""

    memory: str
    entity_id: str
    name: str
    given: bool
    extracted: bool
    version: int
    valid_from: datetime


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity as it is shown, with what was merged into it and where it is named. `mentions` counts memories, `memories` are the newest
    mentions."""

    id: str
    name: str
    type: str
    namespace: str
    revision: int
    mentions: int
    aliases: tuple[EntityAlias, ...] = ()
    memories: tuple[NamedMention, ...] = ()


@dataclass(frozen=True, slots=True)
class EntitySummary:
    """An entity in a list. `mentions` counts memories, `newest` is when the newest of them was written, `key` the form of the name that
    spellings are compared in."""

    id: str
    name: str
    type: str
    key: str
    mentions: int
    newest: datetime | None = None


@dataclass(frozen=True, slots=True)
class EntityPage:
    """One page of a list of entities; `cursor` continues it and is None on the last page."""

    entities: tuple[EntitySummary, ...]
    cursor: str | None = None

    def __iter__(self) -> Iterator[EntitySummary]:
        return iter(self.entities)

    def __len__(self) -> int:
        return len(self.entities)


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What a merge, or taking one back, did. `entity` is what the names are shown as now; `memories` counts those that changed for it."""

    outcome: Literal["merged", "unchanged", "unmerged"]
    entity: str | None
    alias: str | None
    memories: int
    touched: tuple[Ref, ...] = ()
