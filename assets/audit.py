"""The proof: every store compared with the record, in both directions, and the verdict kept."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from assets import metadata
from memory_pipelines.domain.models import Verdict
from memory_pipelines.services import audit
from resources.configuration import AuditConfig
from resources.platform import PlatformResource

HOURLY = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=3), fail_window=timedelta(hours=26))
FAMILIES = {
    "graph_equals_record": "Does the graph hold exactly what the record says it should?",
    "embeddings_equal_record": "Has every passage and entity the vector of its present version, and is there no other?",
    "ledger_on_time": "Is nothing owed for longer than the sync budget?",
}
FAMILY_OF_STORE = {"embeddings": "embeddings_equal_record", "passages": "embeddings_equal_record", "ledger": "ledger_on_time"}


@dg.asset(
    deps=["knowledge_graph", "embeddings", "entities"],
    group_name="proof",
    kinds={"postgres", "python"},
    owners=["team:memory"],
    freshness_policy=HOURLY,
    check_specs=[dg.AssetCheckSpec(name, asset="consistency_audit", description=question) for name, question in FAMILIES.items()],
)
def consistency_audit(config: AuditConfig, platform: PlatformResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster wants it bare
    """Are graph and vectors equal to the record? A difference is *pending* (owed for less than the sync budget) or *drift*, named by row.

    **Quick** compares digests by bucket and finds what is missing, stale, ahead, extra or duplicate. **Deep** compares every property and
    edge and also finds what was edited. **Repair** owes the differing rows again, drains, and audits once more. Every verdict is kept.
    """
    verdict = audit.audit(platform.get(), deep=config.deep, repair=config.repair)
    return dg.MaterializeResult(
        data_version=metadata.VERSION,
        metadata=metadata.audited(verdict, audit.history(platform.get(), limit=metadata.RECENT)),
        check_results=list(_families(verdict)),
    )


def _families(verdict: Verdict) -> Iterator[dg.AssetCheckResult]:
    for name in FAMILIES:
        found = [finding for finding in verdict.findings if FAMILY_OF_STORE.get(finding.store, "graph_equals_record") == name]
        kinds = {kind: sum(finding.kind == kind for finding in found) for kind in sorted({finding.kind for finding in found})}
        yield dg.AssetCheckResult(
            check_name=name,
            passed=not found,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"findings": len(found), "mode": verdict.mode, **kinds},
        )
