"""The record's tables within one process, with indexes, and a journal that undoes.

Whoever reads or writes holds the lock of `Tables`; one call of a function is one transaction, and what it wrote is undone when it
raises. Sequences are not, as in Postgres. To add a table: a row class in `rows.py` and a line in `Tables`. Must stay out: what
the rows mean (`functions`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import uuid4

from memory_pipelines.stores.memory.rows import (
    Alias,
    Attempt,
    DeadEvent,
    Debt,
    Embedding,
    Entity,
    Generation,
    Heartbeat,
    Link,
    Memory,
    Passage,
    Relation,
    Version,
)

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
Undo = Callable[[], None]
_ATTEMPTS_KEPT = 10  # of each row


class Table(Generic[K, R]):
    """Rows by key, in the order they came. `indexes` name what rows are found by; of a row that gives None there is no entry."""

    def __init__(self, journal: list[Undo], **indexes: Callable[[R], Hashable | None]) -> None:
        self._journal, self._indexes = journal, indexes
        self._rows: dict[K, R] = {}
        self._keys: dict[str, dict[Hashable, dict[K, None]]] = {name: {} for name in indexes}

    def get(self, key: K | None) -> R | None:
        """The row of a key; None where there is none."""
        return None if key is None else self._rows.get(key)

    def __getitem__(self, key: K) -> R:
        return self._rows[key]

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._rows.values()))

    def __len__(self) -> int:
        return len(self._rows)

    def ids(self) -> list[K]:
        """The keys of all rows."""
        return list(self._rows)

    def having(self, index: str, value: Hashable) -> list[R]:
        """The rows with this value in an index."""
        return [self._rows[key] for key in self._keys[index].get(value, ())]

    def put(self, key: K, row: R) -> R:
        """Insert a row, or replace the one of the same key; returns it."""
        before = self._rows.get(key)
        self._journal.append(lambda: self._set(key, before))
        self._set(key, row)
        return row

    def drop(self, key: K) -> None:
        """Delete a row, if there is one."""
        before = self._rows.get(key)
        if before is not None:
            self._journal.append(lambda: self._set(key, before))
            self._set(key, None)

    def _set(self, key: K, row: R | None) -> None:
        before = self._rows.get(key)
        for name, of in self._indexes.items():
            keys = self._keys[name]
            was, now = None if before is None else of(before), None if row is None else of(row)
            if was == now:
                continue
            if was is not None:
                keys[was].pop(key, None)
                if not keys[was]:
                    del keys[was]
            if now is not None:
                keys.setdefault(now, {})[key] = None
        if row is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = row


class Ledger(Table[tuple[str, str, str], Debt]):
    """The ledger, which notes what became of a row that failed: each failure, and the settlement that ends them. Ten a row are kept."""

    def __init__(self, journal: list[Undo], attempts: Table[int, Attempt], **indexes: Callable[[Debt], Hashable | None]) -> None:
        super().__init__(journal, **indexes)
        self._attempts, self._numbers = attempts, Sequence()

    def put(self, key: tuple[str, str, str], row: Debt) -> Debt:
        """See `Table.put`."""
        before = self.get(key)
        super().put(key, row)
        if before is None:
            return row
        failed = row.attempts > before.attempts
        if failed or (before.attempts > 0 and before.owed_number is not None and row.owed_number is None):
            outcome = "settled" if not failed else "failed" if row.parked_at is None else "parked"
            attempt, error = max(row.attempts, before.attempts), row.last_error if failed else None
            n = self._numbers.next()
            self._attempts.put(n, Attempt(*key, n, datetime.now(UTC), outcome, attempt, error))
            for old in sorted(self._attempts.having("of", key), key=lambda one: -one.n)[_ATTEMPTS_KEPT:]:
                self._attempts.drop(old.n)
        return row


class Sequence:
    """Numbers that rise and never come back."""

    def __init__(self) -> None:
        self.last = 1  # as Postgres says it of a sequence that has given none
        self._next = 1

    def next(self) -> int:
        """The next number."""
        self.last, self._next = self._next, self._next + 1
        return self.last


@dataclass
class Tables:
    """Everything one record holds."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    identity: str = field(default_factory=lambda: str(uuid4()))
    pepper: bytes = field(default_factory=lambda: uuid4().bytes + uuid4().bytes)
    owings: Sequence = field(default_factory=Sequence)
    claims: Sequence = field(default_factory=Sequence)
    fences: Sequence = field(default_factory=Sequence)
    dead_event_ids: Sequence = field(default_factory=Sequence)
    round_numbers: Sequence = field(default_factory=Sequence)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When the transaction began."""

    def __post_init__(self) -> None:
        self.empty()

    def empty(self) -> None:
        """Drop every row; numbers go on."""
        journal: list[Undo] = []
        self._journal = journal
        self.namespaces = Table[str, str](journal)
        self.memories = Table[str, Memory](
            journal, key_hash=lambda row: row.key_hash, live=lambda row: row.namespace if row.deleted_at is None else None
        )
        self.history = Table[tuple[str, int], Version](journal, memory=lambda row: row.memory)
        self.passages = Table[tuple[str, int], Passage](journal, memory=lambda row: row.memory, namespace=lambda row: row.namespace)
        self.generations = Table[int, Generation](journal)
        self.embeddings = Table[tuple[str, str, int, int], Embedding](
            journal, of=lambda row: (row.kind, row.id), namespace=lambda row: (row.kind, row.namespace, row.generation)
        )
        self.entities = Table[str, Entity](journal, name_hash=lambda row: row.name_hash)
        self.aliases = Table[str, Alias](journal, entity=lambda row: row.entity, parent=lambda row: row.parent)
        self.relations = Table[str, Relation](journal, name_hash=lambda row: row.name_hash)
        self.mentions = Table[tuple[str, str], Link](
            journal, memory=lambda row: row.memory, subject=lambda row: row.subject, shows=lambda row: row.shows
        )
        self.statements = Table[tuple[str, str], Link](
            journal, memory=lambda row: row.memory, subject=lambda row: row.subject, shows=lambda row: row.shows
        )
        self.attempts = Table[int, Attempt](journal, of=lambda row: (row.projection, row.kind, row.id))
        self.ledger = Ledger(
            journal,
            self.attempts,
            owed=lambda row: row.projection if row.owed_number is not None else None,
            marked=lambda row: row.projection if row.settled_marker is not None else None,
        )
        self.graph_state = Table[str, int](journal)
        self.graph_batches = Table[int, int](journal)
        self.dead_events = Table[int, DeadEvent](journal, once=lambda row: (row.projection, row.entry, row.payload))
        self.heartbeats = Table[str, Heartbeat](journal)
        self.verdicts = Table[int, dict[str, Any]](journal)
        self.audit_rounds = Table[str, dict[str, Any]](journal)

    @contextmanager
    def transaction(self) -> Iterator[Tables]:
        """Hold the lock; keep what was written, or, after an error, undo all of it."""
        with self.lock:
            self.now = datetime.now(UTC)
            try:
                yield self
            except BaseException:
                while self._journal:
                    self._journal.pop()()
                raise
            finally:
                self._journal.clear()


_all: dict[str, Tables] = {}
_lock = threading.Lock()


def held(name: str) -> Tables:
    """What the records of `name` share in this process."""
    with _lock:
        return _all.setdefault(name, Tables())


def forget(name: str) -> None:
    """Let go of a record: whoever opens `name` next finds it empty."""
    with _lock:
        _all.pop(name, None)
