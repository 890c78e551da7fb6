"""Repair by plan, and what becomes of outside edits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from memory_pipelines.client.door import Door
from memory_pipelines.services.audit import audit as audit_service
from memory_pipelines.services.repair import policies as policy_service
from memory_pipelines.services.repair import repair as repair_service

if TYPE_CHECKING:
    from memory_pipelines.domain.plans import RepairPlan, RepairResult


class Repairing(Door):
    """The part of `MemoryClient` that repairs by plan."""

    def plan_repair(self, *, deep: bool = True, last: bool = False) -> RepairPlan:
        """What a repair would do: rows, why, and what it would cost. Only the audit's verdict is stored.

        Args:
            deep: compare every property and edge; a quick audit trusts digests.
            last: instead of a new audit, look again at what the newest stored verdict has named.

        Raises:
            NotFound: `verdict_missing`, with `last` where there was no audit.
        """
        if last:
            return repair_service.plan_of_last(self._platform)
        return repair_service.plan(self._platform, audit_service.audit(self._platform, deep=deep))

    def repair(self, plan: RepairPlan) -> RepairResult:
        """Apply a plan, drain, and audit what was touched. A row that is not as the plan saw it is refused; applying twice is harmless.

        Raises:
            Conflict: `plan_foreign`, the plan was made for another record.
        """
        return repair_service.apply(self._platform, plan)

    def policies(self) -> Mapping[str, str]:
        """What becomes of edits that somebody makes in the graph, by namespace: `record-wins` or `adopt`."""
        return policy_service.policies(self._platform)

    def set_policy(self, namespace: str, outside_edits: str) -> None:
        """Say what becomes of edits that somebody makes in the graph of a namespace: `record-wins` or `adopt`.

        Raises:
            NotFound: `namespace_unknown`
            InvalidInput: `policy_unknown`
        """
        policy_service.set_policy(self._platform, namespace, outside_edits)
