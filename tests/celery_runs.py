"""Runs as Celery tasks on the embedded engines, by the settings of `deploy/`: what the webserver, the launcher and the workers share.

For the tests and the benchmark; a deployment does the same by hand (docs/scaling.md). Must stay out: fixtures, and what runs do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

from memory_pipelines import embedded
from memory_pipelines.config import Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def environment(settings: Settings) -> dict[str, str]:
    """The variables of a deployment on the embedded engines of a home; makes Dagster's database and DAGSTER_HOME."""
    home = settings.home_path
    url = embedded.addresses(home).database_url
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("select 1 from pg_database where datname = 'dagster'").fetchone() is None:
            connection.execute("create database dagster")
    dagster_home = home / "dagster"
    dagster_home.mkdir(exist_ok=True)
    shutil.copyfile(DEPLOY / "dagster.celery.yaml", dagster_home / "dagster.yaml")
    socket = quote(embedded.addresses(home).redis_url.removeprefix("unix://"), safe="/%")
    return {
        "MEMORY_HOME": str(home),
        "DAGSTER_HOME": str(dagster_home),
        "DAGSTER_POSTGRES_URL": url.replace("postgresql://", "postgresql+psycopg2://", 1).replace("/memory?", "/dagster?", 1),
        "DAGSTER_CELERY_BROKER": f"redis+socket://{socket}?virtual_host=1",
    }


def launch(projection: str, shards: Sequence[str], *, queue: str = "dagster") -> None:
    """Launch a backfill as a person would on the command line; each shard becomes a run, and each run a task in a Celery queue.

    Raises:
        RuntimeError: Dagster did not launch it; its own words are in the message.
    """
    command = [sys.executable, "-m", "dagster", "job", "backfill", "-m", "memory_pipelines.definitions", "-j", f"rebuild_{projection}"]
    command += ["--partitions", ",".join(shards), "--tags", json.dumps({"dagster-celery/queue": queue}), "--noprompt"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode != 0:
        raise RuntimeError(f"The backfill was not launched: {(done.stderr or done.stdout)[-2000:]}")


@contextmanager
def workers(count: int, home: Path, *, queue: str = "dagster") -> Iterator[None]:
    """So many Celery workers of a queue in the present environment, until the block ends. Each writes a log in `home`."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(DEPLOY / "celery"), str(ROOT)])}
    command = [sys.executable, "-m", "celery", "-A", "dagster_celery.app", "worker", "--queues", queue, "--concurrency", "1"]
    running = []
    try:
        for number in range(count):
            with (home / f"{queue}-{number}.log").open("a") as log:
                named = [*command, "--hostname", f"{queue}-{number}@%h"]
                running.append(subprocess.Popen(named, cwd=home, env=env, stdout=log, stderr=log))
        yield
    finally:
        for worker in running:
            worker.terminate()  # a warm shutdown: the run at hand is finished
        for worker in running:
            try:
                worker.wait(60)
            except subprocess.TimeoutExpired:  # its run hangs
                worker.kill()
                worker.wait(10)
