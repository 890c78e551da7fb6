"""The audit of some rows only: whether what a repair has touched, or an older verdict has named, is equal to the record now.

It looks by id, in the same way as the last step of every audit. Must stay out: repairing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from memory_pipelines.domain.models import Finding
from memory_pipelines.domain.plans import LookAt
from memory_pipelines.services.audit import comparison
from memory_pipelines.services.audit.findings import owner, read
from memory_pipelines.services.platform import Platform

_PAGE = 5000  # owners whose vectors are looked at in one call
Subject = tuple[str, str, str]  # projection, kind, id


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found of some rows; `pending` of them are on their way."""

    findings: tuple[Finding, ...]
    pending: int
    checked: Mapping[str, int]


def look(platform: Platform, keys: Iterable[LookAt], subjects: Iterable[Subject], *, strays: bool = False) -> Proof:
    """Look at rows of the graph by their keys, at passages and embeddings by their owners, and at ledger rows.

    Args:
        strays: also whether the graph holds anything that nobody can name.
    """
    findings: list[Finding] = []
    pending: set[Subject] = set()
    checked: dict[str, int] = {}
    wanted = set(keys)
    for kind in comparison.KINDS:
        chosen = {(id_, source, target) for what, id_, source, target in wanted if what == kind and id_}
        found, moving = comparison.confirm(platform, kind, chosen)
        findings += found
        pending |= {("graph", *owner) for owner in moving}
        checked[kind] = len(chosen)
    if strays:
        findings += nameless(platform)
    asked = sorted(set(subjects))
    owners = {(kind, id_) for projection, kind, id_ in asked if projection == "embeddings"}
    findings += of_owners(platform, owners)
    checked |= {"owner": len(owners), "ledger": len(asked)}
    for subject, state in zip(asked, platform.record.repair_look(asked)["rows"] if asked else (), strict=True):
        problem = ledgered(subject, state)
        if problem is not None:
            findings.append(problem)
        elif state["number"] is not None:
            pending.add(subject)
    return Proof(tuple(findings), len(pending), checked)


def nameless(platform: Platform) -> list[Finding]:
    """One finding for what nobody can name, whatever it is."""
    count = platform.graph.strays()
    return [Finding("extra", "graph", "relation", "", None, {"rows": count}, {"stray": True})] if count else []


def of_owners(platform: Platform, owners: set[tuple[str, str]]) -> list[Finding]:
    """Differences among passages and embeddings of some memories and entities."""
    found: list[Finding] = []
    ids = sorted({id_ for _, id_ in owners if _is_id(id_)})
    for start in range(0, len(ids), _PAGE):
        page = platform.record.audit_embeddings(ids=ids[start : start + _PAGE])
        found.extend(Finding(**row) for row in page["findings"])
    return [finding for finding in found if (finding.hint["owner_kind"], finding.hint["owner"]) in owners]


def ledgered(subject: Subject, state: Mapping[str, Any]) -> Finding | None:
    """What is wrong with a ledger row, if anything is: parked, missing, or of nothing. Lateness is for audits to judge."""
    projection, kind, id_ = subject
    hint = {"projection": projection}
    if state["number"] is not None and state["parked"]:
        return Finding("parked", "ledger", kind, id_, {**hint, "owed": False}, {**hint, "error": state["error"]}, hint)
    if state["known"] and state["number"] is None and state["settled_at"] is None:
        return Finding("unledgered", "ledger", kind, id_, hint, None, hint)
    return None


def again(platform: Platform, verdict: Mapping[str, Any]) -> Proof:
    """Look again at what a stored verdict has named: what still differs, with the values of now."""
    keys: list[LookAt] = []
    subjects: list[Subject] = []
    strays = False
    late: dict[Subject, Mapping[str, Any]] = {}
    for row in verdict["findings"]:
        hint = row["hint"]
        if row["store"] == "graph":
            strays |= bool(hint.get("stray"))
            keys.append((row["subject"], row["id"], hint.get("source"), hint.get("target")))
        elif row["store"] == "ledger":
            late[hint["projection"], row["subject"], row["id"]] = row
        else:
            subjects.append(("embeddings", hint["owner_kind"], hint["owner"]))
    proof = look(platform, keys, [*subjects, *late])
    findings = [*proof.findings]
    if strays and platform.graph.strays():
        findings += [_stray(source, target) for source, target in platform.graph.stray_pairs()] or nameless(platform)
    named = {(finding.hint.get("projection"), finding.subject, finding.id) for finding in findings if finding.store == "ledger"}
    asked = sorted(late)
    for subject, state in zip(asked, platform.record.repair_look(asked)["rows"] if asked else (), strict=True):
        projection, kind, id_ = subject
        kept = str(late[subject]["kind"])
        still = state["number"] is not None if state["known"] else state["number"] is not None or state["settled_at"] is not None
        if subject not in named and still and kept in ("owed_too_long", "without_subject"):
            findings.append(Finding(kept, "ledger", kind, id_, None, None, {"projection": projection}))
    return Proof(tuple(findings), proof.pending, proof.checked)


def proved(platform: Platform, verdict: Mapping[str, Any]) -> dict[str, int]:
    """Kinds of findings of a stored verdict whose every row is in step now, with how many rows that were: each is looked at again.

    A kind of which the verdict does not name all rows is not proved, nor is one with a row of which anything still differs, whatever that
    is called now, nor anything while some of the rows are on their way. `given_up` is no difference that looking could find gone.

    Raises:
        Unavailable: a store could not be looked at.
    """
    named: dict[str, list[Finding]] = {}
    for row in verdict["findings"]:
        named.setdefault(str(row["kind"]), []).append(read(row))
    now = again(platform, verdict)
    if now.pending:
        return {}
    still = {_subject(finding) for finding in now.findings}
    return {
        kind: len(findings)
        for kind, findings in named.items()
        if kind != "given_up" and len(findings) == verdict["kinds"][kind] and still.isdisjoint(_subject(finding) for finding in findings)
    }


def _subject(finding: Finding) -> Subject:
    return ("graph", "stray", "") if finding.hint.get("stray") else owner(finding)


def _stray(source: str, target: str) -> Finding:
    return Finding("extra", "graph", "relation", "", None, {"source": source, "target": target}, {"stray": True})


def _is_id(id_: str) -> bool:
    try:
        return str(UUID(id_)) == id_
    except ValueError:
        return False
