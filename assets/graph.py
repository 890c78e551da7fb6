"""The knowledge graph: a projection of the record for traversal. It can be dropped and rebuilt at any time."""

from collections.abc import Iterator

import dagster as dg

from memory_pipelines.assets import checks, drains
from memory_pipelines.resources.configuration import DrainConfig
from memory_pipelines.resources.platform import PlatformResource
from memory_pipelines.services.projections import graph as graph_service
from memory_pipelines.services.sync import sync

KINDS = {"memory": "memories", "entity": "entities", "mention": "mentions", "relation": "relations"}


@dg.asset(
    deps=drains.MADE_FROM["knowledge_graph"],
    group_name="memory",
    owners=["team:memory"],
    output_required=False,
)
def knowledge_graph(
    context: dg.AssetExecutionContext, config: DrainConfig, platform: PlatformResource
) -> Iterator[dg.MaterializeResult[None]]:
    """`(:Memory)-[:MENTIONS]->(:Entity)-[:RELATES_TO]->(:Entity)`, for traversal and neighbours.

    Incremental: drains what the ledger owes to the projection *graph*, a thousand rows a statement. Each statement first writes one marker
    node; a marker below the ledger's means that the graph was rolled back, and everything above it is owed again.

    More, in the project: docs/consistency.md, docs/scaling.md.
    """
    yield from drains.materialise(context, platform.get(), "graph", config)


@dg.asset_check(asset=knowledge_graph, description="Is every change in the graph, or owed for less than the sync budget?")
def graph_on_time(platform: PlatformResource) -> dg.AssetCheckResult:
    """Error: something is owed for longer than the budget."""
    return checks.on_time(platform.get(), "graph")


@dg.asset_check(asset=knowledge_graph, description="Does the graph hold as many nodes and edges as the record, but for what is still owed?")
def graph_complete(platform: PlatformResource) -> dg.AssetCheckResult:
    """Error: counts differ while nothing moves. Which rows, the audit says."""
    record, held = platform.get().record, platform.get().graph
    before, graph, after = record.counts(), held.counts(), record.counts()
    owed = sync.wanted(platform.get(), "graph").owed
    differing = {many: graph[one] - after[many] for one, many in KINDS.items() if graph[one] != after[many]}
    return dg.AssetCheckResult(passed=not differing or owed > 0 or before != after, metadata={"owed": owed, **differing})


@dg.asset_check(asset=knowledge_graph, description="Is the graph's marker where the ledger says, so that it was not emptied or restored?")
def graph_not_rolled_back(platform: PlatformResource) -> dg.AssetCheckResult:
    """Error until the next drain, which owes again what was lost."""
    settled = int(platform.get().record.status(platform.get().settings.sync_budget_seconds)["settled_marker"])
    return dg.AssetCheckResult(passed=not graph_service.behind(platform.get(), settled), metadata={"settled_marker": settled})


@dg.asset_check(asset=knowledge_graph, description="Has no row of the graph failed so often for its own reason that it was set aside?")
def graph_nothing_parked(platform: PlatformResource) -> dg.AssetCheckResult:
    """Warning: parked rows block nobody, but somebody should look."""
    return checks.nothing_parked(platform.get(), "graph")
