"""The queue sensors' own decisions, carried out here and now: the runs execute in this process and appear in Dagster's history.

For `memory-pipelines demo` and for tests; `memory-pipelines dev` has the daemon do the same. Must stay out: deciding (`queue.py`).
"""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from time import perf_counter

import dagster as dg

from memory_pipelines.assets import drains, queue
from memory_pipelines.config import load
from memory_pipelines.domain.models import Projection
from memory_pipelines.resources.configuration import DrainConfig
from memory_pipelines.resources.warm import WORKER_TAG, identity
from memory_pipelines.wiring import open_platform

LAUNCHED_BY_TAG = "user"  # what Dagster shows as *Launched by*; a sensor's name would be untrue
HERE_AND_NOW = DrainConfig(quiet_seconds=0.2, wait_seconds=60.0)


@dataclass(frozen=True)
class RunSummary:
    """One run: whether it succeeded, how long it took, and how many rows it did."""

    job: str
    run_id: str
    success: bool
    seconds: float
    done: int


def run_wanted(
    definitions: dg.Definitions,
    *,
    instance: dg.DagsterInstance | None = None,
    on_run: Callable[[RunSummary], None] | None = None,
    limit: int = 20,
    launched_by: str | None = None,
) -> list[RunSummary]:
    """Do what the queue sensors would request, until they would request nothing more.

    A projection whose run failed is not tried again by this call.

    Args:
        definitions: with the jobs of the projections, such as `memory_pipelines.definitions.defs`.
        instance: whose history the runs go to; the one of `DAGSTER_HOME` by default.
        on_run: called after each run.
        limit: runs at most.
        launched_by: who asked, as Dagster shows it with the run; without it the run counts as launched by hand.

    Raises:
        Unavailable: `record_unavailable`.
    """
    instance = instance or dg.DagsterInstance.get()
    left, done = list(drains.PROJECTIONS), list[RunSummary]()
    with closing(open_platform(load())) as platform:
        while len(done) < limit:
            looks = {projection: queue.look(platform, projection, queue.Memo()) for projection in left}
            wanted = next((projection for projection, found in looks.items() if found.state == "wanted"), None)
            if wanted is None:
                break
            done.append(_run(definitions, wanted, looks[wanted].reason, instance, launched_by))
            if on_run is not None:
                on_run(done[-1])
            if not done[-1].success:
                left.remove(wanted)
    return done


def _run(
    definitions: dg.Definitions, projection: Projection, reason: str, instance: dg.DagsterInstance, launched_by: str | None
) -> RunSummary:
    request, started = drains.request(projection, HERE_AND_NOW, reason), perf_counter()
    result = definitions.resolve_job_def(f"sync_{projection}").execute_in_process(
        run_config={**request.run_config, "loggers": {"console": {"config": {"log_level": "ERROR"}}}},
        tags={**request.tags, WORKER_TAG: identity(os.getpid()), **({LAUNCHED_BY_TAG: launched_by} if launched_by else {})},
        instance=instance,
        raise_on_error=False,
    )
    reported = [event.materialization.metadata["rows_done"].value for event in result.get_asset_materialization_events()]
    rows = sum(int(value) for value in reported if isinstance(value, int))
    return RunSummary(f"sync_{projection}", result.run_id, result.success, perf_counter() - started, rows)
