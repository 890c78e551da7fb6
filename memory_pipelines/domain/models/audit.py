"""Audits: findings, verdicts, and all that is known of one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between the record and a projection.

    Attributes:
        kind: what differs: `missing` (no ledger row says that it was ever there), `settled_absent` (the ledger says settled, the graph
            says absent), `stale`, `ahead`, `edited`, `extra`, `wrong_namespace`, `duplicate_node`, `duplicate_edge`, `dangling_edge` (an
            end that is nothing of ours, or a tombstone); of vectors also `orphan`, `wrong_generation`, `wrong_dimension`; of the ledger
            `owed_too_long`, `parked`, `given_up` (a debt that was dropped knowingly), `unledgered` (a subject without its row),
            `without_subject` (a row without its subject).
        store: `graph`, `embeddings`, `passages` or `ledger`.
        subject: memory, entity, mention, relation, passage or embedding.
        id: id of the subject; of an edge, its own id; of a passage, `memory-id#ordinal`.
        expected, actual: both sides' values, as far as they differ.
        hint: what a repair needs beside the id (endpoints of an edge, the revision seen, the memory that owns it).
        since: when an audit first saw this row differ, as far back as stored verdicts tell; this one, where it is new.
        last_write: of its owner in the record: `{version, revision, at}`.
        last_settlement: what the ledger says: `{projection, revision, version, marker, at}`.
    """

    kind: str
    store: str
    subject: str
    id: str
    expected: Mapping[str, Any] | None = None
    actual: Mapping[str, Any] | None = None
    hint: Mapping[str, Any] = field(default_factory=dict)
    since: datetime | None = None
    last_write: Mapping[str, Any] | None = None
    last_settlement: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of an audit. `clean` is true when there is no finding; `pending` rows are younger than the sync budget.

    Attributes:
        mode: `incremental` looked at the buckets touched since the last round, `quick` and `deep` at everything.
        findings: at most 10,000; `more` counts the rest, `counts` all of them by kind.
        bytes: length of what the stores answered, as JSON.
        paused_seconds: how long the audit stood aside because the queue lagged; part of `seconds`.
        resumed: whether it went on where an interrupted one had stopped; `started_at` is then the first one's.
    """

    mode: Literal["incremental", "quick", "deep"]
    clean: bool
    checked: Mapping[str, int]
    pending: int
    findings: tuple[Finding, ...]
    seconds: float
    at: datetime | None = None
    repaired: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    more: int = 0
    bytes: int = 0
    paused_seconds: float = 0.0
    started_at: datetime | None = None
    resumed: bool = False

    def kinds(self) -> dict[str, int]:
        """Findings counted by kind, also those that are not kept."""
        return dict(self.counts)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that is known of one memory, entity or relation; `explain(id)`.

    Attributes:
        kind: `memory`, `entity`, `relation`, or `unknown` where only a projection or the ledger knows the id.
        record: the record's numbers and times, None where it does not know the id; the text only where it was asked for.
        stores: per projection, what it holds: the graph's node with revision and digest, vectors by passage.
        ledger: one row a projection: owed since when, or settled at what.
        attempts: the last ten attempts that failed, and the settlements after them, oldest first.
        dead_letter: ledger rows that are parked, with reason and attempts.
        finding: what the newest verdict that named it said, with the verdict's time and mode.
        events: all of the above that has a time, `{at, what, …}` in order.
    """

    id: str
    kind: str
    record: Mapping[str, Any] | None
    stores: Mapping[str, Any]
    ledger: tuple[Mapping[str, Any], ...]
    attempts: tuple[Mapping[str, Any], ...]
    dead_letter: tuple[Mapping[str, Any], ...]
    finding: Mapping[str, Any] | None
    events: tuple[Mapping[str, Any], ...]
