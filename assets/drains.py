"""What the three projections have in common: drain, wait for one's turn, and say what was done.

Must stay out: how rows are claimed and applied; that is `memory_pipelines.services.sync.sync`.
"""

import time
from collections.abc import Iterator

import dagster as dg
from dagster._core.definitions.data_version import (  # what Dagster puts on materialisations of assets; `DATA_VERSION_TAG` alone is public
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)

from memory_pipelines.assets import failures, metadata, tags
from memory_pipelines.domain.models import DrainResult, Projection
from memory_pipelines.resources.configuration import DrainConfig
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.sync import stopping, sync

PROJECTIONS: dict[Projection, str] = {"entities": "entities", "embeddings": "embeddings", "graph": "knowledge_graph"}
MADE_FROM = {"entities": ("memories",), "embeddings": ("memories", "entities"), "knowledge_graph": ("memories", "entities")}
TURN_POLL_SECONDS = 0.5


def request(projection: Projection, config: DrainConfig, why: str) -> dg.RunRequest:
    """A run that drains one projection. No run key: whether one is needed is decided anew each time."""
    return dg.RunRequest(run_config=dg.RunConfig(ops={PROJECTIONS[projection]: config}), tags={tags.WHY: why})


def drain(platform: Platform, projection: Projection, config: DrainConfig, log: dg.DagsterLogManager) -> DrainResult:
    """Drain a projection; while another drain holds it, wait for one's turn as long as `config` says."""
    end = time.monotonic() + config.wait_seconds
    while True:
        with failures.explained(), stopping.listening() as asked:  # a run that is terminated finishes its batch, and ends as interrupted
            result = sync.drain(platform, projection, quiet_seconds=config.quiet_seconds, max_seconds=config.max_seconds, should_stop=asked)
        if not result.busy or time.monotonic() >= end:
            return result
        log.info("Another drain holds %s; waiting for it to end.", projection)
        time.sleep(TURN_POLL_SECONDS)


def materialise(
    context: dg.AssetExecutionContext, platform: Platform, projection: Projection, config: DrainConfig
) -> Iterator[dg.MaterializeResult[None]]:
    """Drain, and report it. Nothing is reported as materialised when another drain kept the projection: it does the work and reports it."""
    result = drain(platform, projection, config, context.log)
    if result.busy:
        context.log.warning("Another drain holds %s and does this work; nothing was done here.", projection)
        return
    context.log.info("%d rows done, %d still owed, %.1f rows/s.", result.done, result.owed, result.rate)
    past = metadata.Past.of(context, PROJECTIONS[projection])
    shown = metadata.drained(result, past) | metadata.held(platform.record.counts(), PROJECTIONS[projection])
    yield dg.MaterializeResult(data_version=metadata.VERSION, metadata=shown)


def materialised(asset: str, shown: metadata.Metadata) -> dg.AssetMaterialization:
    """The report of an op that has drained a shard of a projection. It names the versions that Dagster would otherwise guess from the order
    of runs: its own, and that of whatever the asset is made from."""
    keys = [dg.AssetKey(key) for key in MADE_FROM[asset]]
    made_from = {get_input_data_version_tag(key): metadata.VERSION.value for key in keys}
    made_from |= {get_input_event_pointer_tag(key): NULL_EVENT_POINTER for key in keys}
    own = {DATA_VERSION_TAG: metadata.VERSION.value, DATA_VERSION_IS_USER_PROVIDED_TAG: "true", CODE_VERSION_TAG: "any"}
    return dg.AssetMaterialization(asset, metadata=shown, tags=made_from | own)
