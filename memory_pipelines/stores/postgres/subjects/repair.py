"""What a repair by plan asks and owes, and what becomes of outside edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memory_pipelines.stores.postgres import shapes
from memory_pipelines.stores.postgres.subjects.caller import Caller

_AT_ONCE = 1000  # rows of a plan
_ADOPTED_AT_ONCE = 200  # outside edits: each is a write of its own


class Repair(Caller):
    """See `ports.record.RepairRecords`."""

    def repair_look(self, rows: Sequence[Sequence[str]]) -> Mapping[str, Any]:
        """The record's and the ledger's numbers of `(projection, kind, id)`, in order: `{identity, at, rows}`."""
        found: dict[str, Any] = {}
        for start in range(0, max(len(rows), 1), _AT_ONCE):
            page = self._call("memory_repair_look_v1", {"rows": [[*row] for row in rows[start : start + _AT_ONCE]]})
            found = {**page, **found, "rows": [*found.get("rows", ()), *page["rows"]]}
        return found

    def repair(self, rows: Sequence[Mapping[str, Any]], *, identity: str) -> list[str]:
        """Owe rows of a plan, or delete them from the ledger; what became of each, in order: see `memory_repair_v1`."""
        found: list[str] = []
        for start in range(0, len(rows), _AT_ONCE):
            found += self._call("memory_repair_v1", {"identity": identity, "rows": list(rows[start : start + _AT_ONCE])})["rows"]
        return found

    def adopt(self, rows: Sequence[Mapping[str, Any]], *, identity: str) -> Mapping[str, Any]:
        """Make outside edits part of the record: `rows` in order, and `touched`, the refs now owed."""
        results: list[dict[str, Any]] = []
        touched: list[Sequence[str]] = []
        for start in range(0, len(rows), _ADOPTED_AT_ONCE):
            answer = self._call("memory_adopt_v1", {"identity": identity, "rows": list(rows[start : start + _ADOPTED_AT_ONCE])})
            results += answer["rows"]
            touched += answer["touched"]
        return {"rows": results, "touched": shapes.refs(touched)}

    def policies(self) -> dict[str, str]:
        """What becomes of outside edits, by namespace."""
        return {row["namespace"]: row["outside_edits"] for row in self._call("memory_policies_v1", {})}

    def set_policy(self, namespace: str, outside_edits: str) -> None:
        """Say what becomes of outside edits."""
        self._call("memory_set_policy_v1", {"namespace": namespace, "outside_edits": outside_edits})
