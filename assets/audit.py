"""The proof: every store compared with the record, in both directions, and the verdict kept."""

from datetime import timedelta

import dagster as dg

from memory_pipelines.assets import failures, metadata, questions, tags
from memory_pipelines.resources.configuration import AuditConfig
from memory_pipelines.resources.platform import PlatformResource
from memory_pipelines.services.audit import audit
from memory_pipelines.services.repair.auditing import audit_and_repair

HOURLY = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=3), fail_window=timedelta(hours=26))


@dg.asset(
    deps=["knowledge_graph", "embeddings", "entities"],
    group_name="memory",
    kinds={"postgres", "python"},
    owners=["team:memory"],
    freshness_policy=HOURLY,
    pool=tags.pool("audit"),
    check_specs=questions.specs(),
)
def consistency_audit(config: AuditConfig, platform: PlatformResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster wants it bare
    """Are graph and vectors equal to the record? A difference is *pending* (owed for less than the sync budget) or *drift*, named by row.

    **Incremental** looks at what was written since the last audit; **quick** compares the digests of every bucket and finds what is
    missing, stale, ahead, extra or there twice; **deep** compares every property and edge, also finds what was edited, and can be resumed.
    **Repair** owes the differing rows again, drains, and audits once more. Every verdict is kept.

    More, in the project: docs/consistency.md, docs/scaling.md.
    """
    looking = audit_and_repair if config.repair else audit.audit
    with failures.explained():
        verdict = looking(platform.get(), deep=config.deep, incremental=config.incremental, resume=config.resume)
    return dg.MaterializeResult(
        data_version=metadata.VERSION,
        metadata=metadata.audited(verdict, audit.history(platform.get(), limit=metadata.RECENT)),
        check_results=list(questions.answered(platform.get(), verdict)),
    )
