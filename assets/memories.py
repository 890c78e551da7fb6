"""The record: memories as callers wrote them. Written by clients, never by Dagster; materialising it measures it."""

from datetime import timedelta

import dagster as dg

from memory_pipelines.assets import columns, failures, metadata
from memory_pipelines.resources.platform import PlatformResource
from memory_pipelines.services import status

HOURLY = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=3), fail_window=timedelta(hours=26))


@dg.asset(
    group_name="memory",
    kinds={"postgres"},
    owners=["team:memory"],
    freshness_policy=HOURLY,
    metadata=columns.table("memories"),
)
def memories(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult[None]:
    """What the agents saved: **the record**, in Postgres. Everything below is made from it and can be made again.

    Clients write it directly (`save`, `update`, `forget`, `import`); each write also notes in the ledger what it owes to the
    projections. Materialising this asset writes nothing: it counts what is there and what is owed, so that growth can be seen over time.
    `embeddings_scanned_exactly` are no debt: search reads those one by one, until maintenance folds them into the vector index.

    More, in the project: docs/consistency.md.
    """
    with failures.explained():
        found = status.status(platform.get())
    return dg.MaterializeResult(data_version=metadata.VERSION, metadata=metadata.measured(found, metadata.Past.of(context, "memories")))
