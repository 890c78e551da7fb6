"""What an audit asks of the record, and its verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memory_pipelines.stores.postgres import shapes
from memory_pipelines.stores.postgres.subjects.caller import Caller


class Audit(Caller):
    """See `ports.record.AuditRecords`."""

    def audit_sums(self, kind: str, *, buckets: Sequence[int] | None = None, leaves: bool = True) -> list[list[int]]:
        """Sums per bucket; of `buckets` alone per leaf, or per bucket without `leaves`."""
        payload: dict[str, Any] = {"kind": kind}
        if buckets is not None:
            payload |= {"buckets": [*buckets], "leaves": leaves}
        return self._call("memory_audit_sums_v1", payload)  # type: ignore[no-any-return]

    def audit_expected(
        self,
        kind: str,
        *,
        ids: Sequence[str] | None = None,
        cells: Sequence[tuple[int, int]] | None = None,
        buckets: tuple[int, int] | None = None,
    ) -> list[dict[str, Any]]:
        """Rows as the graph must show them, with what the ledger says of each."""
        payload: dict[str, Any] = {"kind": kind}
        for name, value in (("ids", ids), ("cells", cells), ("buckets", buckets)):
            if value is not None:
                payload[name] = [*value]
        return self._call("memory_audit_expected_v1", payload)  # type: ignore[no-any-return]

    def audit_embeddings(self, *, after: str | None = None, limit: int = 0, ids: Sequence[str] | None = None) -> Mapping[str, Any]:
        """One page of exact differences among passages and embeddings, or those of some owners."""
        payload: dict[str, Any] = {"after": after, "limit": limit} if ids is None else {"ids": [*ids]}
        return dict(self._call("memory_audit_embeddings_v1", payload))

    def audit_ledger(self, *, budget_seconds: float) -> Mapping[str, Any]:
        """Pending rows counted, late and parked ones found."""
        return dict(self._call("memory_audit_ledger_v1", {"budget_seconds": budget_seconds}))

    def audit_coverage(self, kind: str, *, after: str | None, limit: int) -> Mapping[str, Any]:
        """One page of subjects without their ledger rows, and ledger rows without their subject."""
        return dict(self._call("memory_audit_coverage_v1", {"kind": kind, "after": after, "limit": limit}))

    def audit_begin(self, mode: str, *, resume: bool) -> Mapping[str, Any]:
        """A new round, or the one that was interrupted."""
        return dict(self._call("memory_audit_begin_v1", {"mode": mode, "resume": resume}))

    def audit_progress(self, progress: Mapping[str, Any]) -> bool:
        """Keep how far a round has come; False when another one has begun meanwhile."""
        return bool(self._call("memory_audit_progress_v1", shapes.plain(progress))["kept"])

    def audit_touched(self, *, marker: int, since: str) -> Mapping[str, Any]:
        """Buckets of the graph and owners of vectors that were written since a round began."""
        return dict(self._call("memory_audit_touched_v1", {"marker": marker, "since": since}))

    def audit_context(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Last write, last settlement and since when, of rows that differ, in order."""
        return self._call("memory_audit_context_v1", {"rows": [*rows]})  # type: ignore[no-any-return]

    def save_verdict(self, verdict: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep a verdict as history, and end its round; `{id, at}`."""
        return dict(self._call("memory_save_verdict_v1", shapes.plain(verdict)))

    def verdicts(self, limit: int, *, findings: bool = True) -> list[dict[str, Any]]:
        """Stored verdicts, newest first."""
        return self._call("memory_verdicts_v1", {"limit": limit, "findings": findings})  # type: ignore[no-any-return]

    def explain(self, id: str, *, text: bool = False) -> Mapping[str, Any]:  # noqa: A002
        """Everything that the record knows of one id; see `memory_explain_v1`."""
        return dict(self._call("memory_explain_v1", {"id": id, "text": text}))
