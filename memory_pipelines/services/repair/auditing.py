"""Audit, repair what differs, audit again, in one go.

Must stay out: looking (`services/audit`), and what a repair does (`repair.py`).
"""

from __future__ import annotations

from memory_pipelines.domain.models import Verdict
from memory_pipelines.services.audit import audit as audit_service
from memory_pipelines.services.audit.round import Progress, look
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.repair import repair


def audit_and_repair(
    platform: Platform, *, deep: bool = False, incremental: bool = False, resume: bool = False, on_progress: Progress | None = None
) -> Verdict:
    """Compare all stores, owe what differs, drain, and audit again; the arguments are those of `audit.audit`.

    Returns:
        The verdict of the last audit; `repaired` counts the rows that were owed again.

    Raises:
        Unavailable: a store could not be looked at: that is no finding.
    """
    verdict, repaired = audit_service.audit(platform, deep=deep, incremental=incremental, resume=resume, on_progress=on_progress), 0
    while not verdict.clean:  # again while that helps: one repair may show what is next, and a verdict not hold all it counted
        plan, differing = repair.plan(platform, verdict), sum(verdict.counts.values())
        if not plan.work:
            break
        repaired += repair.apply(platform, plan, keep=False).changed
        verdict = audit_service.keep(platform, look(platform, "deep" if deep else "quick", on_progress=on_progress), repaired=repaired)
        if sum(verdict.counts.values()) >= differing:
            break
    return verdict
