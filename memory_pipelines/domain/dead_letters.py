"""Dead letters: what failed for a reason of its own and is parked, a row of the ledger or an entry of the stream.

Each has a name by which it is retried or dropped: `projection:kind:id` of a row, `event:number` of an entry. Must stay out: I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.models import PROJECTIONS

EVENT = "event"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One parked row or entry.

    Attributes:
        name: what it is retried or dropped by.
        projection: which projection it is parked for.
        kind: of the subject; `event` for an entry of the stream.
        id: of the subject, or the entry's own.
        code: stable name of the failure.
        reason: what happened, for people.
        attempts: failures so far.
        tokens_spent: by a model, in vain.
        dropped_at: since when the debt is given up knowingly; audits go on naming it.
        payload: what an entry held, as JSON of bounded length.
    """

    name: str
    projection: str
    kind: str
    id: str
    code: str
    reason: str
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime
    namespace: str | None = None
    tokens_spent: int = 0
    owed_since: datetime | None = None
    dropped_at: datetime | None = None
    payload: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """One page: rows before entries, the longest owed first. `cursor` continues it and is None on the last page."""

    letters: tuple[DeadLetter, ...]
    cursor: str | None = None

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(self.letters)

    def __len__(self) -> int:
        return len(self.letters)


@dataclass(frozen=True, slots=True)
class Released:
    """What a retry or a drop did. `unknown` names no parked row or entry; `unreadable` entries are still not understood, and stay."""

    rows: int = 0
    events: int = 0
    unknown: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """Names taken apart."""

    rows: tuple[tuple[str, str, str], ...]
    events: tuple[int, ...]


def name_of_row(projection: str, kind: str, subject: str) -> str:
    """The name of a parked row."""
    return f"{projection}:{kind}:{subject}"


def name_of_event(number: int) -> str:
    """The name of a parked entry."""
    return f"{EVENT}:{number}"


def parse(names: Iterable[str]) -> Named:
    """Names into rows and entries, each once.

    Raises:
        InvalidInput: `dead_letter_invalid`
    """
    rows: dict[tuple[str, str, str], None] = {}
    events: dict[int, None] = {}
    for name in names:
        parts = name.split(":", 2)
        if parts[0] == EVENT and len(parts) == 2 and parts[1].isascii() and parts[1].isdigit() and int(parts[1]) < 2**53:
            events[int(parts[1])] = None
        elif len(parts) == 3 and parts[0] in PROJECTIONS and parts[1] and parts[2] and "\0" not in name:
            rows[parts[0], parts[1], parts[2]] = None
        else:
            raise InvalidInput(
                "dead_letter_invalid", f"{name[:200]!r} names no dead letter: write projection:kind:id or event:number, as they are listed."
            )
    return Named(tuple(rows), tuple(events))
