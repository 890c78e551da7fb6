"""The proof: every store compared with the record, in both directions, and the verdict kept."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from memory_pipelines.assets import failures, metadata
from memory_pipelines.assets.repair import DEAD_LETTERS
from memory_pipelines.domain.models import Finding, Verdict
from memory_pipelines.resources.configuration import AuditConfig
from memory_pipelines.resources.platform import PlatformResource
from memory_pipelines.services.audit import audit
from memory_pipelines.services.repair.auditing import audit_and_repair

HOURLY = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=3), fail_window=timedelta(hours=26))
FAMILIES = {
    "graph_equals_record": "Does the graph hold exactly what the record says it should?",
    "embeddings_equal_record": "Has every passage and entity the vector of its present version, and is there no other?",
    "ledger_on_time": "Is nothing owed for longer than the sync budget?",
}
FAMILY_OF_STORE = {"embeddings": "embeddings_equal_record", "passages": "embeddings_equal_record", "ledger": "ledger_on_time"}
# One question a kind. What was set aside waits for a person, and says so by itself: a warning.
KINDS = {
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
CHECKS = FAMILIES | {name: question for name, (_, question) in KINDS.items()}


@dg.asset(
    deps=["knowledge_graph", "embeddings", "entities"],
    group_name="proof",
    kinds={"postgres", "python"},
    owners=["team:memory"],
    freshness_policy=HOURLY,
    check_specs=[dg.AssetCheckSpec(name, asset="consistency_audit", description=question) for name, question in CHECKS.items()],
)
def consistency_audit(config: AuditConfig, platform: PlatformResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster wants it bare
    """Are graph and vectors equal to the record? A difference is *pending* (owed for less than the sync budget) or *drift*, named by row.

    **Incremental** looks at what was written since the last audit; **quick** compares the digests of every bucket and finds what is
    missing, stale, ahead, extra or there twice; **deep** compares every property and edge, also finds what was edited, and can be resumed.
    **Repair** owes the differing rows again, drains, and audits once more. Every verdict is kept.
    """
    looking = audit_and_repair if config.repair else audit.audit
    with failures.explained():
        verdict = looking(platform.get(), deep=config.deep, incremental=config.incremental, resume=config.resume)
    return dg.MaterializeResult(
        data_version=metadata.VERSION,
        metadata=metadata.audited(verdict, audit.history(platform.get(), limit=metadata.RECENT)),
        check_results=[*_families(verdict), *_kinds(verdict)],
    )


def _families(verdict: Verdict) -> Iterator[dg.AssetCheckResult]:
    for name in FAMILIES:
        found = [finding for finding in verdict.findings if _family(finding) == name]
        kinds = {kind: sum(finding.kind == kind for finding in found) for kind in sorted({finding.kind for finding in found})}
        yield dg.AssetCheckResult(
            check_name=name,
            passed=not found,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"findings": len(found), "mode": verdict.mode, **kinds},
        )


def _family(finding: Finding) -> str | None:
    """Dead letters are of none: they have checks of their own, which warn."""
    return None if finding.kind in DEAD_LETTERS else FAMILY_OF_STORE.get(finding.store, "graph_equals_record")


def _kinds(verdict: Verdict) -> Iterator[dg.AssetCheckResult]:
    """Counted whole, also what the verdict does not name."""
    for name, (kinds, _) in KINDS.items():
        counts = {kind: verdict.counts[kind] for kind in kinds if kind in verdict.counts}
        yield dg.AssetCheckResult(
            check_name=name,
            passed=not counts,
            severity=dg.AssetCheckSeverity.WARN if name in WARNINGS else dg.AssetCheckSeverity.ERROR,
            metadata={"rows": sum(counts.values()), "mode": verdict.mode, **counts},
        )
