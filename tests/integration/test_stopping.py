"""A process that gets SIGTERM finishes or releases its batch, gives back its lease and is gone within ten seconds."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from memory_pipelines import MemoryClient, Settings
from tests import engines
from tests.e2e.command import COMMAND, environment
from tests.openai_server import KEY, Fault, OpenAIServer

WITHIN_SECONDS = 10.0


def holder(settings: Settings, projection: str) -> str | None:
    """Who drains a projection."""
    with engines.connect(settings) as connection:
        row = connection.execute("select holder from memory.heartbeats where projection = %s", [projection]).fetchone()
    return row[0] if row else None


def owed(client: MemoryClient, projection: str) -> int:
    """How many rows are owed."""
    return int(client.status().owed[projection])


def terminate(process: subprocess.Popen[str]) -> tuple[int, float]:
    """Ask it to stop; its exit code and how long it took."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    return code, time.monotonic() - began


def started(arguments: list[str], settings: Settings, folder: Path, **variables: str) -> subprocess.Popen[str]:
    """A process on the engines of these settings."""
    log = (folder / "log").open("w")
    with log:
        return subprocess.Popen(arguments, env=environment(settings.home_path, **variables), cwd=folder, stdout=log, stderr=log, text=True)


def test_sync_stops_between_two_batches(client: MemoryClient, settings: Settings, tmp_path: Path) -> None:
    client.save_many([{"text": f"Mara met Ben on day {n}.", "namespace": "stop"} for n in range(4000)])
    before = owed(client, "entities")
    with started([*COMMAND, "sync", "entities"], settings, tmp_path, MEMORY_BATCH_ROWS="20") as process:
        engines.until(lambda: owed(client, "entities") < before, "the first batch is settled", 30)
        code, seconds = terminate(process)
    assert code == 128 + signal.SIGTERM, (tmp_path / "log").read_text()
    assert seconds < WITHIN_SECONDS
    assert holder(settings, "entities") is None
    left = owed(client, "entities")
    assert 0 < left < before
    (result,) = client.sync("entities")  # nobody has to wait for a lease
    assert (result.busy, result.done) == (False, left)


def test_sync_that_waits_for_a_model_lets_go(client: MemoryClient, settings: Settings, tmp_path: Path) -> None:
    client.save("Mara met Ben.", namespace="stop")
    with OpenAIServer() as server:
        server.faults.append(Fault(hang=True, again=True))
        model = {"MEMORY_EMBEDDER": "openai", "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.url, "MEMORY_EMBEDDING_DIMENSIONS": "64"}
        with started([*COMMAND, "sync", "embeddings"], settings, tmp_path, **model) as process:
            engines.until(lambda: server.requests, "the model is asked", 30)
            assert holder(settings, "embeddings") is not None
            code, seconds = terminate(process)
    assert code == 128 + signal.SIGTERM, (tmp_path / "log").read_text()
    assert seconds < WITHIN_SECONDS
    assert holder(settings, "embeddings") is None
    assert owed(client, "embeddings") > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_lets_go_and_says_that_it_was_interrupted(
    client: MemoryClient, settings: Settings, tmp_path: Path, number: signal.Signals
) -> None:
    client.save("Mara met Ben.", namespace="stop")
    config: dict[str, Any] = {"ops": {"entities": {"config": {"quiet_seconds": 300.0}}}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    command = [
        sys.executable,
        "-m",
        "dagster",
        "job",
        "execute",
        "-m",
        "memory_pipelines.definitions",
        "-j",
        "sync_entities",
        "-c",
        "run.yaml",
    ]
    with started(command, settings, tmp_path, DAGSTER_HOME=str(tmp_path)) as process:
        engines.until(lambda: owed(client, "entities") == 0, "the run has drained, and lingers", 60)
        assert holder(settings, "entities") is not None
        began = time.monotonic()
        process.send_signal(number)
        process.wait(60)
    assert time.monotonic() - began < WITHIN_SECONDS
    assert holder(settings, "entities") is None
    said = (tmp_path / "log").read_text()
    assert "interrupt" in said.lower(), said[-3000:]
