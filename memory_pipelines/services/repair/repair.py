"""Repair: a plan first, then its rows owed and outside edits adopted, then a drain, then an audit of what was touched.

One path into every projection: a repair writes ledger rows, and what it adopts are writes to the record; the drains do the rest. A plan is
applied row by row: what is no longer as the plan saw it is refused, and nothing of it changed. Must stay out: finding what differs
(`services/audit`), making plans (`planning.py`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from memory_pipelines.domain.errors import Conflict, NotFound
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import PROJECTIONS, Finding, Ref, Verdict
from memory_pipelines.domain.plans import LookAt, PlannedRow, RepairPlan, RepairResult, outcomes_of
from memory_pipelines.services import events
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projections import graph
from memory_pipelines.services.repair import adoption
from memory_pipelines.services.repair import planning as repair_planning
from memory_pipelines.services.repair import proof as repair_proof
from memory_pipelines.services.sync import sync

_DRAINS = 3  # times that what is owed is drained before the rest counts as pending
_KEPT = 1000  # findings stored with a verdict
_REASONS = {"refused": "the record has changed since the plan was made"}


def plan(platform: Platform, verdict: Verdict) -> RepairPlan:
    """The plan that puts the findings of an audit right. Nothing is written.

    Raises:
        Unavailable: a store could not be looked at.
    """
    made = repair_planning.make(platform, verdict.findings, verdict.mode)
    reach("repair.planned")
    return made


def plan_of_last(platform: Platform, *, dead_letters: bool = True) -> RepairPlan:
    """The plan for what the newest stored verdict has named, as far as it still differs: each row is looked at again.

    Args:
        dead_letters: also try again what is parked.

    Raises:
        NotFound: `verdict_missing`, there has been no audit.
        Conflict: `verdict_truncated`, it found more than a verdict keeps.
    """
    stored = platform.record.verdicts(1, findings=True)
    if not stored:
        raise NotFound("verdict_missing", "There has been no audit yet: run `memory-pipelines audit`, or plan without --last.")
    found, kept = sum(stored[0]["kinds"].values()), len(stored[0]["findings"])
    if found > kept:
        raise Conflict(
            "verdict_truncated", f"The newest verdict keeps {kept} of its {found} findings: plan without --last, by a new audit."
        )
    again = repair_proof.again(platform, stored[0]).findings
    made = repair_planning.make(platform, again, str(stored[0]["mode"]), dead_letters=dead_letters)
    reach("repair.planned")
    return made


def apply(platform: Platform, made: RepairPlan, *, keep: bool = True) -> RepairResult:
    """Apply a plan, drain, and audit the rows that were touched. Applying it twice is harmless.

    Args:
        keep: store what that audit found as a verdict, of mode `repair`.

    Raises:
        Conflict: `plan_foreign`, it was made for another record; nothing was done.
        Refused: `record_rolled_back`, when it adopts and the graph has met claims that the record never issued.
        Unavailable: a store did not answer; what is owed stays owed.
    """
    started = time.monotonic()
    identity = str(platform.record.health()["identity"])
    if made.identity != identity:
        raise Conflict(
            "plan_foreign", "This plan was made for another record: nothing was done. Make one here.", {"identity": made.identity}
        )
    done, removals, touched = _adopt(platform, made)
    rows = [row for row in made.rows if row.action in ("owe", "unledger")]
    kept = _kept_strays(platform, made, done) if any(_subject(row) == repair_planning.STRAYS for row in rows) else None
    held_back = [row for row in rows if kept and _subject(row) == repair_planning.STRAYS]
    done += [_outcome(row, "refused", kept) for row in held_back]
    asked = [*(row for row in rows if row not in held_back), *removals]
    outcomes = platform.record.repair([_asked(row) for row in asked], identity=identity)
    done += [_outcome(row, outcome, _REASONS.get(outcome)) for row, outcome in zip(asked, outcomes, strict=True) if row not in removals]
    reach("repair.owed")
    owed = [row for row, outcome in zip(asked, outcomes, strict=True) if outcome == "owed"]
    events.publish(platform, [*touched, *(Ref(row.kind, row.id) for row in owed)])
    subjects = [_subject(row) for row in owed] + [("graph", ref.kind, ref.id) for ref in touched]
    subjects += [("embeddings", "entity", ref.id) for ref in touched if ref.kind == "entity"]
    cost = _drain(platform, subjects)
    reach("repair.drained")
    _forget_unknown(platform, owed, identity)
    proof = _prove(platform, done, owed, subjects)
    left = [_outcome(row, "left", row.reason) for row in made.rows if row.action == "leave"]
    counts = outcomes_of([*done, *left])
    telling = tuple(row for row in [*done, *left] if row["outcome"] in ("adopted", "refused", "left"))
    result = RepairResult(
        counts, telling, sum(proof.checked.values()), proof.findings, proof.pending, not proof.findings and not proof.pending,
        round(time.monotonic() - started, 3), cost,
    )  # fmt: skip
    if keep:
        _keep(platform, result, proof)
    return result


# -- outside edits -------------------------------------------------------------------------------------------------------


def _adopt(platform: Platform, made: RepairPlan) -> tuple[list[dict[str, Any]], list[PlannedRow], tuple[Ref, ...]]:
    """Adopt what the plan adopts, as far as the graph still shows it. Returns what became of each row, the rows that take away what was
    drawn under an id of somebody's own, and what is owed now."""
    rows = [row for row in made.rows if row.action == "adopt"]
    if not rows:
        return [], [], ()
    lost = graph.recover(platform)  # raises where the record was rolled back
    if lost:
        return [_outcome(row, "refused", "the graph was rolled back: what it lost is owed again") for row in rows], [], ()
    written, done = _values(platform, rows)
    answer = platform.record.adopt([write for _, write in written], identity=made.identity) if written else {"rows": (), "touched": ()}
    reach("repair.adopted")
    removals: list[PlannedRow] = []
    for (row, _), result in zip(written, answer["rows"], strict=True):
        id_ = result.get("id") or row.id
        done.append(_outcome(row, result["outcome"], _WHY.get(result.get("reason", ""))) | {"id": id_})
        if row.change == "add" and row.id and result["outcome"] != "refused":
            removals.append(row.model_copy(update={"action": "owe"}))
    return done, removals, tuple(answer["touched"])


_ORDER = {"add": 0, "remove": 1, "edit": 2}  # an edit gives a relation's end a new revision
_WHY = {
    "changed": "the record has changed since the plan was made",
    "policy": "the namespace does not adopt outside edits any more",
    "name_taken": "another entity of the namespace has this name",
    "graph": "the graph does not show this edit any more",
}


def _values(platform: Platform, rows: Sequence[PlannedRow]) -> tuple[list[tuple[PlannedRow, dict[str, Any]]], list[dict[str, Any]]]:
    """What each row writes, read from the graph as it is now; and the rows whose edit is not what the plan saw."""
    edited = adoption.edits(platform, [row.id for row in rows if row.change == "edit"])
    pairs = [(str(row.source), str(row.target)) for row in rows if row.change == "add"]
    drawn = {edge["digest"]: edge for edge in adoption.drawn(platform, pairs)}
    removed = adoption.gone(platform, [(row.id, str(row.source), str(row.target)) for row in rows if row.change == "remove"])
    written: list[tuple[PlannedRow, dict[str, Any]]] = []
    refused: list[dict[str, Any]] = []
    for row in rows:
        seen = edited.get(row.id)
        if row.change == "edit" and seen is not None and seen.digest == row.seen:
            written.append((row, {"change": "edit", "id": row.id, "revision": row.revision, "fields": adoption.written(seen.values)}))
        elif row.change == "add" and row.seen in drawn:
            numbers = {"source_revision": row.source_revision, "target_revision": row.target_revision}
            ends = {"source": row.source, "target": row.target, "predicate": drawn[row.seen]["predicate"]}
            written.append((row, {"change": "add", **ends, **numbers}))
        elif row.change == "remove" and row.id in removed:
            written.append((row, {"change": "remove", "id": row.id, "revision": row.revision}))
        else:
            refused.append(_outcome(row, "refused", _WHY["graph"]))
    written.sort(key=lambda one: _ORDER[str(one[0].change)])
    return written, refused


def _kept_strays(platform: Platform, made: RepairPlan, done: Sequence[Mapping[str, Any]]) -> str | None:
    """Why edges without an id may not be removed: one of them is to be adopted and was not, now or when the plan was made."""
    if any(row["outcome"] == "refused" and row["change"] == "add" and not row["id"] for row in done):
        return "it would remove a relation that could not be adopted"
    planned = {row.seen for row in made.rows if row.change == "add"}
    findings = [
        Finding("extra", "graph", "relation", "", None, {"source": source, "target": target}, {"stray": True})
        for source, target in platform.graph.stray_pairs()
    ]
    later = [row for row in adoption.planned(platform, findings) if row.seen not in planned] if findings else []
    return "somebody has drawn another relation since the plan was made" if later else None


# -- the ledger ----------------------------------------------------------------------------------------------------------


def _subject(row: PlannedRow) -> repair_planning.Subject:
    return (row.projection, row.kind, row.id)


def _asked(row: PlannedRow) -> dict[str, Any]:
    names = ("action", "projection", "kind", "id", "revision", "version", "settled_at", "number", "forced", "hint")
    return {name: getattr(row, name) for name in names}


def _outcome(row: PlannedRow, outcome: str, reason: str | None = None) -> dict[str, Any]:
    return {
        "outcome": outcome, "reason": reason, "action": row.action, "change": row.change, "projection": row.projection, "kind": row.kind,
        "id": row.id, "source": row.source, "target": row.target, "why": ", ".join(row.why), "look": row.look,
    }  # fmt: skip


def _drain(platform: Platform, subjects: Sequence[repair_planning.Subject]) -> dict[str, float]:
    """Drain the projections that owe, and what they owe to each other; returns what models used."""
    named = {projection for projection, _, _ in subjects}
    wanted = PROJECTIONS if "entities" in named else tuple(name for name in PROJECTIONS if name in named)
    before = _used(platform, wanted)
    for _ in range(_DRAINS if wanted else 0):
        sync.drain_all(platform, wanted)
        if not any(state["number"] is not None and not state["parked"] for state in platform.record.repair_look(list(subjects))["rows"]):
            break
    return {name: used - before.get(name, 0.0) for name, used in _used(platform, wanted).items()}


def _used(platform: Platform, projections: Sequence[str]) -> dict[str, float]:
    """What the models of some projections have used since they were opened."""
    found: dict[str, float] = {}
    if "entities" in projections:
        found |= {f"entities_{name}": used for name, used in platform.extractor.cost().items()}
    if "embeddings" in projections:
        found |= {f"embeddings_{name}": used for name, used in platform.embedder.cost().items()}
    return found


def _forget_unknown(platform: Platform, owed: Sequence[PlannedRow], identity: str) -> None:
    """Ledger rows of what the record has never had have done their work."""
    subjects = [_subject(row) for row in owed]
    states = platform.record.repair_look(subjects)["rows"] if subjects else []
    rows = [
        {"action": "unledger", "projection": projection, "kind": kind, "id": id_, "revision": None, "version": None, "number": None}
        for (projection, kind, id_), state in zip(subjects, states, strict=True)
        if not state["known"] and state["number"] is None
    ]
    platform.record.repair(rows, identity=identity)


def _prove(
    platform: Platform, done: Sequence[Mapping[str, Any]], owed: Sequence[PlannedRow], subjects: Sequence[repair_planning.Subject]
) -> repair_proof.Proof:
    keys: list[LookAt] = [key for row in owed for key in row.look]
    adopted = [row for row in done if row["outcome"] in ("adopted", "held")]
    keys += [key for row in adopted for key in row["look"]] + [(row["kind"], row["id"], row["source"], row["target"]) for row in adopted]
    known = [subject for subject in subjects if subject != repair_planning.STRAYS]
    return repair_proof.look(platform, keys, known, strays=repair_planning.STRAYS in subjects)


def _names(hint: Mapping[str, Any]) -> dict[str, Any]:
    """What it takes to look at a finding again, and no word of it."""
    return {name: hint[name] for name in ("source", "target", "owner", "owner_kind", "projection", "stray") if name in hint}


def _keep(platform: Platform, result: RepairResult, proof: repair_proof.Proof) -> None:
    """The verdict on the touched rows, with what is left to a person: that is still a difference."""
    left = [row for row in result.rows if row["outcome"] == "left"]
    kinds: dict[str, int] = {}
    for kind in [*(finding.kind for finding in result.findings), *(row["why"] for row in left)]:
        kinds[kind] = kinds.get(kind, 0) + 1
    nothing = {"expected": None, "actual": None}
    named = [{"kind": row["why"], "store": "graph", "subject": row["kind"], "id": row["id"], "hint": {}, **nothing} for row in left]
    found = [
        {"kind": item.kind, "store": item.store, "subject": item.subject, "id": item.id, **nothing, "hint": _names(item.hint)}
        for item in result.findings[:_KEPT]
    ]
    platform.record.save_verdict({
        "mode": "repair", "clean": result.clean and not left, "checked": dict(proof.checked), "pending": result.pending, "kinds": kinds,
        "findings": [*found, *named], "seconds": result.seconds, "repaired": max(result.changed, 1),
    })  # fmt: skip
