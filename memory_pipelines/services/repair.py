"""Repair: findings of an audit to ledger rows, one path into every projection.

Must stay out: finding what differs (`audit.py`), and writing to any projection (the drains do).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memory_pipelines.domain.models import Finding
from memory_pipelines.services import sync
from memory_pipelines.services.platform import Platform

_PAGE = 5000  # rows owed in one call


def owe(platform: Platform, findings: Sequence[Finding]) -> int:
    """Owe what findings name, and drain; returns how many rows were owed again."""
    rows = repairs(findings)
    repaired = sum(platform.record.owe(rows[start : start + _PAGE]) for start in range(0, len(rows), _PAGE))
    sync.drain_all(platform)
    return repaired


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
