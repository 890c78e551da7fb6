"""Foundations that the other functions stand on: values read as a cast would, hashes, debts. The twin of `base.sql`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

from memory_pipelines.domain.errors import InvalidInput, from_status
from memory_pipelines.stores.memory.rows import Debt
from memory_pipelines.stores.memory.tables import Tables

Payload = dict[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def refuse(status: int, code: str, message: str, **detail: Any) -> NoReturn:
    """Raise what a function of SQL raises; the transaction is undone."""
    raise from_status(status, code, message, detail)


def uuid(value: Any) -> str:
    """`value::uuid`.

    Raises:
        InvalidInput: `value_invalid`
    """
    try:
        return str(UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise InvalidInput("value_invalid", "The record refused a value: invalid input syntax for type uuid.") from None


def as_uuid(value: str) -> str | None:
    """A UUID, or None for what is none: repairs look at ids that came from elsewhere."""
    try:
        return str(UUID(value)) if len(value) == 36 else None
    except ValueError:
        return None


def moment(value: Any) -> datetime | None:
    """`value::timestamptz`.

    Raises:
        InvalidInput: `value_invalid`
    """
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        raise InvalidInput("value_invalid", "The record refused a value: invalid input syntax for type timestamptz.") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def clock() -> datetime:
    """The present moment; `Tables.now` is when the transaction began."""
    return datetime.now(UTC)


def iso(at: datetime | None) -> str | None:
    """A time as JSON carries it."""
    return None if at is None else at.isoformat()


def seconds_since(at: datetime | None) -> float | None:
    """How long ago that was."""
    return None if at is None else (clock() - at).total_seconds()


def millis(at: datetime | None) -> int | None:
    """Milliseconds since 1970, as the graph holds times."""
    return None if at is None else (at - _EPOCH) // timedelta(milliseconds=1)


def keyed_hash(tables: Tables, *parts: str) -> bytes:
    """A hash that names something without revealing it, salted with this record's secret."""
    return hashlib.sha256(b"\x1f".join([tables.pepper, *(part.encode() for part in parts)])).digest()


def content_hash(*parts: Any) -> bytes:
    """A hash of JSON values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()


def cell(id_: str) -> tuple[int, int]:
    """Bucket and leaf of an id: the first 12 bits of its sha256, and the 8 after those."""
    head = hashlib.sha256(UUID(id_).bytes).digest()
    return (head[0] << 4) | (head[1] >> 4), ((head[1] & 15) << 4) | (head[2] >> 4)


def halves(*parts: Any) -> tuple[int, int]:
    """A digest of 64 bits over what a projection must show, as its two halves. Only this record makes and compares it."""
    head = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(head[:4], "big"), int.from_bytes(head[4:8], "big")


def owe(tables: Tables, projection: str, kind: str, ids: Iterable[str]) -> None:
    """Owe subjects under new numbers; what is owed already keeps the time since when. A row that has failed, parked or not, starts
    anew if what it failed on has changed; else it keeps its attempts, and stays parked."""
    for id_ in sorted(set(ids)):
        old = tables.ledger.get((projection, kind, id_)) or Debt(projection, kind, id_)
        since = old.owed_since or clock()
        fresh = replace(old, owed_number=tables.owings.next(), owed_since=since)
        if not (old.attempts > 0 and _unchanged_since_it_failed(tables, old)):
            fresh = replace(fresh, attempts=0, retry_at=None, last_error=None, parked_at=None)
        tables.ledger.put(fresh.key, fresh)


def _unchanged_since_it_failed(tables: Tables, debt: Debt) -> bool:
    """Whether a subject is still what its row was charged for: the same revision for the graph, the same version for others."""
    id_, seen = as_uuid(debt.id), None
    if debt.kind == "memory" and (memory := tables.memories.get(id_)) is not None:
        seen = memory.revision if debt.projection == "graph" else memory.version
    elif debt.kind == "entity" and (entity := tables.entities.get(id_)) is not None:
        seen = entity.revision
    elif debt.kind == "relation" and (relation := tables.relations.get(id_)) is not None:
        seen = relation.revision
    return seen == debt.failed_seen


def settled(debt: Debt, *, revision: int, version: int, **facts: Any) -> Debt:
    """The row once it is paid; what a repair had seen goes with the debt unless `facts` say otherwise."""
    return replace(
        debt, owed_number=None, owed_since=None, settled_revision=revision, settled_version=version, settled_at=clock(),
        attempts=0, retry_at=None, last_error=None, parked_at=None, **{"forced": None, "hint": None, **facts},
    )  # fmt: skip


def settle_gone(tables: Tables, projection: str, kind: str, id_: str, *, revision: int, version: int) -> None:
    """Settle what has nothing left to be made of it."""
    debt = tables.ledger.get((projection, kind, id_))
    if debt is not None:
        tables.ledger.put(debt.key, settled(debt, revision=revision, version=version, forced=debt.forced, hint=debt.hint))


def refs(kind: str, ids: Iterable[str]) -> list[list[str]]:
    """`[[kind, id], …]` as the event stream carries it."""
    return [[kind, id_] for id_ in ids]


def drop_embeddings(tables: Tables, kind: str, id_: str) -> None:
    """Delete the vectors of a subject, of every generation."""
    for row in tables.embeddings.having("of", (kind, id_)):
        tables.embeddings.drop((row.kind, row.id, row.passage, row.generation))


def drop_passages(tables: Tables, id_: str, since: int = 0) -> None:
    """Delete the passages of a memory from an ordinal on."""
    for row in tables.passages.having("memory", id_):
        if row.ordinal >= since:
            tables.passages.drop((id_, row.ordinal))


def contains(whole: Any, part: Any) -> bool:
    """Whether one JSON value contains another as `@>` of jsonb means it, below the top."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and contains(whole[name], value) for name, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(contains(item, value) for item in whole) for value in part)
    if isinstance(part, bool) or isinstance(whole, bool):
        return part is whole
    return not isinstance(whole, (dict, list)) and bool(whole == part)


def strings(values: Sequence[Any] | None) -> list[str]:
    """A list of strings, empty for none."""
    return [str(value) for value in values or ()]
