"""The ledger: leases, what is owed, claims, drains, and how things stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Lease:
    """A name held for a while by Postgres' clock. `fence` is the number that late writers are told by: it rises with each grant."""

    name: str
    fence: int
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProjectionState:
    """What one projection holds of one memory, as the ledger knows it."""

    owed: bool
    settled_version: int | None = None
    settled_revision: int | None = None
    owed_seconds: float | None = None
    parked: str | None = None


@dataclass(frozen=True, slots=True)
class SyncState:
    """`sync_state(id)`: the record's numbers and, per projection, the version it holds."""

    id: str
    version: int
    revision: int
    forgotten: bool
    projections: Mapping[str, ProjectionState]

    @property
    def settled(self) -> bool:
        """True when every projection shows this revision."""
        return not any(state.owed for state in self.projections.values())


@dataclass(frozen=True, slots=True)
class Status:
    """What is owed and how the engines are. `engines` maps an engine to `{"ok": bool, "version": …, "address": …}`.

    Attributes:
        parked: rows that failed for a reason of their own; `dropped` are those whose debt was given up knowingly.
        dead_events: entries of the stream that could not be read.
        projections: of each, `{"owed", "ready", "parked", "dropped", "oldest_owed_seconds", "draining"}`: `ready` rows wait for no new
            attempt, `draining` says whether a drain holds its lease now.
        breakers: of each dependency, `{"mode": "closed" | "open" | "half-open", "failures", "reason", "probe_in_seconds", …}`.
    """

    owed: Mapping[str, int]
    oldest_owed_seconds: float | None
    parked: int
    engines: Mapping[str, Mapping[str, Any]]
    counts: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0
    dead_events: int = 0
    breakers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    projections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Owed:
    """One claimed ledger row with the present state of its subject, read in one statement.

    `number` is the owed number noted before the read; settling is refused when it has changed since.
    `state` is None when the subject is unknown to the record. `forced` and `hint` come from a repair.
    """

    kind: str
    id: str
    number: int
    attempts: int
    state: Mapping[str, Any] | None
    forced: int | None = None
    hint: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch of owed rows. `claim` numbers the batch, `issued` is the highest claim ever issued, `settled_marker` the
    highest graph marker any settlement has stored."""

    claim: int
    issued: int
    settled_marker: int
    rows: tuple[Owed, ...]


@dataclass(frozen=True, slots=True)
class DrainResult:
    """What one drain of one projection did. `busy` means that another drain holds the projection and nothing was done, `lease_lost` that
    another one took it over meanwhile: what was under way is still owed. `working_seconds` is the part of `seconds` in which there was
    something to do; the rest was waiting for more."""

    projection: str
    done: int = 0
    failed: int = 0
    parked: int = 0
    superseded: int = 0
    batches: int = 0
    seconds: float = 0.0
    working_seconds: float = 0.0
    owed: int = 0
    oldest_owed_seconds: float | None = None
    rolled_back: int = 0
    busy: bool = False
    lease_lost: bool = False
    cost: Mapping[str, float] = field(default_factory=dict)
    progress: tuple[tuple[float, int], ...] = ()
    sample: tuple[Mapping[str, Any], ...] = ()

    @property
    def rate(self) -> float:
        """Rows done per second of work; waiting for more does not count."""
        return self.done / self.working_seconds if self.working_seconds else 0.0
