"""Rebuilding a projection from the record, shard by shard, so that a backfill spreads over executors.

Op jobs, because a shard is a way to cut work, not a part of the asset: each run owes its shard's rows again, drains, and reports the
projection as materialised. Nothing is dropped first: applying is idempotent, and what should not be there is the audit's to find.
One drain at a time has the projection, so that runs of one projection take turns, and only those of different projections work at once
(docs/scaling.md). Where pools have a limit, as in our settings, a run waits for its turn before it owes anything, and the UI says so.
"""

import dagster as dg

from memory_pipelines.assets import drains, metadata, tags
from memory_pipelines.domain.models import Projection
from memory_pipelines.resources.configuration import RebuildConfig
from memory_pipelines.resources.platform import PlatformResource
from memory_pipelines.services.sync import sync

SHARDS = dg.StaticPartitionsDefinition([f"{shard:02d}" for shard in range(16)])


def _job(projection: Projection, asset: str) -> dg.JobDefinition:
    @dg.op(
        name=f"rebuild_{projection}_shard",
        description=f"Owe this shard's rows to {projection} again, and drain.",
        pool=tags.pool("rebuild", projection),
    )
    def rebuild(context: dg.OpExecutionContext, config: RebuildConfig, platform: PlatformResource) -> None:
        shard = SHARDS.get_partition_keys().index(context.partition_key)
        owed = sync.rebuild_owe(platform.get(), projection, shard, SHARDS.get_num_partitions())
        result = drains.drain(platform.get(), projection, config, context.log)
        context.log.info("Shard %s: %d rows owed again, %d done here.", context.partition_key, owed, result.done)
        if not (result.busy or result.lease_lost):  # else another drain does these rows, and reports them
            shown = metadata.drained(result) | metadata.held(platform.get().record.counts(), asset)
            context.log_event(drains.materialised(asset, {"rebuilt_shard": context.partition_key, **shown}))

    @dg.job(
        name=f"rebuild_{projection}",
        partitions_def=SHARDS,
        executor_def=dg.in_process_executor,
        tags=tags.of("rebuild", projection),
        description=f"Make `{asset}` again from the record, one of sixteen shards a run. Launch a backfill for all of them.",
    )
    def rebuild_job() -> None:
        rebuild()

    return rebuild_job


rebuild_entities = _job("entities", "entities")
rebuild_embeddings = _job("embeddings", "embeddings")
rebuild_graph = _job("graph", "knowledge_graph")
