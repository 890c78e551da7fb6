"""Runs as Celery tasks, by the settings of `deploy/`: Dagster's history in Postgres, Redis as broker, a worker of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus

from memory_pipelines import MemoryClient, Settings
from tests import celery_runs, engines

SHARDS = ("03", "11")
QUEUE = "rebuilds"  # one of its own, as docs/scaling.md advises


@pytest.fixture
def deployed(settings: Settings, environment: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables that the launcher and the worker share."""
    variables = celery_runs.environment(settings)
    for name, value in variables.items():
        environment.setenv(name, value)
    return variables


def ended(instance: dg.DagsterInstance) -> Callable[[], bool]:
    return lambda: all(run.is_finished for run in instance.get_runs())


@pytest.mark.timeout(400)
def test_a_backfill_is_done_by_a_worker(client: MemoryClient, deployed: dict[str, str], tmp_path: Path) -> None:
    for number in range(40):
        client.save(f"Ada Lovelace wrote letter {number} to Charles Babbage.", namespace="celery")
    client.sync()
    assert deployed["DAGSTER_POSTGRES_URL"].startswith("postgresql+psycopg2://")
    with dg.DagsterInstance.get() as instance, celery_runs.workers(1, tmp_path, queue=QUEUE):
        celery_runs.launch("graph", SHARDS, queue=QUEUE)
        engines.until(ended(instance), f"the worker ends every run; see {tmp_path}", 120)
        runs = instance.get_runs()
        assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS] * len(SHARDS)
        assert all(run.tags["dagster-celery/task_id"] for run in runs)
        health = [instance.run_launcher.check_run_worker_health(run).status for run in runs]
        assert health == [WorkerStatus.SUCCESS] * len(SHARDS)
        found = [
            record.event_log_entry.asset_materialization
            for record in instance.fetch_materializations(dg.AssetKey("knowledge_graph"), limit=10).records
        ]
        rebuilt = {str(each.metadata["rebuilt_shard"].value): each.metadata["rows_done"].value for each in found if each is not None}
        assert rebuilt.keys() == set(SHARDS)
        assert sum(int(str(rows)) for rows in rebuilt.values()) > 0
    assert client.audit(deep=True).clean
