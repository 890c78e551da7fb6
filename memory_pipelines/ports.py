"""The seams: what services ask of the stores and the models, as Protocols.

Lives here: one Protocol per kind of thing that can be exchanged. To add a transport, write one class that satisfies a
Protocol and one branch in `wiring.py`. Must stay out: drivers, defaults, behaviour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from memory_pipelines.domain.diagnosis import Examination
from memory_pipelines.domain.models import (
    Claim,
    ForgetResult,
    HistoryEntry,
    Links,
    Memory,
    MemoryInput,
    Ref,
    SaveResult,
    SearchHit,
    SyncState,
)

Vectors = Sequence[Sequence[float]]  # unit-length float32 rows


class RecordTransport(Protocol):
    """Calls one versioned SQL function. The seam between psycopg and PostgREST."""

    binary: bool
    """Whether vectors can go beside the JSON; else they go in it, as text."""

    def call(self, function: str, payload: Mapping[str, Any]) -> Any:
        """Call `public.<function>(payload::text)` and return its decoded `jsonb`.

        Raises:
            MemoryPipelinesError: the function's own `PT…` error, translated.
            Unavailable: `record_unavailable`; the outcome of a write is then unknown, and repeating it is safe.
        """
        ...

    def call_with_vectors(self, function: str, payload: Mapping[str, Any], vectors: Vectors) -> Any:
        """The same, of a function that takes vectors beside the JSON, as binary. Only where `binary` is true."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Layout:
    """Indexes and uniqueness constraints of a graph, those that are in force only: (label, property) each."""

    indexes: frozenset[tuple[str, str]]
    unique: frozenset[tuple[str, str]]


class GraphTransport(Protocol):
    """Runs one Cypher statement with parameters. The seam between FalkorDB's protocol and Bolt."""

    @property
    def dialect(self) -> str:
        """Names the schema statements: `cypher/schema_<dialect>.cypher`."""
        ...

    def run(self, statement: str, parameters: Mapping[str, Any] | None = None, *, write: bool = False) -> list[list[Any]]:
        """Run `statement` atomically and return its rows, nodes and edges already turned into maps of properties.

        Raises:
            Unavailable: `graph_unavailable`.
        """
        ...

    def schema(self, statement: str) -> None:
        """Run a schema statement; one that repeats an existing index or constraint is silent."""
        ...

    def laid_out(self) -> Layout | None:
        """Which indexes and constraints there are; None where the graph itself does not exist yet. Makes nothing.

        Raises:
            Unavailable: `graph_unavailable`.
        """
        ...

    def durability(self) -> tuple[str, ...]:
        """In which ways the server could lose what it acknowledged, a sentence each; empty where none is known."""
        ...

    def health(self) -> Mapping[str, Any]:
        """What answers: `server`, `version`, and `warnings` where there are any."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One event: `id` acknowledges it, `refs` say what to look at. A malformed entry has `problem` set and no refs."""

    id: str
    refs: tuple[Ref, ...]
    problem: str | None = None


class EventStream(Protocol):
    """Carries which subjects changed. Losing it costs time, never data: every method says whether it worked."""

    def publish(self, refs: Sequence[Ref]) -> bool:
        """One `XADD`, 100 ms at most. False when Redis is slow, down, or its breaker is open."""
        ...

    def read(self, group: str, consumer: str, *, count: int, block_ms: int) -> list[StreamEntry]:
        """New entries for `consumer`, after those it (or a dead consumer of the group) left unacknowledged.

        Raises:
            Unavailable: `stream_unavailable`.
        """
        ...

    def acknowledge(self, group: str, ids: Sequence[str]) -> None:
        """Acknowledge entries, then trim what every group has settled."""
        ...

    def wait(self, after: str, *, block_ms: int) -> str:
        """Block until an entry newer than `after` exists (plain `XREAD`), 5 s at most; returns the newest id, or `after`."""
        ...

    def last_id(self) -> str:
        """Id of the newest entry, `0-0` in an empty stream."""
        ...

    def health(self) -> Mapping[str, Any]: ...

    def close(self) -> None: ...


class Examiner(Protocol):
    """Looks at one engine for `doctor`, and changes nothing: it neither starts, creates nor migrates."""

    def examine(self) -> Examination:
        """What is found. An engine that does not answer is a finding, not an exception."""
        ...


class Embedder(Protocol):
    """Turns texts into vectors. Deterministic for a given `name`."""

    name: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One unit-length vector of `dimensions` floats per text, in order.

        Raises:
            Unavailable: `embedder_unavailable`, charged to the dependency.
            InvalidInput: `embedding_refused`, charged to the text.
        """
        ...

    def cost(self) -> Mapping[str, float]:
        """What was used since it was opened, e.g. `{"tokens": …}`; empty for a local model."""
        ...


@dataclass(frozen=True, slots=True)
class Extraction:
    """Result of extracting from one text: links, or the reason why there are none to be had."""

    links: Links | None
    problem: str | None = None


class Extractor(Protocol):
    """Finds entities and relations in texts. A problem with one text is its own; an outage raises."""

    name: str

    def extract(self, texts: Sequence[str]) -> list[Extraction]:
        """One result per text, in order.

        Raises:
            Unavailable: `extractor_unavailable`.
        """
        ...

    def cost(self) -> Mapping[str, float]: ...


@dataclass(frozen=True, slots=True)
class Marker:
    """The graph's marker node: `counter` rises with every accepted batch, `claim` is the highest claim that was ever
    offered, claims below `fence` write nothing."""

    counter: int = 0
    claim: int = 0
    fence: int = 0


@dataclass(frozen=True, slots=True)
class Applied:
    """Answer of a graph batch. `marker` is None when the marker refused it and nothing was written; `refused` holds the
    ids whose node was newer."""

    marker: int | None
    applied: int = 0
    refused: tuple[str, ...] = ()


class RecordStore(Protocol):
    """The record: memories, entities, passages, embeddings, ledger, verdicts. Each method is one SQL function call, described
    where that function stands."""

    def save(self, memories: Sequence[MemoryInput], *, revive: bool = False) -> list[SaveResult]: ...

    def update(self, id: str, changes: Mapping[str, Any], *, expected_version: int | None = None) -> SaveResult: ...  # noqa: A002

    def forget(
        self, *, ids: Sequence[str] = (), key: str | None = None, namespace: str | None = None, limit: int = 500
    ) -> tuple[ForgetResult, bool]: ...

    def get(self, *, id: str | None = None, key: str | None = None, namespace: str | None = None) -> Memory: ...  # noqa: A002

    def get_many(self, ids: Sequence[str]) -> list[Memory]: ...

    def page(self, filters: Mapping[str, Any]) -> tuple[Memory, ...]: ...

    def history(self, id: str) -> tuple[HistoryEntry, ...]: ...  # noqa: A002

    def namespaces(self) -> list[str]: ...

    def search(self, request: Mapping[str, Any]) -> tuple[SearchHit, ...]: ...

    def find_entity(self, namespace: str, name: str, vector: str | None) -> Mapping[str, Any]: ...

    def sync_state(self, id: str) -> SyncState: ...  # noqa: A002

    def owed_links(self, ids: Sequence[str]) -> tuple[Ref, ...]: ...

    def status(self, budget_seconds: float) -> Mapping[str, Any]: ...

    def counts(self) -> Mapping[str, Any]: ...

    def health(self) -> Mapping[str, Any]: ...

    def begin_drain(self, projection: str, holder: str, *, lease_seconds: float) -> bool: ...

    def end_drain(self, projection: str, holder: str) -> None: ...

    def claim(
        self, projection: str, *, refs: Sequence[Ref] | None, limit: int, owed_for_seconds: float | None = None, after: int = 0,
        holder: str | None = None, lease_seconds: float = 30.0,
    ) -> Claim: ...  # fmt: skip

    def settle_graph(self, rows: Sequence[Mapping[str, Any]], *, claim: int, markers: Sequence[int]) -> Mapping[str, int]: ...

    def store_links(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]: ...

    def store_embeddings(self, rows: Sequence[Mapping[str, Any]], vectors: Vectors, *, generation: int) -> Mapping[str, Any]: ...

    def generation(self, model: str, dimensions: int) -> int: ...

    def fail(self, projection: str, rows: Sequence[Mapping[str, Any]], *, max_attempts: int) -> Mapping[str, Any]: ...

    def owe_lost(self, marker: int) -> Mapping[str, Any]: ...

    def owe(self, rows: Sequence[Mapping[str, Any]]) -> int: ...

    def owe_shard(self, projection: str, shard: int, shards: int) -> int: ...

    def maintain(self, task: str, *, limit: int) -> Mapping[str, Any]: ...

    def audit_sums(self, kind: str, *, buckets: Sequence[int] | None = None) -> list[list[int]]: ...

    def audit_expected(
        self, kind: str, *, ids: Sequence[str] | None = None, cells: Sequence[tuple[int, int]] | None = None,
        buckets: tuple[int, int] | None = None,
    ) -> list[dict[str, Any]]: ...  # fmt: skip

    def audit_embeddings(self, *, after: str | None, limit: int) -> Mapping[str, Any]: ...

    def audit_ledger(self, *, budget_seconds: float) -> Mapping[str, Any]: ...

    def save_verdict(self, verdict: Mapping[str, Any]) -> None: ...

    def verdicts(self, limit: int) -> list[dict[str, Any]]: ...

    def close(self) -> None: ...


class GraphStore(Protocol):
    """The graph projection. Writes are batches under the marker; reads never need the record. Described where it is implemented."""

    def prepare(self, *, again: bool = False) -> None: ...

    def apply(self, kind: str, rows: Sequence[Mapping[str, Any]], *, claim: int, issued: int, settled: int) -> Applied: ...

    def marker(self) -> Marker: ...

    def raise_marker(self, counter: int) -> None: ...

    def raise_fence(self, claim: int) -> None: ...

    def drop(self) -> Iterator[int]: ...

    def tombstones(self, kind: str, *, limit: int) -> list[dict[str, str]]: ...

    def purge(self, kind: str, rows: Sequence[Mapping[str, str]]) -> None: ...

    def neighbours(self, entity_id: str, *, limit: int) -> list[dict[str, Any]]: ...

    def memories_of(self, entity_id: str, *, limit: int) -> list[str]: ...

    def sums(self, kind: str, *, buckets: Sequence[int] | None = None) -> list[list[int]]: ...

    def rows(
        self, kind: str, *, ids: Sequence[Mapping[str, str]] | Sequence[str] | None = None,
        cells: Sequence[tuple[int, int]] | None = None, buckets: tuple[int, int] | None = None, nobodys: int | None = None,
    ) -> list[dict[str, Any]]: ...  # fmt: skip

    def counts(self) -> Mapping[str, int]: ...

    def health(self) -> Mapping[str, Any]: ...

    def close(self) -> None: ...
