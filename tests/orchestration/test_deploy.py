"""`deploy/dagster.yaml`: a history in Postgres, a queue with a limit, and runs that a code server executes somewhere else."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import pytest
import yaml
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.instance.config import PoolGranularity
from dagster._core.launcher import WorkerStatus
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.resources.code_server_launcher import CodeServerRunLauncher
from memory_pipelines.wiring import database_url
from tests import compose, engines

DATABASE = "dagster_deploy"
pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True)
class Deployed:
    """A `DAGSTER_HOME` with the settings of production, and the environment that its processes get."""

    home: Path
    environment: dict[str, str]
    port: int

    @property
    def workspace(self) -> Path:
        """`deploy/workspace.yaml`, for the port that is free here."""
        return self.home / "workspace.yaml"


@pytest.fixture
def deployed(client: MemoryClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:  # noqa: ARG001  # emptied
    """Laid out as the image does it, on a database of its own in the embedded Postgres."""
    home = tmp_path / "dagster"
    home.mkdir()
    text = (compose.ROOT / "deploy" / "dagster.yaml").read_text("utf-8")
    text = text.replace(": /data", f": {tmp_path}").replace("poll_interval_seconds: 30", "poll_interval_seconds: 2")
    (home / "dagster.yaml").write_text(text)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    location = yaml.safe_load((compose.ROOT / "deploy" / "workspace.yaml").read_text("utf-8"))
    location["load_from"][0]["grpc_server"] |= {"host": "127.0.0.1", "port": port}
    (home / "workspace.yaml").write_text(yaml.safe_dump(location))
    (folder,) = parse_qs(urlsplit(database_url(settings)).query)["host"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEMORY_", "DAGSTER_", "OPENAI_"))}
    environment = {
        **kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(compose.ROOT),
        "DAGSTER_HOME": str(home), "MEMORY_HOME": str(settings.home_path),
        "DAGSTER_DATABASE_URL": f"postgresql+psycopg2://postgres@/{DATABASE}?host={folder}",
    }  # fmt: skip
    monkeypatch.setenv("DAGSTER_DATABASE_URL", environment["DAGSTER_DATABASE_URL"])
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with engines.connect(settings) as connection:
        connection.execute(f"create database {DATABASE}")
        try:
            yield Deployed(home, environment, port)
        finally:
            connection.execute(f"drop database {DATABASE} with (force)")


@pytest.fixture
def history(deployed: Deployed) -> Iterator[dg.DagsterInstance]:
    """The instance, as the webserver opens it."""
    with dg.DagsterInstance.from_config(str(deployed.home)) as instance:
        yield instance


@contextmanager
def process(deployed: Deployed, command: list[str], name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A service, until the block ends; its runs end with it."""
    with (deployed.home / f"{name}.log").open("ab") as log:
        started = subprocess.Popen(command, env=deployed.environment, cwd=deployed.home, stdout=log, stderr=log, start_new_session=True)
    try:
        yield started
    finally:
        try:
            os.killpg(started.pid, signal.SIGKILL)
        except ProcessLookupError:
            assert started.poll() is not None
        started.wait(20)


def code_server(deployed: Deployed) -> list[str]:
    """The command of the service `code`, on the port that is free here."""
    command = compose.read()["services"]["code"]["command"]
    return [{"0.0.0.0": "127.0.0.1", "4000": str(deployed.port)}.get(word, word) for word in command]


def daemon(deployed: Deployed) -> list[str]:
    """The command of the service `dagster-daemon`."""
    command = compose.read()["services"]["dagster-daemon"]["command"]
    return [str(deployed.workspace) if word.endswith("workspace.yaml") else word for word in command]


def answers(deployed: Deployed) -> Callable[[], bool]:
    """Whether the code server does."""
    check = ["dagster", "api", "grpc-health-check", "--port", str(deployed.port)]
    return lambda: subprocess.run(check, env=deployed.environment, capture_output=True, timeout=60, check=False).returncode == 0


def launch(deployed: Deployed, quiet_seconds: float) -> None:
    """Queue a drain of the graph, as the UI would."""
    config = {"ops": {"knowledge_graph": {"config": {"quiet_seconds": quiet_seconds}}}}
    words = ["dagster", "job", "launch", "--workspace", str(deployed.workspace), "--job", "sync_graph", "--config-json", json.dumps(config)]
    done = subprocess.run(words, env=deployed.environment, cwd=deployed.home, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def newest(history: dg.DagsterInstance, job: str = "sync_graph") -> dg.DagsterRun | None:
    """The newest run of a job."""
    return next(iter(history.get_runs(dg.RunsFilter(job_name=job), limit=1)), None)


def reaches(history: dg.DagsterInstance, run_id: str, *wanted: dg.DagsterRunStatus) -> None:
    """Wait until a run has one of these states."""

    def there() -> bool:
        run = history.get_run_by_id(run_id)
        return run is not None and run.status in wanted

    engines.until(there, f"the run is {' or '.join(status.value for status in wanted)}", 90)


def test_what_we_deploy_is_a_valid_instance(history: dg.DagsterInstance, deployed: Deployed) -> None:
    coordinator = history.run_coordinator
    assert isinstance(coordinator, QueuedRunCoordinator)
    queue = history.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_concurrent_runs == 10
    assert [limit["key"] for limit in queue.tag_concurrency_limits] == ["dagster/backfill"]
    assert queue.tag_concurrency_limits[0]["limit"] < queue.max_concurrent_runs
    pools = history.get_concurrency_config().pool_config
    assert (pools.pool_granularity, pools.default_pool_limit) == (PoolGranularity.RUN, 1)
    assert isinstance(history.run_launcher, CodeServerRunLauncher)
    assert isinstance(history.run_storage, PostgresRunStorage)
    assert isinstance(history.event_log_storage, PostgresEventLogStorage)
    assert isinstance(history.schedule_storage, PostgresScheduleStorage)
    assert history.run_monitoring_enabled
    assert history.telemetry_enabled is False
    assert history.get_sensor_settings()["use_threads"]
    assert history.compute_log_manager._base_dir.startswith(str(deployed.home.parent))  # type: ignore[attr-defined]  # no public name
    run = history.create_run_for_job(dg.GraphDefinition(name="anything").to_job())
    with dg.DagsterInstance.from_config(str(deployed.home)) as other:  # what one process writes, the next one reads
        assert other.get_run_by_id(run.run_id) is not None


def test_a_run_goes_through_the_queue_and_one_that_went_down_with_its_server_is_missed(
    history: dg.DagsterInstance, deployed: Deployed, client: MemoryClient
) -> None:
    with ExitStack() as services:
        code = services.enter_context(process(deployed, code_server(deployed), "code"))
        engines.until(answers(deployed), "the code server answers", 60)
        launch(deployed, 0.0)
        queued = newest(history)
        assert queued is not None
        assert queued.status == dg.DagsterRunStatus.QUEUED  # nobody takes it out yet
        services.enter_context(process(deployed, daemon(deployed), "daemon"))
        reaches(history, queued.run_id, dg.DagsterRunStatus.SUCCESS)
        events = [record.dagster_event_type for record in history.all_logs(queued.run_id) if record.dagster_event_type]
        assert events.index(dg.DagsterEventType.RUN_ENQUEUED) < events.index(dg.DagsterEventType.RUN_STARTING)

        client.save("Ada met Charles.")
        launch(deployed, 120.0)
        lingering = newest(history)
        assert lingering is not None
        reaches(history, lingering.run_id, dg.DagsterRunStatus.STARTED)
        launcher = history.run_launcher
        assert launcher.check_run_worker_health(lingering).status == WorkerStatus.RUNNING
        os.killpg(code.pid, signal.SIGKILL)
        code.wait(20)
        with pytest.raises(DagsterUserCodeUnreachableError):  # could not look: nothing is said about the run
            launcher.check_run_worker_health(lingering)
        services.enter_context(process(deployed, code_server(deployed), "code"))
        reaches(history, lingering.run_id, dg.DagsterRunStatus.FAILURE)
        assert any("restarted since" in (record.message or "") for record in history.all_logs(lingering.run_id))
