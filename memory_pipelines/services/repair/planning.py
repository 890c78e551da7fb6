"""How a repair plan is made: findings to rows, what each row saw, and what it would cost.

Making a plan writes nothing. To have another kind of finding repaired, say in `_owed` which ledger row puts it right. Must stay out:
applying (`repair.py`), and deciding which outside edits are adopted (`adoption.py`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from memory_pipelines.config import Settings
from memory_pipelines.domain.models import Finding, Projection
from memory_pipelines.domain.plans import LookAt, PlannedRow, PlannedSum, RepairPlan
from memory_pipelines.services.audit.findings import owner
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.repair import adoption

_CHARACTERS_A_TOKEN = 4  # of English text, about
_EXTRACTION_TOKENS = 450  # the question, the form of the answer, and an answer of usual length
STRAYS = ("graph", "stray", "strays")
Subject = tuple[str, str, str]  # projection, kind, id


@dataclass(slots=True)
class _Draft:
    """A row in the making."""

    store: str
    owing: dict[str, Any] = field(default_factory=dict)
    why: list[str] = field(default_factory=list)
    look: list[LookAt] = field(default_factory=list)


def make(platform: Platform, findings: Sequence[Finding], mode: str, *, dead_letters: bool = True) -> RepairPlan:
    """The plan that puts findings right.

    Args:
        mode: of the audit that found them: `quick` or `deep`.
        dead_letters: also try again what is parked; what was given up knowingly never is.
    """
    drafts = drafted(findings, leave=("given_up",) if dead_letters else ("given_up", "parked"))
    adopted = adoption.planned(platform, findings)
    whole = []
    for row in adopted:
        subject = ("graph", row.kind, row.id)
        draft = drafts.pop(subject, None) if row.id else None
        whole.append(row.model_copy(update={"hint": draft.owing.get("hint")}) if draft and row.change == "add" else row)
    looked = platform.record.repair_look(list(drafts))
    for (subject, draft), state in zip(drafts.items(), looked["rows"], strict=True):
        projection, kind, id_ = subject
        without = "without_subject" in draft.why and not state["known"]
        numbers = {name: state[name] for name in ("revision", "version", "settled_at", "number")}
        whole.append(PlannedRow(
            action="unledger" if without else "owe", why=tuple(dict.fromkeys(draft.why)), store=draft.store, projection=projection,  # type: ignore[arg-type]  # checked
            kind=kind, id=id_, forced=draft.owing.get("forced"), hint=draft.owing.get("hint"), look=tuple(draft.look),
            tokens=0 if without or state["deleted"] else estimate(platform.settings, projection, state["characters"]), **numbers,
        ))  # fmt: skip
    return RepairPlan(
        identity=looked["identity"], made_at=looked["at"], mode=mode, summary=_summed(platform.settings, whole), rows=tuple(whole)
    )


def drafted(findings: Sequence[Finding], *, leave: Collection[str] = ("given_up",)) -> dict[Subject, _Draft]:
    """One row a subject whatever was found of it; none for a subject of which something was found that is left to a person.

    A target ahead of the record, or unknown to it, is overwritten only while it still shows the revision that was seen.
    """
    drafts: dict[Subject, _Draft] = {}
    left = {_owed(finding) for finding in findings if finding.kind in leave}
    for finding in findings:
        hint = finding.hint
        subject = _owed(finding)
        if subject in left:
            continue
        draft = drafts.setdefault(subject, _Draft(finding.store))
        draft.why.append(finding.kind)
        if finding.store == "graph" and not hint.get("stray"):
            draft.look.append((finding.subject, finding.id, hint.get("source"), hint.get("target")))
        if finding.store == "passages":
            draft.owing["hint"] = {"recut": True}
        elif finding.kind == "duplicate_node":
            draft.owing["hint"] = {"copies": True}
        elif subject[:2] == ("graph", "relation") and "source" in hint:
            draft.owing.setdefault("hint", {}).setdefault("edges", []).append([hint["source"], hint["target"], hint.get("revision")])
        elif finding.store == "graph" and finding.subject != "mention" and "revision" in hint:
            draft.owing |= {"forced": hint["revision"]} if _is_revision(hint["revision"]) else {"hint": {"seen": hint["revision"]}}
    return drafts


def _owed(finding: Finding) -> Subject:
    """Which ledger row puts a finding right."""
    return STRAYS if finding.hint.get("stray") else owner(finding)


def _is_revision(seen: Any) -> bool:
    """Whether it is a number as the record has them; what somebody else put there may be anything."""
    return type(seen) is int and 0 <= seen < 2**31


# -- cost ----------------------------------------------------------------------------------------------------------------


def local(model: str) -> bool:
    """Whether a model of the settings runs here, and costs nothing."""
    return not model.strip().lower().startswith("openai")


def estimate(settings: Settings, projection: str, characters: int) -> int:
    """About how many tokens it takes to make one row again, from the length of its text."""
    if projection == "embeddings" and not local(settings.embedder):
        return math.ceil(characters / _CHARACTERS_A_TOKEN)
    if projection == "entities" and not local(settings.extractor):
        return math.ceil(characters / _CHARACTERS_A_TOKEN) + _EXTRACTION_TOKENS
    return 0


def _price(settings: Settings, projection: str) -> float | None:
    """Of one token; None where it is not known."""
    if projection == "graph" or local(settings.embedder if projection == "embeddings" else settings.extractor):
        return 0.0
    price = settings.embedder_price if projection == "embeddings" else settings.extractor_price
    return None if price is None else price / 1_000_000


def _summed(settings: Settings, rows: Sequence[PlannedRow]) -> tuple[PlannedSum, ...]:
    groups: dict[tuple[str, str], list[PlannedRow]] = {}
    for row in rows:
        what = f"{row.change} of {row.kind}" if row.change else f"{row.projection} {row.kind}"
        groups.setdefault((f"{row.action} {what}", ", ".join(row.why) + (f": {row.reason}" if row.reason else "")), []).append(row)
    return tuple(_line(settings, what, why, groups[what, why]) for what, why in sorted(groups))


def _line(settings: Settings, what: str, why: str, rows: Sequence[PlannedRow]) -> PlannedSum:
    edited = rows[0].change == "edit" and rows[0].action == "adopt"  # an entity's new revision is embedded too
    projections: tuple[Projection, ...] = (rows[0].projection, "embeddings") if edited else (rows[0].projection,)
    tokens = sum(row.tokens for row in rows)
    prices = [_price(settings, projection) for projection in projections]
    money = None if None in prices else tokens * sum(price for price in prices if price is not None)
    return PlannedSum(what=what, why=why, rows=len(rows), projections=projections, tokens=tokens, money=money)
