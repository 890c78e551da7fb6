"""The demo and the diary on engines by URL, all three at once: REST, Neo4j over Bolt, a Redis over TCP; beside the embedded engines.

The servers are those of the tests: Supabase's light one on the embedded Postgres (needs Node), `scripts/neo4j-server` (needs Java and
Maven; or NEO4J_TEST_URL, whose data are dropped), a redis-server with a password on the loopback address. All share the cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks import ground, rest
from memory_pipelines import wiring
from memory_pipelines.config import Settings
from tests import engines, redis_servers, supabase_server


def run(settings: Settings, out: Path | None, rounds: int = 3) -> None:
    """Measure `rounds` times on both sets of engines in turn, each emptied before, and show the round with the median ratio of each row.

    Raises:
        SystemExit: an audit found differences, or the diary is not there.
    """
    if not ground.DIARY.exists():
        raise SystemExit(f"The diary is not there: {ground.DIARY}")
    with ground.empty(settings):  # the REST server reads which functions there are when it starts
        pass
    address = wiring.database_url(settings)
    with supabase_server.running(address) as record, engines.neo4j() as graph, redis_servers.server() as stream:
        url = f"redis://:{quote(redis_servers.PASSWORD, safe='')}@127.0.0.1:{stream.port}/0"
        named = {"redis_url": url, **graph}
        rest_too = {"supabase_url": record.url, "supabase_key": record.secret_key}
        given = {f"MEMORY_{name.upper()}": str(value) for name, value in (named | rest_too).items()}
        measured = [_round(settings, engines.settings_for(settings.home_path, **named), record, given) for _ in range(rounds)]
    rows = [sorted(column, key=lambda row: row["ratio"])[len(column) // 2] for column in zip(*measured, strict=True)]
    ground.show(f"By URL (REST, Neo4j, Redis), Pepys: 3,415 entries, median of {rounds} rounds", rows, out)


def _round(embedded: Settings, named: Settings, record: supabase_server.Supabase, given: dict[str, str]) -> list[dict[str, Any]]:
    with ground.empty(embedded) as platform:
        floors = rest.steps(platform)
    with ground.empty(embedded):
        floors["demo, a process from start to end"] = _demo(embedded, {})
    with ground.empty(named):  # empties Neo4j and Redis, and brings the schema, which REST cannot
        platform = rest.over_rest(named, record)
        try:
            platform.embedder.embed(["warm"])
            platform.extractor.extract(["warm"])
            ours = rest.steps(platform)
        finally:
            platform.close()
    with ground.empty(named):
        ours["demo, a process from start to end"] = _demo(named, given)
    return [
        {"what": name, "seconds by URL": ours[name], "seconds embedded": took, "ratio": took / ours[name]} for name, took in floors.items()
    ]


def _demo(settings: Settings, given: dict[str, str]) -> float:
    """Seconds of `memory-pipelines demo`, whose own audits, quick and deep, must be clean; `given` are the variables beside the home."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MEMORY_", "DAGSTER_"))}
    env |= {"MEMORY_HOME": str(settings.home_path), **given}
    command = [sys.executable, "-m", "memory_pipelines.entrypoints.cli", "demo", "--json"]
    took, done = ground.seconds(lambda: subprocess.run(command, env=env, capture_output=True, text=True, check=False))
    told = json.loads(done.stdout)
    if done.returncode != 0 or not all(found["clean"] for found in told["audits"]):
        raise SystemExit(f"The demo failed with {done.returncode}: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    if given and told["engines"]:
        raise SystemExit(f"The demo started {told['engines']} although every URL was set.")
    return took
