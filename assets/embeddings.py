"""Passages and entities as vectors, in a table of their own beside the record."""

from collections.abc import Iterator

import dagster as dg

from memory_pipelines.assets import checks, columns, drains
from memory_pipelines.resources.configuration import DrainConfig
from memory_pipelines.resources.platform import PlatformResource
from memory_pipelines.services.sync import sync


@dg.asset(
    deps=drains.MADE_FROM["embeddings"],
    group_name="memory",
    kinds={"postgres", "pgvector"},
    owners=["team:memory"],
    output_required=False,
    metadata=columns.table("embeddings"),
)
def embeddings(context: dg.AssetExecutionContext, config: DrainConfig, platform: PlatformResource) -> Iterator[dg.MaterializeResult[None]]:
    """Each passage of each memory, and each entity's name, as a vector for search by meaning (pgvector).

    Incremental: drains what the ledger owes to the projection *embeddings*, in batches. A vector is stamped with the model's generation
    and the version it was made from; one made from an older version is refused. What is not embedded yet, search finds by its words.

    More, in the project: docs/consistency.md, docs/scaling.md.
    """
    yield from drains.materialise(context, platform.get(), "embeddings", config)


@dg.asset_check(asset=embeddings, description="Is every change embedded, or owed for less than the sync budget?")
def embeddings_on_time(platform: PlatformResource) -> dg.AssetCheckResult:
    """Error: something is owed for longer than the budget."""
    return checks.on_time(platform.get(), "embeddings")


@dg.asset_check(asset=embeddings, description="Has every passage and entity a vector, but for what is still owed?")
def embeddings_complete(platform: PlatformResource) -> dg.AssetCheckResult:
    """Error: a vector is missing, or one too many, and nothing is owed that would explain it."""
    record = platform.get().record
    counts, owed = record.counts(), sync.wanted(platform.get(), "embeddings").owed  # in this order: what is missing in between is owed
    missing = counts["passages"] + counts["entities"] - counts["embeddings"]
    return dg.AssetCheckResult(passed=not missing or owed > 0, metadata={"missing": missing, "owed": owed})


@dg.asset_check(asset=embeddings, description="Has no embedding failed so often for its own reason that it was set aside?")
def embeddings_nothing_parked(platform: PlatformResource) -> dg.AssetCheckResult:
    """Warning: parked rows block nobody, but somebody should look."""
    return checks.nothing_parked(platform.get(), "embeddings")
