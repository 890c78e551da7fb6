"""Run workers forked from the warm process: they execute, can be interrupted, and a killed one is known to be gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher import LaunchRunContext, WorkerStatus
from dagster._core.origin import JobPythonOrigin
from dagster._core.run_coordinator import DefaultRunCoordinator

from memory_pipelines import MemoryClient
from memory_pipelines.dagster_home import prepare_home
from memory_pipelines.definitions import defs
from memory_pipelines.resources.configuration import DrainConfig
from memory_pipelines.resources.launcher import WarmRunLauncher
from memory_pipelines.resources.warm import MODULE, WORKER_TAG
from tests import engines

ROOT = str(Path(__file__).parents[2])
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot fork here, and Dagster's own launcher is used")


@pytest.fixture
def history(tmp_path: Path, environment: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The instance that we ship, in a folder of the test's own."""
    environment.setenv("PYTHONPATH", ROOT)
    folder = prepare_home(tmp_path)
    environment.setenv("DAGSTER_HOME", str(folder))
    with dg.DagsterInstance.get() as instance:
        yield instance


def launch(history: dg.DagsterInstance, quiet_seconds: float) -> str:
    """Create and launch a run of `sync_graph` as the daemon would; returns its id."""
    repository = ReconstructableRepository.for_module(MODULE, "defs", working_directory=ROOT)
    run = history.create_run_for_job(
        defs.resolve_job_def("sync_graph"),
        run_config=dg.RunConfig(ops={"knowledge_graph": DrainConfig(quiet_seconds=quiet_seconds)}).to_config_dict(),
        job_code_origin=JobPythonOrigin("sync_graph", repository.get_python_origin()),
    )
    history.run_launcher.launch_run(LaunchRunContext(run, None))
    return run.run_id


def status(history: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = history.get_run_by_id(run_id)
    assert run is not None
    return run.status


def reaches(history: dg.DagsterInstance, run_id: str, wanted: dg.DagsterRunStatus) -> None:
    engines.until(lambda: status(history, run_id) == wanted, f"the run is {wanted.value}", 60)


def worker(history: dg.DagsterInstance, run_id: str) -> psutil.Process:
    run = history.get_run_by_id(run_id)
    assert run is not None
    return psutil.Process(int(run.tags[WORKER_TAG].split("@")[0]))


def test_what_we_ship_is_a_valid_instance(history: dg.DagsterInstance) -> None:
    assert isinstance(history.run_launcher, WarmRunLauncher)
    assert isinstance(history.run_coordinator, DefaultRunCoordinator)
    assert history.telemetry_enabled is False
    assert history.run_monitoring_enabled


def test_runs_are_executed_interrupted_and_missed(client: MemoryClient, history: dg.DagsterInstance) -> None:
    launcher = history.run_launcher
    client.save("Ada met Charles.")
    done = launch(history, 0.0)
    reaches(history, done, dg.DagsterRunStatus.SUCCESS)
    assert client.status().owed["graph"] == 0

    lingering = launch(history, 60.0)
    reaches(history, lingering, dg.DagsterRunStatus.STARTED)
    assert launcher.terminate(lingering)
    reaches(history, lingering, dg.DagsterRunStatus.CANCELED)

    killed = launch(history, 60.0)
    reaches(history, killed, dg.DagsterRunStatus.STARTED)
    run = history.get_run_by_id(killed)
    assert run is not None
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    worker(history, killed).send_signal(signal.SIGKILL)
    gone = lambda: launcher.check_run_worker_health(run).status == WorkerStatus.NOT_FOUND  # noqa: E731
    engines.until(gone, "the killed worker is missed")


def test_a_worker_outlives_the_process_it_came_from(client: MemoryClient, history: dg.DagsterInstance) -> None:
    client.save("Ada met Charles.")
    run_id = launch(history, 3.0)
    history.run_launcher.dispose()
    reaches(history, run_id, dg.DagsterRunStatus.SUCCESS)


def test_runs_of_others_are_left_alone(history: dg.DagsterInstance) -> None:
    run = history.create_run_for_job(defs.resolve_job_def("sync_graph"))
    assert history.run_launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING


def test_changed_sources_are_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from memory_pipelines.resources import warm

    source = tmp_path / "changed.py"
    source.write_text("")
    before = warm.newest_source()
    module = type(os)("memory_pipelines.assets.changed")
    module.__file__ = str(source)
    monkeypatch.setitem(__import__("sys").modules, "memory_pipelines.assets.changed", module)
    os.utime(source, (before + 100, before + 100))
    assert warm.newest_source() > before
