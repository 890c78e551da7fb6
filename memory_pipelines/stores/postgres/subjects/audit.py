"""What an audit asks of the record, and its verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memory_pipelines.stores.postgres import shapes
from memory_pipelines.stores.postgres.subjects.caller import Caller


class Audit(Caller):
    """See `ports.record.AuditRecords`."""

    def audit_sums(self, kind: str, *, buckets: Sequence[int] | None = None) -> list[list[int]]:
        """Sums per bucket, or per leaf of `buckets`."""
        payload: dict[str, Any] = {"kind": kind}
        if buckets is not None:
            payload["buckets"] = [*buckets]
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

    def audit_embeddings(self, *, after: str | None, limit: int) -> Mapping[str, Any]:
        """One page of exact differences among passages and embeddings."""
        return dict(self._call("memory_audit_embeddings_v1", {"after": after, "limit": limit}))

    def audit_ledger(self, *, budget_seconds: float) -> Mapping[str, Any]:
        """Pending rows counted, late and parked ones and unknown subjects found."""
        return dict(self._call("memory_audit_ledger_v1", {"budget_seconds": budget_seconds}))

    def save_verdict(self, verdict: Mapping[str, Any]) -> None:
        """Keep a verdict as history."""
        self._call("memory_save_verdict_v1", shapes.plain(verdict))

    def verdicts(self, limit: int) -> list[dict[str, Any]]:
        """Stored verdicts, newest first."""
        return self._call("memory_verdicts_v1", {"limit": limit})  # type: ignore[no-any-return]
