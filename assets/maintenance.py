"""Housekeeping as an op job: it makes nothing that could be called an asset."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from memory_pipelines.assets import failures, tags
from memory_pipelines.resources.configuration import HistoryConfig
from memory_pipelines.resources.platform import PlatformResource
from memory_pipelines.services import maintenance as service

AT_ONCE = 5000  # the rest goes the next night


@dg.op(
    description="Forget what has expired, fold new vectors into the index, purge old tombstones, trim histories.",
    out=dg.Out(dg.Nothing),
    pool=tags.pool("maintenance"),
)
def maintain(context: dg.OpExecutionContext, platform: PlatformResource) -> None:
    """One pass; a second one right after it finds nothing to do."""
    with failures.explained():
        done = service.maintain(platform.get(), on_progress=None)
    context.log.info("Maintenance: %s", ", ".join(f"{name} {count}" for name, count in done.items()) or "nothing to do")
    context.add_output_metadata(dict(done))


@dg.op(
    description="Delete old successful runs from Dagster's history, which never does so by itself: each takes about 170 KB.",
    ins={"after": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
)
def trim_runs(context: dg.OpExecutionContext, config: HistoryConfig) -> None:
    """Failed runs stay, and each asset's newest one: somebody may still want to know."""
    instance, succeeded = context.instance, [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED]
    newest = instance.get_run_records(dg.RunsFilter(statuses=succeeded), limit=config.keep_runs)
    before = datetime.now(UTC) - timedelta(days=config.keep_days)
    if len(newest) == config.keep_runs:
        before = max(before, newest[-1].create_timestamp)
    shown = {event.run_id for key in instance.all_asset_keys() if (event := instance.get_latest_materialization_event(key)) is not None}
    old = instance.get_runs(dg.RunsFilter(statuses=succeeded, created_before=before), limit=AT_ONCE, ascending=True)
    going = [run.run_id for run in old if run.run_id not in shown]
    for run_id in going:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    context.log.info("%d runs deleted from the history.", len(going))
    context.add_output_metadata({"deleted_runs": len(going)})


@dg.job(
    executor_def=dg.in_process_executor,
    tags=tags.of("maintenance"),
    description="Nightly housekeeping: expiry, index, tombstones, histories.",
)
def maintenance() -> None:
    """See `maintain` and `trim_runs`."""
    trim_runs(maintain())
