"""Audit: compare every projection with the record, row by row; repair what differs through the ledger; audit once more.

It has no side effect but the stored verdict, trusts no status of the pipeline, and raises when it could not look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, Literal

from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Finding, Verdict, as_json
from memory_pipelines.services import comparison, sync
from memory_pipelines.services.platform import Platform

_KEPT = 1000  # findings stored with a verdict
_PAGE = 5000  # memories and entities a page of the embeddings' audit; rows owed in one call
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
    rows = repairs(verdict.findings)
    repaired = sum(platform.record.owe(rows[start : start + _PAGE]) for start in range(0, len(rows), _PAGE))
    reach("repair.owed")
    sync.drain_all(platform)
    reach("repair.drained")
    return _keep(platform, _look(platform, deep, on_progress), repaired)


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
        reach("audit.summed")
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


def repairs(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The ledger rows that put findings right: one path into every projection, one row a subject whatever was found of it.

    A target ahead of the record, or unknown to it, is overwritten only while it still shows the revision that was seen.
    """
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for finding in findings:
        hint = finding.hint
        subject = _owed(finding)
        row = rows.setdefault(subject, dict(zip(("projection", "kind", "id"), subject, strict=True)))
        if finding.store == "passages":
            row["hint"] = {"recut": True}
        elif subject[:2] == ("graph", "relation") and "source" in hint:
            row.setdefault("hint", {}).setdefault("edges", []).append([hint["source"], hint["target"], hint.get("revision")])
        elif finding.store == "graph" and finding.subject != "mention" and "revision" in hint:
            row |= {"forced": hint["revision"]} if _is_revision(hint["revision"]) else {"hint": {"seen": hint["revision"]}}
    return list(rows.values())


def _owed(finding: Finding) -> tuple[str, str, str]:
    """Which ledger row puts a finding right."""
    hint = finding.hint
    if finding.store in ("embeddings", "passages"):
        return ("embeddings", hint["owner_kind"], hint["owner"])
    if finding.store == "ledger":
        return (hint["projection"], finding.subject, finding.id)
    if hint.get("stray"):
        return ("graph", "stray", "strays")
    return ("graph", "memory", hint["source"]) if finding.subject == "mention" else ("graph", finding.subject, finding.id)


def _is_revision(seen: Any) -> bool:
    """Whether it is a number as the record has them; what somebody else put there may be anything."""
    return type(seen) is int and 0 <= seen < 2**31


def _outlines(finding: Finding) -> dict[str, Any]:
    """A finding as it is kept: verdicts outlive what they are about, so they hold no word that a person wrote."""
    sides = {
        side: {name: value if name in _OURS or isinstance(value, (int, NoneType)) else "…" for name, value in values.items()}
        for side, values in (("expected", finding.expected), ("actual", finding.actual), ("hint", finding.hint))
        if values is not None
    }
    return {**as_json(finding), **sides}


def _keep(platform: Platform, verdict: Verdict, repaired: int) -> Verdict:
    reach("audit.looked")
    platform.record.save_verdict({
        "mode": verdict.mode, "clean": verdict.clean, "checked": verdict.checked, "pending": verdict.pending, "kinds": verdict.kinds(),
        "findings": [_outlines(finding) for finding in verdict.findings[:_KEPT]], "seconds": verdict.seconds, "repaired": repaired,
    })  # fmt: skip
    reach("audit.kept")
    return Verdict(
        verdict.mode, verdict.clean, verdict.checked, verdict.pending, verdict.findings, verdict.seconds, verdict.at, repaired=repaired
    )
