"""Our definitions in a project of a user's own: merged into theirs, with settings that they were given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.dagster import EVERYTHING, definitions
from tests.orchestration.conftest import QUIET

ROOT = Path(__file__).parents[2]


@dg.asset
def theirs() -> int:
    """Somebody's own."""
    return 1


@pytest.fixture
def merged(settings: Settings, environment: pytest.MonkeyPatch, tmp_path: Path) -> dg.Definitions:
    """Beside an asset, a resource, an executor and a schedule of a user's own; the environment speaks of another memory."""
    environment.setenv("MEMORY_HOME", str(tmp_path / "elsewhere"))
    environment.setenv("MEMORY_DATABASE_URL", "postgresql://nobody@/nothing?host=/nowhere")
    given = settings.model_copy(update={"sync_budget_seconds": 77.0})
    nightly = dg.define_asset_job("nightly", selection=EVERYTHING, executor_def=dg.in_process_executor)
    own = dg.Definitions(
        assets=[theirs],
        jobs=[nightly],
        schedules=[dg.ScheduleDefinition(job=nightly, cron_schedule="0 1 * * *")],
        resources={"theirs": dg.ResourceDefinition.hardcoded_resource(1)},
        executor=dg.multiprocess_executor,
    )
    return dg.Definitions.merge(own, definitions(given))


def test_runs_and_checks_have_the_given_settings(merged: dg.Definitions, client: MemoryClient, instance: dg.DagsterInstance) -> None:
    client.save("Ada met Charles.", namespace="n")
    result = merged.resolve_job_def("nightly").execute_in_process(instance=instance, run_config=QUIET)
    assert {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()} == {
        "memories", "entities", "embeddings", "knowledge_graph", "consistency_audit",
    }  # fmt: skip
    (late,) = [found for found in result.get_asset_check_evaluations() if found.check_name == "graph_on_time"]
    assert late.metadata["budget_seconds"].value == 77.0
    assert client.status().owed == {"entities": 0, "embeddings": 0, "graph": 0}


def test_a_sensor_has_them_too(merged: dg.Definitions, client: MemoryClient, instance: dg.DagsterInstance) -> None:
    client.save("Ada met Charles.")
    with dg.build_sensor_context(instance=instance, resources=dict(merged.resources or {}), definitions=merged) as context:
        tick = merged.resolve_sensor_def("graph_queue").evaluate_tick(context)
    (request,) = tick.run_requests or []
    assert "nowhere" not in str(request.run_config)
    assert set(request.run_config) <= {"ops", "execution", "loggers", "resources"}
    assert not request.run_config.get("resources"), "settings are no part of what Dagster keeps"


def test_secrets_are_in_no_snapshot_of_the_definitions() -> None:
    found = definitions(Settings(database_url="postgresql://u:hunter2@/db", graph_url="bolt://h", graph_password="hunter3"))
    job = found.resolve_job_def("sync_everything")
    kept = dg.serialize_value(job.get_job_snapshot())
    assert "hunter" not in kept + repr(found.resources)


def test_a_project_with_packages_named_assets_and_resources(tmp_path: Path) -> None:
    """As every classic Dagster project has them."""
    for name in ("assets", "resources"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"import dagster as dg\n\n\n@dg.asset\ndef theirs_{name}() -> None: ...\n")
    (tmp_path / "project.py").write_text(
        "import dagster as dg\n"
        "import assets\n"
        "import resources\n"
        "from memory_pipelines import Settings\n"
        "from memory_pipelines.dagster import definitions\n"
        "own = dg.Definitions(assets=[*dg.load_assets_from_modules([assets, resources])])\n"
        "defs = dg.Definitions.merge(own, definitions(Settings(home='nothing')))\n"
    )
    words = "import project; print(sorted(key.to_user_string() for key in project.defs.resolve_asset_graph().get_all_asset_keys()))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    found = subprocess.run(
        [sys.executable, "-c", words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert found.returncode == 0, found.stderr[-2000:]
    assert found.stdout.split("\n")[0] == str([
        "consistency_audit", "embeddings", "entities", "knowledge_graph", "memories", "theirs_assets", "theirs_resources",
    ])  # fmt: skip
    assert not (tmp_path / "nothing").exists(), "loading starts no engine"
