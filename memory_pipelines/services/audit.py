"""Audit: compare every projection with the record, row by row; repair what differs through the ledger; audit once more.

It has no side effect but the stored verdict, trusts no status of the pipeline, and raises when it could not look.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import NoneType
from typing import Any, Literal

from memory_pipelines.domain.models import Finding, Verdict, as_json
from memory_pipelines.services import comparison
from memory_pipelines.services import repair as repair_service
from memory_pipelines.services.platform import Platform

_KEPT = 1000  # findings stored with a verdict
_PAGE = 5000  # memories and entities a page of the embeddings' audit
# Strings of a finding that are kept with a verdict.
_OURS = {"id", "namespace", "source", "target", "projection", "owed_since", "owner", "owner_kind"}

Progress = Callable[[int, int], None]


def audit(platform: Platform, *, deep: bool = False, repair: bool = False, on_progress: Progress | None = None) -> Verdict:
    """Compare all stores; with `repair`, owe what differs, drain, and audit again.

    Args:
        deep: compare every property and edge instead of sums of digests.
        on_progress: called with (rows checked, rows in all, 0 while unknown).

    Returns:
        The verdict, of the second audit where something was repaired; `repaired` counts the rows that were owed again.

    Raises:
        Unavailable: a store could not be looked at: that is no finding.
    """
    verdict = _look(platform, deep, on_progress)
    if not repair or verdict.clean:
        return _keep(platform, verdict, 0)
    _keep(platform, verdict, 0)
    plan = repair_service.plan(platform, verdict)
    if not plan.work:
        return verdict
    done = repair_service.apply(platform, plan, keep=False)
    return _keep(platform, _look(platform, deep, on_progress), done.changed)


def history(platform: Platform, limit: int = 50) -> list[dict[str, Any]]:
    """Stored verdicts, newest first."""
    return platform.record.verdicts(limit)


def _look(platform: Platform, deep: bool, on_progress: Progress | None) -> Verdict:
    started = time.monotonic()
    checked: dict[str, int] = {}
    findings: list[Finding] = []
    moving: set[tuple[str, str]] = set()
    for kind in comparison.KINDS:
        candidates, checked[kind] = _candidates(platform, kind, deep, sum(checked.values()), on_progress)
        found, waiting = comparison.confirm(platform, kind, candidates)
        findings.extend(found)
        moving |= waiting
        if on_progress is not None:
            on_progress(sum(checked.values()), 0)
    vectors, checked["passage"], checked["embedding"] = _embeddings(platform)
    ledger = platform.record.audit_ledger(budget_seconds=platform.settings.sync_budget_seconds)
    findings.extend([*vectors, *(Finding(**row) for row in ledger["findings"])])
    mode: Literal["quick", "deep"] = "deep" if deep else "quick"
    pending = max(int(ledger["pending"]), len(moving))
    return Verdict(mode, not findings, checked, pending, tuple(findings), round(time.monotonic() - started, 3))


def _candidates(platform: Platform, kind: str, deep: bool, before: int, on_progress: Progress | None) -> tuple[set[comparison.Key], int]:
    if not deep:
        return comparison.quick(platform, kind)
    seen = before

    def page(rows: int, total: int) -> None:
        nonlocal seen
        seen += rows
        if on_progress is not None:
            on_progress(seen, before + total)

    return comparison.deep(platform, kind, page)


def _embeddings(platform: Platform) -> tuple[list[Finding], int, int]:
    findings: list[Finding] = []
    passages = vectors = 0
    after: str | None = None
    while True:
        page = platform.record.audit_embeddings(after=after, limit=_PAGE)
        findings.extend(Finding(**row) for row in page["findings"])
        passages += page["passages"]
        vectors += page["embeddings"]
        after = page["next"]
        if after is None:
            return findings, passages, vectors


def _outlines(finding: Finding) -> dict[str, Any]:
    """A finding as it is kept: verdicts outlive what they are about, so they hold no word that a person wrote."""
    sides = {
        side: {name: value if name in _OURS or isinstance(value, (int, NoneType)) else "…" for name, value in values.items()}
        for side, values in (("expected", finding.expected), ("actual", finding.actual), ("hint", finding.hint))
        if values is not None
    }
    return {**as_json(finding), **sides}


def _keep(platform: Platform, verdict: Verdict, repaired: int) -> Verdict:
    platform.record.save_verdict({
        "mode": verdict.mode, "clean": verdict.clean, "checked": verdict.checked, "pending": verdict.pending, "kinds": verdict.kinds(),
        "findings": [_outlines(finding) for finding in verdict.findings[:_KEPT]], "seconds": verdict.seconds, "repaired": repaired,
    })  # fmt: skip
    return Verdict(
        verdict.mode, verdict.clean, verdict.checked, verdict.pending, verdict.findings, verdict.seconds, verdict.at, repaired=repaired
    )
