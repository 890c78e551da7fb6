"""What a round has found so far: counted whole, kept up to a limit, each with what is known of its row.

To say more of a finding, add it to `memory_audit_context_v1` and to `_with_context`. Must stay out: judging rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import NoneType
from typing import Any

from memory_pipelines.domain.models import Finding, as_json
from memory_pipelines.services.platform import Platform

KEPT = 10_000  # findings in a verdict
STORED = 1000  # of them, with a stored one
_AT_ONCE = 1000  # findings whose rows are looked up in one call
# Strings of a finding that are kept with a verdict.
_OURS = {"id", "namespace", "source", "target", "projection", "owed_since", "owner", "owner_kind"}


@dataclass(slots=True)
class Tally:
    """Findings and rows, counted."""

    checked: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    more: int = 0
    pending: int = 0

    @classmethod
    def restored(cls, state: Mapping[str, Any], findings: Iterable[Mapping[str, Any]]) -> Tally:
        """As it was when a round was interrupted."""
        kept = [read(row) for row in findings]
        return cls(dict(state.get("checked", {})), dict(state.get("counts", {})), kept, int(state.get("more", 0)))

    def state(self) -> dict[str, Any]:
        """What is kept of it between pages, beside the findings; those that are not stored count as more."""
        return {"checked": self.checked, "counts": self.counts, "more": self.more + max(0, len(self.findings) - STORED)}

    def take(self) -> list[Finding]:
        """Give up the findings that are held: they are looked at again."""
        taken, self.findings = self.findings, []
        for finding in taken:
            self.counts[finding.kind] -= 1
            if not self.counts[finding.kind]:
                del self.counts[finding.kind]
        return taken

    def count(self, checked: Mapping[str, int]) -> None:
        """Add rows that were looked at."""
        for kind, rows in checked.items():
            self.checked[kind] = self.checked.get(kind, 0) + rows

    def rest(self, counts: Mapping[str, int]) -> None:
        """Add findings that a store has counted without naming them."""
        for kind, number in counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + number
            self.more += number

    def add(self, platform: Platform, findings: Sequence[Finding]) -> list[Finding]:
        """Count findings, and keep what there is room for. Returns those that are to be stored."""
        for finding in findings:
            self.counts[finding.kind] = self.counts.get(finding.kind, 0) + 1
        held = len(self.findings)
        kept = findings[: max(0, KEPT - held)]
        self.more += len(findings) - len(kept)
        for start in range(0, len(kept), _AT_ONCE):
            self.findings.extend(_with_context(platform, kept[start : start + _AT_ONCE]))
        return self.findings[held : max(held, STORED)]


def owner(finding: Finding) -> tuple[str, str, str]:
    """The ledger row that answers for a finding: projection, kind, id."""
    hint = finding.hint
    if finding.store in ("embeddings", "passages"):
        return ("embeddings", str(hint["owner_kind"]), str(hint["owner"]))
    if finding.store == "ledger":
        return (str(hint["projection"]), finding.subject, finding.id)
    return ("graph", "memory", str(hint.get("source") or "")) if finding.subject == "mention" else ("graph", finding.subject, finding.id)


def namespaces(platform: Platform, findings: Sequence[Finding]) -> list[str]:
    """The namespace that the record has for what each finding is about; empty where it has never had it.

    Raises:
        Unavailable: the record did not answer.
    """
    subjects = [owner(finding) for finding in findings]
    rows = platform.record.repair_look(subjects)["rows"] if subjects else ()
    return [str(row["namespace"] or "") for row in rows]


def _with_context(platform: Platform, findings: Sequence[Finding]) -> list[Finding]:
    rows = []
    for finding in findings:
        projection, kind, id_ = owner(finding)
        row = {"store": finding.store, "subject": finding.subject, "id": finding.id, "projection": projection, "kind": kind, "owner": id_}
        rows.append(row)
    known = platform.record.audit_context(rows)
    return [
        replace(finding, since=_time(row["since"]), last_write=row["last_write"], last_settlement=row["last_settlement"])
        for finding, row in zip(findings, known, strict=True)
    ]


def read(row: Mapping[str, Any]) -> Finding:
    """A stored finding."""
    return Finding(**{**row, "since": _time(row.get("since"))})


def outline(finding: Finding) -> dict[str, Any]:
    """A finding as it is kept: verdicts outlive what they are about, so they hold no word that a person wrote."""
    sides = {
        side: {name: value if name in _OURS or isinstance(value, (int, NoneType)) else "…" for name, value in values.items()}
        for side, values in (("expected", finding.expected), ("actual", finding.actual), ("hint", finding.hint))
        if values is not None
    }
    return {**as_json(finding), **sides}


def _time(value: str | datetime | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
