"""See how things stand, and keep the stores in step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memory_pipelines.client.door import Door
from memory_pipelines.domain.models import DrainResult, Explanation, Status, SyncState, Verdict
from memory_pipelines.services import explain as explain_service
from memory_pipelines.services import maintenance as maintenance_service
from memory_pipelines.services import status as status_service
from memory_pipelines.services.audit import audit as audit_service
from memory_pipelines.services.repair.auditing import audit_and_repair
from memory_pipelines.services.sync import sync as sync_service


class Keeping(Door):
    """The part of `MemoryClient` that syncs, audits and repairs."""

    def sync_state(self, id: str) -> SyncState:  # noqa: A002
        """Which version of a memory each projection holds.

        Raises:
            NotFound: `memory_unknown`
        """
        return sync_service.sync_state(self._platform, id)

    def sync(self, *projections: str) -> Sequence[DrainResult]:
        """Drain the named projections (all, in order, by default) in this process until nothing is owed."""
        return sync_service.drain_all(self._platform, projections)

    def rebuild(self, projection: str, *, drop: bool = False) -> DrainResult:
        """Make a whole projection again from the record; `drop` deletes the graph first, which a record that was rolled back needs."""
        return sync_service.rebuild(self._platform, projection, drop=drop)

    def maintain(self) -> Mapping[str, int]:
        """Do the nightly work now: expired memories become deletes, vectors move into their index, old tombstones leave the graph.

        Returns:
            Rows done by task: `expired`, `folded`, `purged`.

        Raises:
            Conflict: `lease_held`, another process is at it.
        """
        return maintenance_service.maintain(self._platform)

    def audit(self, *, deep: bool = False, repair: bool = False, incremental: bool = False, resume: bool = False) -> Verdict:
        """Compare every store with the record; with `repair`, owe what differs, drain, and audit once more.

        Args:
            deep: compare every property and edge, instead of trusting stored digests.
            incremental: look only at what was written since the last audit, and at what that one found.
            resume: go on with a deep audit that was interrupted, if there is one.
        """
        looking = audit_and_repair if repair else audit_service.audit
        return looking(self._platform, deep=deep, incremental=incremental, resume=resume)

    def audits(self, limit: int = 50) -> Sequence[Mapping[str, Any]]:
        """Verdicts of the audits so far, newest first: counts by kind, rows checked, bytes read, seconds."""
        return audit_service.history(self._platform, limit)

    def explain(self, id: str, *, text: bool = False) -> Explanation:  # noqa: A002
        """Everything that is known of a memory, an entity or a relation, in order of time: record, stores, ledger, attempts, verdict.

        Args:
            text: also what a person wrote.

        Raises:
            NotFound: `subject_unknown`
        """
        return explain_service.explain(self._platform, id, text=text)

    def status(self) -> Status:
        """What is owed to each projection, since when, what is parked, and how the engines are."""
        return status_service.status(self._platform)

    def health(self) -> Mapping[str, Mapping[str, Any]]:
        """Each engine: whether it answers, its version and address (never credentials)."""
        return status_service.health(self._platform)
