"""Jobs, schedules and sensors. To add a projection: a line in `drains.PROJECTIONS`, and its asset in a file of its own.

Must stay out: what the jobs do (assets), and how a sensor decides (`queue.py`).
"""

from typing import Any

import dagster as dg

from memory_pipelines.assets import checks, drains, failures, queue, rebuild, repair, tags
from memory_pipelines.assets.dead_letters import dead_letters
from memory_pipelines.assets.drains import PROJECTIONS
from memory_pipelines.assets.maintenance import maintenance
from memory_pipelines.domain.models import Projection
from memory_pipelines.resources.configuration import AuditConfig, DrainConfig
from memory_pipelines.resources.platform import PlatformResource
from memory_pipelines.services.audit import audit
from memory_pipelines.services.repair import repair as repair_service

AssetJob = Any  # what `define_asset_job` returns has no public name

# A tick's patience ends just before the daemon's next look (it looks every 5 s), so that hardly a moment passes unwatched.
PATIENCE_SECONDS = 23.5
# A drain stays while saves come every few seconds: their lag is then a batch, not the start of a run.
LINGER = DrainConfig(quiet_seconds=6.0, max_seconds=300.0, wait_seconds=0.0)


def _asset_job(name: str, *assets: str, description: str, labels: dict[str, str], config: dict[str, dg.Config] | None = None) -> AssetJob:
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*assets),
        config=dg.RunConfig(ops=config) if config else None,
        executor_def=dg.in_process_executor,
        tags=labels,
        description=description,
    )


SYNC_JOBS = {
    projection: _asset_job(
        f"sync_{projection}",
        asset,
        labels=tags.of("sync", projection),
        description=f"Drain what is owed to `{asset}`. Requested by `{projection}_queue`.",
    )
    for projection, asset in PROJECTIONS.items()
}
sync_everything = _asset_job(
    "sync_everything",
    "memories", *PROJECTIONS.values(), "consistency_audit",
    labels=tags.of("sync"),
    description="The whole chain once, on demand: measure the record, drain each projection, audit.",
)  # fmt: skip
audit_incremental = _asset_job(
    "audit_incremental",
    "memories", "consistency_audit",
    labels=tags.of("audit"),
    description="Measure the record; compare the digests of what was written since the last audit.",
    config={"consistency_audit": AuditConfig(incremental=True)},
)  # fmt: skip
audit_quick = _asset_job(
    "audit_quick",
    "memories", "consistency_audit",
    labels=tags.of("audit"),
    description="Measure the record; compare digests in every store.",
)  # fmt: skip
audit_deep = _asset_job(
    "audit_deep",
    "consistency_audit",
    labels=tags.of("audit"),
    description="Compare every property and edge; an audit that was interrupted goes on where it stopped.",
    config={"consistency_audit": AuditConfig(deep=True, resume=True)},
)
audit_repair = _asset_job(
    "audit_repair",
    "consistency_audit",
    labels=tags.of("repair"),
    description="Audit deeply, owe again what differs, drain, and audit once more.",
    config={"consistency_audit": AuditConfig(deep=True, repair=True)},
)


def _queue_sensor(projection: Projection) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{projection}_queue",
        job=SYNC_JOBS[projection],
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Requests a drain when something is owed to {PROJECTIONS[projection]} and nobody drains it. A tick watches for 25 s."
        f" Says with the check `{projection}_on_time` when something is owed for longer than the sync budget, and when no more.",
    )
    def watch(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
        # A daemon without threads ticks one sensor after the other: then a tick only looks.
        patience = PATIENCE_SECONDS if context.instance.get_sensor_settings().get("use_threads") else 0.0
        before = queue.Memo.parse(context.cursor)
        found = queue.watch(platform.get(), projection, before, patience_seconds=patience)
        told = checks.turned(platform.get(), projection, before.on_time)
        cursor = found.memo.knowing(before.on_time if told is None else told.passed).cursor()
        events = [] if told is None else [told]
        if found.state == "wanted":
            return dg.SensorResult(run_requests=[drains.request(projection, LINGER, found.reason)], cursor=cursor, asset_events=events)
        return dg.SensorResult(skip_reason=found.reason, cursor=cursor, asset_events=events)

    return watch


@dg.sensor(
    job=repair.repair_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a repair, by a plan, of what the newest audit found, up to MEMORY_REPAIR_BOUND findings; more is for a person.",
)
def repair_after_failed_audit(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
    """Requests a repair, by a plan, of what the newest verdict found and nobody has repaired; too much of it is an error for a person."""
    bound = platform.get().settings.repair_bound
    found = repair.decide(audit.history(platform.get(), limit=1), context.cursor, bound=bound)
    if found.alert:
        context.log.error("Not repaired by itself: %s", found.reason)
    if not found.wanted:
        return dg.SensorResult(skip_reason=found.reason, cursor=found.cursor)
    plan = repair_service.plan_of_last(platform.get(), dead_letters=False)
    if plan.work:
        return dg.SensorResult(run_requests=[repair.request(plan, found.reason)], cursor=found.cursor)
    if plan.rows:
        context.log.error("Left to a person: %d outside edits that cannot be adopted.", len(plan.rows))
    return dg.SensorResult(skip_reason=f"{found.reason} Nothing of it can be repaired, or is left.", cursor=found.cursor)


@dg.run_failure_sensor(
    name="run_failure",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=10,
    description="Says in the log of its tick which run failed and why. The place to add a call to your pager.",
)
def run_failure(context: dg.RunFailureSensorContext) -> None:
    """Says in the log which run failed and why. The place to tell a person: add a call to your pager here."""
    told = [failures.reason(event) for event in context.get_step_failure_events()] or [str(context.failure_event.message)]
    context.log.error("Run %s of %s failed: %s", context.dagster_run.run_id, context.dagster_run.job_name, " ".join(told))


def _schedule(name: str, job: AssetJob | dg.JobDefinition, cron: str, description: str) -> dg.ScheduleDefinition:
    running = dg.DefaultScheduleStatus.RUNNING
    return dg.ScheduleDefinition(name=name, job=job, cron_schedule=cron, default_status=running, description=description)


JOBS = [
    *SYNC_JOBS.values(), sync_everything, audit_incremental, audit_quick, audit_deep, audit_repair, repair.repair_job,
    maintenance, dead_letters,
    rebuild.rebuild_entities, rebuild.rebuild_embeddings, rebuild.rebuild_graph,
]  # fmt: skip
SENSORS = [*(_queue_sensor(projection) for projection in PROJECTIONS), repair_after_failed_audit, run_failure]
SCHEDULES = [
    _schedule("audit_hourly", audit_incremental, "17 * * * *", "Each hour: the digests of what was written since the last audit."),
    _schedule("audit_daily", audit_quick, "40 2 * * *", "Each night: all digests, whatever the hourly audits saw."),
    _schedule("audit_weekly", audit_deep, "30 4 * * 0", "Each Sunday: every property and edge; finds what was edited, too."),
    _schedule("maintenance_nightly", maintenance, "0 3 * * *", "Each night: expiry, the vector index, old tombstones, histories."),
]
