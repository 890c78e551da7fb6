"""Audit: compare every projection with the record, row by row, and keep the verdict.

It has no side effect but the stored verdict (and, of a deep one, how far it has come), trusts no status of the pipeline, and raises when
it could not look. How a round goes is in `round.py`. Must stay out: repairing (`services/repair`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Verdict
from memory_pipelines.services.audit.findings import STORED, outline
from memory_pipelines.services.audit.round import Looked, Mode, Progress, look
from memory_pipelines.services.platform import Platform


def audit(
    platform: Platform,
    *,
    deep: bool = False,
    incremental: bool = False,
    resume: bool = False,
    on_progress: Progress | None = None,
) -> Verdict:
    """Compare all stores.

    Args:
        deep: compare every property and edge instead of sums of digests.
        incremental: only what was written since the last round, and what that one found; a quick one where there was none.
        resume: go on with the deep audit that was interrupted, if there is one.
        on_progress: called with (rows checked, rows in all, 0 while unknown).

    Returns:
        The verdict, as it is kept.

    Raises:
        Unavailable: a store could not be looked at: that is no finding.
    """
    mode: Mode = "deep" if deep else "incremental" if incremental else "quick"
    return keep(platform, look(platform, mode, resume=resume and deep, on_progress=on_progress), repaired=0)


def history(platform: Platform, limit: int = 50, *, findings: bool = False) -> list[dict[str, Any]]:
    """Stored verdicts, newest first; with `findings`, each with the (at most 1,000) rows that it named."""
    return platform.record.verdicts(limit, findings=findings)


def keep(platform: Platform, looked: Looked, *, repaired: int) -> Verdict:
    """Store what a round has found, and return its verdict as it is kept; `repaired` rows had been owed again before it."""
    reach("audit.looked")
    verdict = looked.verdict
    named = [outline(finding) for finding in verdict.findings[:STORED]]
    kept = platform.record.save_verdict({
        "mode": verdict.mode, "clean": verdict.clean, "checked": verdict.checked, "pending": verdict.pending, "kinds": verdict.kinds(),
        "findings": named, "more": sum(verdict.counts.values()) - len(named), "seconds": verdict.seconds, "repaired": repaired,
        "started_at": verdict.started_at, "marker": looked.marker, "bytes": verdict.bytes, "paused_seconds": verdict.paused_seconds,
        "resumed": verdict.resumed, "round": looked.round,
    })  # fmt: skip
    reach("audit.kept")
    return replace(verdict, at=datetime.fromisoformat(kept["at"]), repaired=repaired)
