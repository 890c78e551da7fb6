"""The nouns of the platform, as plain frozen data.

Lives here: what goes into the record and what comes back. To add a field, add it here, in the SQL function that
returns it and in its test. Must stay out: I/O, drivers, validation of raw input (that is `validation.py`).
Times are timezone-aware `datetime`s in UTC; ids of memories are UUID strings in lower case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

Projection = Literal["entities", "embeddings", "graph"]
SubjectKind = Literal["memory", "entity", "relation"]
Origin = Literal["given", "extracted"]
Outcome = Literal["created", "updated", "unchanged", "revived", "forgotten"]
Wait = Literal["none", "graph", "all"]

PROJECTIONS: tuple[Projection, ...] = ("entities", "embeddings", "graph")


@dataclass(frozen=True, slots=True)
class Ref:
    """A subject of the ledger: what to look at, never what to write."""

    kind: str
    id: str


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
class RelatedEntity:
    """A neighbour of an entity. `predicate` is None when they only share memories; `direction` is `out`, `in` or `together`."""

    name: str
    type: str
    direction: Literal["out", "in", "together"]
    shared: int = 0
    predicate: str | None = None


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
class MergeResult:
    """What a merge, or taking one back, did. `entity` is what the names are shown as now; `memories` counts those that changed for it."""

    outcome: Literal["merged", "unchanged", "unmerged"]
    entity: str | None
    alias: str | None
    memories: int
    touched: tuple[Ref, ...] = ()


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
    another one took it over meanwhile: what was under way is still owed."""

    projection: str
    done: int = 0
    failed: int = 0
    parked: int = 0
    superseded: int = 0
    batches: int = 0
    seconds: float = 0.0
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
        """Rows done per second."""
        return self.done / self.seconds if self.seconds else 0.0


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


@dataclass(frozen=True, slots=True)
class LineError:
    """A line of an import that was not taken, with its reason. `line` counts from 1."""

    line: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did, line by line counted."""

    imported: int = 0
    updated: int = 0
    unchanged: int = 0
    forgotten: int = 0
    rejected: int = 0
    errors: tuple[LineError, ...] = ()


def as_json(value: Any) -> Any:
    """Any model of this module as JSON-serialisable data: dataclasses to objects, times to ISO 8601."""
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "__dataclass_fields__"):
        return as_json(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): as_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return value
