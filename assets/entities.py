"""Who and what the memories speak of: entities, mentions and relations, extracted from the text into the record."""

from collections.abc import Iterator

import dagster as dg

from memory_pipelines.assets import checks, columns, drains
from memory_pipelines.resources.configuration import DrainConfig
from memory_pipelines.resources.platform import PlatformResource


@dg.asset(
    deps=drains.MADE_FROM["entities"],
    group_name="memory",
    kinds={"postgres", "python"},
    owners=["team:memory"],
    output_required=False,
    metadata=columns.table("entities"),
)
def entities(context: dg.AssetExecutionContext, config: DrainConfig, platform: PlatformResource) -> Iterator[dg.MaterializeResult[None]]:
    """People, places, organisations and dates in the memories, and how they relate.

    Incremental: drains what the ledger owes to the projection *entities*, reading each memory's present text. A failed extraction
    changes nothing; links given by the caller are never replaced. What it changes is owed to `embeddings` and `knowledge_graph`.

    More, in the project: docs/consistency.md, docs/scaling.md.
    """
    yield from drains.materialise(context, platform.get(), "entities", config)


@dg.asset_check(asset=entities, description="Is every memory's extraction younger than the sync budget, or done?")
def entities_on_time(platform: PlatformResource) -> dg.AssetCheckResult:
    """Error: something is owed for longer than the budget."""
    return checks.on_time(platform.get(), "entities")


@dg.asset_check(asset=entities, description="Has no extraction failed so often for its own reason that it was set aside?")
def entities_nothing_parked(platform: PlatformResource) -> dg.AssetCheckResult:
    """Warning: parked rows block nobody, but somebody should look."""
    return checks.nothing_parked(platform.get(), "entities")
