"""Our definitions for a Dagster project of your own: `definitions(settings)`, and selections for schedules and jobs of yours.

    import dagster as dg
    from memory_pipelines import Settings
    from memory_pipelines.dagster import EVERYTHING, definitions

    nightly = dg.define_asset_job("memory_nightly", selection=EVERYTHING)
    theirs = dg.Definitions(jobs=[nightly], ...)
    defs = dg.Definitions.merge(theirs, definitions(Settings(home="/var/lib/memory")))

To add an asset, a job or a sensor, see `assets`; nothing here changes. Must stay out: logic.
"""

import dagster as dg

from memory_pipelines import assets
from memory_pipelines.assets import automation
from memory_pipelines.assets.drains import PROJECTIONS as _PROJECTIONS
from memory_pipelines.config import Settings, load
from memory_pipelines.resources.platform import platform_resource
from memory_pipelines.wiring import graph_engine, over_rest

__all__ = ["AUDIT", "EVERYTHING", "PROJECTIONS", "RECORD", "definitions"]

RECORD = dg.AssetSelection.assets("memories")
"""The record, whose materialisation measures it."""
PROJECTIONS = dg.AssetSelection.assets(*_PROJECTIONS.values())
"""The three projections: materialising one drains what it is owed."""
AUDIT = dg.AssetSelection.assets("consistency_audit")
"""The audit with its checks."""
EVERYTHING = RECORD | PROJECTIONS | AUDIT
"""The whole chain, in order; what the job `sync_everything` runs."""


def definitions(settings: Settings | None = None, *, executor: dg.ExecutorDefinition | None = None) -> dg.Definitions:
    """Assets, checks, jobs, sensors and schedules of a memory, to be used alone or merged into a project's own.

    Settings reach runs, sensors and checks through the resource `platform`, never through run configuration: Dagster keeps and shows that.
    So a process that loads the project has to come to the same settings. Nothing is opened here, and no engine is started.

    Args:
        settings: of the memory; those of the environment (`MEMORY_*`) by default, read anew by each run and tick.
        executor: for runs that are started from the asset graph; a project's own, or Dagster's, by default. Our jobs bring theirs.

    Raises:
        ConfigurationError: `config_invalid`, when the environment's settings are wrong.
    """
    known = settings or load()
    kinds = {"knowledge_graph": {graph_engine(known)}, "memories": {"postgres", "supabase"} if over_rest(known) else {"postgres"}}
    found = [
        asset.map_asset_specs(lambda spec: spec.replace_attributes(kinds=kinds.get(spec.key.to_user_string(), spec.kinds)))
        if isinstance(asset, dg.AssetsDefinition)
        else asset
        for asset in dg.load_assets_from_package_module(assets)
    ]
    return dg.Definitions(
        assets=found,
        asset_checks=dg.load_asset_checks_from_package_module(assets),
        jobs=automation.JOBS,
        schedules=automation.SCHEDULES,
        sensors=automation.SENSORS,
        resources={"platform": platform_resource(settings)},
        executor=executor,
    )
