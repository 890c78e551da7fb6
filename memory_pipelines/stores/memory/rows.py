"""The rows of the record's tables, never changed in place. `sql/migrations` says what each column means.

A generated column (digest, bucket, leaf) is computed where it is shown (`functions/states.py`). Must stay out: tables, functions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory, or its tombstone (`text` is None)."""

    id: str
    namespace: str
    key: str | None
    key_hash: bytes | None
    thread: str | None
    text: str | None
    metadata: dict[str, Any]
    source: str | None
    given: dict[str, Any] | None
    operation: str
    version: int
    revision: int
    content_hash: bytes | None
    created_at: datetime
    created_given: bool
    updated_at: datetime
    expires_at: datetime | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """A version that was replaced."""

    memory: str
    version: int
    revision: int
    operation: str
    at: datetime
    text: str | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a text."""

    memory: str
    ordinal: int
    version: int
    namespace: str
    text: str


@dataclass(frozen=True, slots=True)
class Generation:
    """An embedding model in use; here there is one at most, the active one."""

    id: int
    model: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Embedding:
    """A vector of a passage or of an entity's name: a row of float32."""

    kind: str
    id: str
    passage: int
    generation: int
    version: int
    namespace: str
    v: Any
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity, or its tombstone (`name` is None)."""

    id: str
    namespace: str
    name: str | None
    type: str | None
    name_key: str | None
    name_hash: bytes
    revision: int = 1
    deleted_at: datetime | None = None
    created_at: datetime = field(default_factory=_now)
    updated_at: datetime = field(default_factory=_now, init=False)  # so that `replace` stamps it anew


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation between two entities, or its tombstone (`predicate` is None)."""

    id: str
    namespace: str
    source: str
    predicate: str | None
    target: str
    name_hash: bytes
    revision: int = 1
    deleted_at: datetime | None = None
    created_at: datetime = field(default_factory=_now)
    updated_at: datetime = field(default_factory=_now, init=False)  # so that `replace` stamps it anew


@dataclass(frozen=True, slots=True)
class Link:
    """That a memory mentions an entity or states a relation (`subject`), who says so, and as what else it is shown, if it is."""

    memory: str
    subject: str
    given: bool
    extracted: bool
    version: int
    valid_from: datetime
    shown: str | None = None

    @property
    def shows(self) -> str:
        """What it supports: the subject, or what that was merged into."""
        return self.shown or self.subject


@dataclass(frozen=True, slots=True)
class Alias:
    """An entity that was merged into another (`parent`), and what it is shown as: the end of the chain of parents."""

    id: str
    namespace: str
    parent: str
    entity: str
    name: str | None
    type: str | None
    name_key: str | None
    merged_at: datetime
    merged_by: str | None


@dataclass(frozen=True, slots=True)
class Debt:
    """A row of the ledger: owed since when under which number, or settled at which revision under which marker."""

    projection: str
    kind: str
    id: str
    owed_number: int | None = None
    owed_since: datetime | None = None
    settled_revision: int | None = None
    settled_version: int | None = None
    settled_marker: int | None = None
    settled_at: datetime | None = None
    attempts: int = 0
    retry_at: datetime | None = None
    last_error: str | None = None
    parked_at: datetime | None = None
    forced: int | None = None
    hint: dict[str, Any] | None = None
    first_failed_at: datetime | None = None
    last_failed_at: datetime | None = None
    error_code: str | None = None
    tokens_spent: int = 0
    failed_seen: int | None = None
    dropped_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is found by."""
        return (self.projection, self.kind, self.id)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of a row that failed: that it did, or was parked, or settled at last."""

    projection: str
    kind: str
    id: str
    n: int
    at: datetime
    outcome: str
    attempt: int
    error: str | None


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """An entry of the stream that could not be read."""

    id: int
    projection: str
    entry: str
    payload: str
    problem: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Who holds a name, until when, under which number."""

    holder: str | None
    lease_until: datetime | None
    fence: int
