"""What services ask of the record. Each method is one SQL function call, described where that function stands.

One Protocol a subject; `RecordStore` is all of them. A new subject is a Protocol here (or in a file of its own) and a base of
`RecordStore`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from memory_pipelines.domain.models import (
    Claim,
    Entity,
    EntityAlias,
    EntitySummary,
    ForgetResult,
    HistoryEntry,
    Lease,
    Memory,
    MemoryInput,
    MergeResult,
    Namespace,
    Ref,
    SaveResult,
    SearchHit,
    SyncState,
)
from memory_pipelines.ports.leases import Leases
from memory_pipelines.ports.transports import Vectors


class MemoryRecords(Protocol):
    """Memories: written, read, searched."""

    def save(self, memories: Sequence[MemoryInput], *, revive: bool = False) -> list[SaveResult]: ...

    def update(self, id: str, changes: Mapping[str, Any], *, expected_version: int | None = None) -> SaveResult: ...  # noqa: A002

    def forget(
        self, *, ids: Sequence[str] = (), key: str | None = None, namespace: str | None = None, limit: int = 500,
        chosen: Mapping[str, Any] | None = None,
    ) -> tuple[ForgetResult, bool]: ...  # fmt: skip

    def count(self, namespace: str, chosen: Mapping[str, Any]) -> int: ...

    def get(self, *, id: str | None = None, key: str | None = None, namespace: str | None = None) -> Memory: ...  # noqa: A002

    def get_many(self, ids: Sequence[str]) -> list[Memory]: ...

    def page(self, filters: Mapping[str, Any]) -> tuple[Memory, ...]: ...

    def history(self, id: str) -> tuple[HistoryEntry, ...]: ...  # noqa: A002

    def namespaces(self) -> list[str]: ...

    def namespace_counts(self, *, limit: int, after: str | None = None) -> tuple[Namespace, ...]: ...

    def search(self, request: Mapping[str, Any]) -> tuple[SearchHit, ...]: ...

    def find_entity(self, namespace: str, name: str, vector: str | None) -> Mapping[str, Any]: ...


class SyncRecords(Protocol):
    """The ledger: what is owed, claimed, settled, charged."""

    def sync_state(self, id: str) -> SyncState: ...  # noqa: A002

    def owed_links(self, ids: Sequence[str]) -> tuple[Ref, ...]: ...

    def begin_drain(self, projection: str, holder: str, *, lease_seconds: float) -> int:
        """The fencing number under which the projection is ours to drain; 0 while another holds it."""
        ...

    def end_drain(self, projection: str, holder: str) -> None: ...

    def claim(
        self, projection: str, *, refs: Sequence[Ref] | None, limit: int, owed_for_seconds: float | None = None, after: int = 0,
        holder: str | None = None, lease_seconds: float = 30.0,
    ) -> Claim: ...  # fmt: skip

    def settle_graph(self, rows: Sequence[Mapping[str, Any]], *, claim: int, markers: Sequence[int]) -> Mapping[str, int]: ...

    def owe_lost(self, marker: int) -> Mapping[str, Any]: ...

    def owe(self, rows: Sequence[Mapping[str, Any]]) -> int: ...

    def owe_shard(self, projection: str, shard: int, shards: int) -> int: ...

    def maintain(self, task: str, *, limit: int, lease: Lease | None = None) -> Mapping[str, Any]: ...


class DeadLetterRecords(Protocol):
    """What failed for a reason of its own: charged, parked, released, given up."""

    def fail(
        self, projection: str, rows: Sequence[Mapping[str, Any]], *, max_attempts: int, lease: Lease | None = None
    ) -> Mapping[str, Any]: ...

    def dead_letters(
        self, *, projection: str | None = None, letters: Sequence[tuple[str, str, str]] | None = None, id: str | None = None,  # noqa: A002
        limit: int, after: int = 0,
    ) -> Mapping[str, Any]: ...  # fmt: skip

    def retry_dead(
        self,
        *,
        letters: Sequence[tuple[str, str, str]] | None = None,
        projection: str | None = None,
        limit: int,
        accept_empty: bool = False,
    ) -> Mapping[str, Any]: ...

    def drop_dead(self, letters: Sequence[tuple[str, str, str]]) -> int: ...

    def park_events(self, projection: str, events: Sequence[Mapping[str, Any]]) -> int: ...

    def dead_events(
        self, *, projection: str | None = None, ids: Sequence[int] | None = None, limit: int, after: int = 0
    ) -> Mapping[str, Any]: ...

    def drop_events(self, ids: Sequence[int]) -> int: ...


class EntityRecords(Protocol):
    """Results of the `entities` projection, and which of its entities are one."""

    def store_links(
        self, rows: Sequence[Mapping[str, Any]], *, accept_empty: bool = False, lease: Lease | None = None
    ) -> Mapping[str, Any]: ...

    def merge_entities(self, namespace: str, source: str, target: str, *, by: str | None, lease: Lease | None = None) -> MergeResult: ...

    def unmerge_entity(self, namespace: str, name: str, *, lease: Lease | None = None) -> MergeResult: ...

    def aliases(self, namespace: str, *, limit: int, after: tuple[str, str] | None = None) -> tuple[EntityAlias, ...]: ...

    def entity(self, namespace: str, name: str, *, limit: int) -> Entity: ...

    def entities(self, filters: Mapping[str, Any]) -> tuple[EntitySummary, ...]: ...


class EmbeddingRecords(Protocol):
    """Results of the `embeddings` projection."""

    def store_embeddings(self, rows: Sequence[Mapping[str, Any]], vectors: Vectors, *, generation: int) -> Mapping[str, Any]: ...

    def generation(self, model: str, dimensions: int) -> int: ...


class AuditRecords(Protocol):
    """What an audit asks, how far it has come, and its verdicts."""

    def audit_sums(self, kind: str, *, buckets: Sequence[int] | None = None, leaves: bool = True) -> list[list[int]]: ...

    def audit_expected(
        self, kind: str, *, ids: Sequence[str] | None = None, cells: Sequence[tuple[int, int]] | None = None,
        buckets: tuple[int, int] | None = None,
    ) -> list[dict[str, Any]]: ...  # fmt: skip

    def audit_embeddings(self, *, after: str | None = None, limit: int = 0, ids: Sequence[str] | None = None) -> Mapping[str, Any]: ...

    def audit_ledger(self, *, budget_seconds: float) -> Mapping[str, Any]: ...

    def audit_coverage(self, kind: str, *, after: str | None, limit: int) -> Mapping[str, Any]: ...

    def audit_begin(self, mode: str, *, resume: bool) -> Mapping[str, Any]: ...

    def audit_progress(self, progress: Mapping[str, Any]) -> bool: ...

    def audit_touched(self, *, marker: int, since: str) -> Mapping[str, Any]: ...

    def audit_context(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]: ...

    def save_verdict(self, verdict: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def verdicts(self, limit: int, *, findings: bool = True) -> list[dict[str, Any]]: ...

    def explain(self, id: str, *, text: bool = False) -> Mapping[str, Any]: ...  # noqa: A002


class RepairRecords(Protocol):
    """What a repair by plan asks and owes, and what becomes of outside edits."""

    def repair_look(self, rows: Sequence[Sequence[str]]) -> Mapping[str, Any]: ...

    def repair(self, rows: Sequence[Mapping[str, Any]], *, identity: str) -> list[str]: ...

    def adopt(self, rows: Sequence[Mapping[str, Any]], *, identity: str) -> Mapping[str, Any]: ...

    def policies(self) -> dict[str, str]: ...

    def set_policy(self, namespace: str, outside_edits: str) -> None: ...


class StatusRecords(Protocol):
    """How things stand."""

    def status(self, budget_seconds: float) -> Mapping[str, Any]: ...

    def counts(self) -> Mapping[str, Any]: ...

    def health(self) -> Mapping[str, Any]: ...


class RecordStore(
    MemoryRecords,
    SyncRecords,
    DeadLetterRecords,
    EntityRecords,
    EmbeddingRecords,
    AuditRecords,
    RepairRecords,
    StatusRecords,
    Leases,
    Protocol,
):
    """The record: memories, entities, passages, embeddings, ledger, verdicts."""

    def close(self) -> None: ...
