"""Memories: what goes in, what comes back, what a search finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from memory_pipelines.domain.models.terms import Outcome, Ref


@dataclass(frozen=True, slots=True)
class EntityMention:
    """An entity as a text names it. `type` is a lower-case noun such as `person`, `place`, `organisation`, `date`."""

    name: str
    type: str = "thing"


@dataclass(frozen=True, slots=True)
class RelationMention:
    """A statement between two entities, by their names. An entity named only here is mentioned too, as a `thing`."""

    source: str
    predicate: str
    target: str


@dataclass(frozen=True, slots=True)
class Links:
    """Entities and relations found in, or given with, one memory."""

    entities: tuple[EntityMention, ...] = ()
    relations: tuple[RelationMention, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryInput:
    """One memory to be saved, already validated (see `domain.validation.memory_input`).

    Attributes:
        id: UUIDv7 made by the caller's side before the first attempt; `id_given` says whether the caller chose it.
        passages: `text` cut for search, in order; see `domain.passages.cut`.
    """

    id: str
    text: str
    namespace: str = "default"
    key: str | None = None
    thread: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    entities: tuple[EntityMention, ...] = ()
    relations: tuple[RelationMention, ...] = ()
    passages: tuple[str, ...] = ()
    id_given: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """A live memory as the record holds it. `version` counts callers' writes, `revision` what projections must show."""

    id: str
    namespace: str
    text: str
    version: int
    revision: int
    created_at: datetime
    updated_at: datetime
    key: str | None = None
    thread: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    expires_at: datetime | None = None
    entities: tuple[EntityMention, ...] = ()
    relations: tuple[RelationMention, ...] = ()


@dataclass(frozen=True, slots=True)
class SaveResult:
    """Receipt of one write. `(id, version)` is the token `sync_state` is asked with; `touched` is what now is owed."""

    id: str
    version: int
    revision: int
    outcome: Outcome
    key: str | None = None
    touched: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True)
class ForgetResult:
    """Receipt of a forget: what is gone from the record, and since when. Projections follow; ask `sync_state` for proof."""

    forgotten: int
    ids: tuple[str, ...]
    at: datetime | None = None
    touched: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryPage:
    """One page of a listing; `cursor` continues it and is None on the last page."""

    memories: tuple[Memory, ...]
    cursor: str | None = None

    def __iter__(self) -> Iterator[Memory]:
        return iter(self.memories)

    def __len__(self) -> int:
        return len(self.memories)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One version of a memory. After a forget, `text` and `metadata` of every entry are None: only numbers and times stay."""

    version: int
    revision: int
    operation: str
    at: datetime
    text: str | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A memory with the passage that matched. `score` is a reciprocal-rank-fusion score: larger is better."""

    id: str
    namespace: str
    text: str
    passage: str
    score: float
    created_at: datetime
    key: str | None = None
    thread: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Namespace:
    """What a namespace holds. `memories` are live, `bytes` is what was written of them (texts and metadata, in UTF-8), `newest` the newest
    time of one; `outside_edits` is its policy."""

    name: str
    memories: int
    entities: int
    relations: int
    bytes: int
    newest: datetime | None
    outside_edits: str
