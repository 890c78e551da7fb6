"""The questions that an audit answers, one check each, and how a repair answers those that it has proved.

To ask about another kind of finding, add it to `QUESTIONS`; each kind belongs to one. Must stay out: looking (`services.audit`), and what
was proved (`services.repair.proof`).
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import dagster as dg

from memory_pipelines.assets import metadata
from memory_pipelines.domain.models import Finding, Verdict
from memory_pipelines.services.audit import audit
from memory_pipelines.services.audit.findings import namespaces, owner
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.repair import proof

ASSET = "consistency_audit"
# What was set aside waits for a person, and says so by itself: a warning.
QUESTIONS = {
    "nothing_absent": (("missing", "settled_absent"), "Is everything that the record holds in every store?"),
    "nothing_outdated": (("stale", "ahead"), "Does every store show the revision that the record has?"),
    "nothing_edited": (("edited",), "Has nobody changed a row behind the record's back?"),
    "nothing_extra": (("extra", "orphan"), "Is there nothing that the record does not know, or has forgotten?"),
    "nothing_twice": (("duplicate_node", "duplicate_edge"), "Is everything there once?"),
    "no_dangling_edge": (("dangling_edge",), "Does every edge begin and end at something of ours?"),
    "no_wrong_namespace": (("wrong_namespace",), "Is every row shown to its own namespace only?"),
    "no_wrong_vector": (("wrong_generation", "wrong_dimension"), "Was every vector made by the present model?"),
    "ledger_covers_record": (("unledgered", "without_subject"), "Has every subject its ledger rows, and every ledger row its subject?"),
    "nothing_late": (("owed_too_long",), "Is nothing owed for longer than the sync budget?"),
    "nothing_set_aside": (("parked",), "Was no row set aside because it failed?"),
    "nothing_given_up": (("given_up",), "Was no debt given up by a person?"),
}
WARNINGS = {"nothing_set_aside", "nothing_given_up"}
VERDICT = "verdict"  # when the audit was that a check speaks of
RECENT = 50  # verdicts among which a repair looks for it


def specs() -> list[dg.AssetCheckSpec]:
    """A check for each question."""
    return [dg.AssetCheckSpec(name, asset=ASSET, description=question) for name, (_, question) in QUESTIONS.items()]


def answered(platform: Platform, verdict: Verdict) -> Iterator[dg.AssetCheckResult]:
    """Each question as an audit answers it: counted whole, also what the verdict does not name, and with the first rows."""
    for name, (kinds, _) in QUESTIONS.items():
        counts = {kind: verdict.counts[kind] for kind in kinds if kind in verdict.counts}
        found = [finding for finding in verdict.findings if finding.kind in kinds]
        yield dg.AssetCheckResult(
            check_name=name,
            passed=not counts,
            severity=_severity(name),
            metadata={"rows": sum(counts.values()), "mode": verdict.mode, **_at(verdict.at), **counts, **_named(platform, found)},
        )


def proved(platform: Platform, instance: dg.DagsterInstance) -> Iterator[dg.AssetCheckEvaluation]:
    """The red checks that are green now: every row for which one is red was looked at again, and is in step.

    All others stay as they are: a repair does not answer what it has not looked at.

    Raises:
        Unavailable: a store could not be looked at.
    """
    red = {name: at for name in QUESTIONS if (at := _red_since(instance, name)) is not None}
    verdicts = {datetime.fromisoformat(str(row["at"])): n for n, row in enumerate(audit.history(platform, RECENT))} if red else {}
    for at in sorted(set(red.values()) & verdicts.keys()):
        verdict = audit.history(platform, verdicts[at] + 1, findings=True)[-1]
        shown = {"mode": "repair", **_at(at)} if (rows := proof.proved(platform, verdict)) else {}
        for name in (name for name, since in red.items() if since == at):
            kinds = {kind for kind in QUESTIONS[name][0] if kind in verdict["kinds"]}
            if kinds and kinds <= rows.keys():
                yield dg.AssetCheckEvaluation(
                    asset_key=dg.AssetKey(ASSET), check_name=name, passed=True, severity=_severity(name),
                    metadata={"rows": 0, "rows_proved_equal": sum(rows[kind] for kind in kinds), **shown},
                )  # fmt: skip


def _severity(name: str) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.WARN if name in WARNINGS else dg.AssetCheckSeverity.ERROR


def _at(at: datetime | None) -> dict[str, str]:
    return {} if at is None else {VERDICT: at.isoformat()}


def _red_since(instance: dg.DagsterInstance, name: str) -> datetime | None:
    """When the audit was for which a check is red, if it is."""
    record = instance.get_latest_asset_check_evaluation_record(dg.AssetCheckKey(dg.AssetKey(ASSET), name))
    event = None if record is None or record.event is None else record.event.dagster_event
    evaluation = None if event is None else event.event_specific_data
    if not isinstance(evaluation, dg.AssetCheckEvaluation) or evaluation.passed or VERDICT not in evaluation.metadata:
        return None
    return datetime.fromisoformat(str(evaluation.metadata[VERDICT].value))


def _named(platform: Platform, findings: list[Finding]) -> Mapping[str, Any]:
    """The first rows, by ids and numbers alone, and what shows more of them: Dagster's history is not where texts are kept."""
    if not findings:
        return {}
    shown = findings[: metadata.TABLE_ROWS]
    rows = [
        {"store": finding.store, "kind": finding.kind, "subject": finding.subject, "id": finding.id, "namespace": namespace}
        for finding, namespace in zip(shown, namespaces(platform, shown), strict=True)
    ]
    explained = next((owner(finding)[2] for finding in shown if owner(finding)[2] and not finding.hint.get("stray")), None)
    look = {} if explained is None else {"look_at_one": f"memory-pipelines explain {explained}"}
    return {"differing_rows": metadata.table(rows), **look, "plan_a_repair": "memory-pipelines repair --plan"}
