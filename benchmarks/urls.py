"""The diary on engines by URL, all three at once: the record over REST, Neo4j over Bolt, a Redis over TCP; beside the embedded engines.

The servers are those of the tests: Supabase's light one on the embedded Postgres (needs Node), `scripts/neo4j-server` (needs Java and
Maven; or NEO4J_TEST_URL, whose data are dropped), a redis-server with a password on the loopback address. All share the cores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

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
        named = {
            "redis_url": SecretStr(f"redis://:{quote(redis_servers.PASSWORD, safe='')}@127.0.0.1:{stream.port}/0"),
            "graph_url": SecretStr(graph["graph_url"]),
            "graph_user": graph["graph_user"],
            "graph_password": SecretStr(graph["graph_password"]),
        }
        measured = [_round(settings, settings.model_copy(update=named), record) for _ in range(rounds)]
    rows = [sorted(column, key=lambda row: row["ratio"])[len(column) // 2] for column in zip(*measured, strict=True)]
    ground.show(f"By URL (REST, Neo4j, Redis), Pepys: 3,415 entries, median of {rounds} rounds", rows, out)


def _round(embedded: Settings, named: Settings, record: supabase_server.Supabase) -> list[dict[str, Any]]:
    with ground.empty(embedded) as platform:
        floors = rest.steps(platform)
    with ground.empty(named):  # empties Neo4j and Redis, and brings the schema, which REST cannot
        platform = rest.over_rest(named, record)
        try:
            platform.embedder.embed(["warm"])
            platform.extractor.extract(["warm"])
            ours = rest.steps(platform)
        finally:
            platform.close()
    return [
        {"what": name, "seconds by URL": ours[name], "seconds embedded": took, "ratio": took / ours[name]} for name, took in floors.items()
    ]
