"""Real servers for tests: where they are, and how to empty them between tests.

`settings_for` names the engines of a home and of nothing else, whatever the environment of whoever runs the tests says:
`empty` drops what it finds. To test against other servers, give other settings. Must stay out: fixtures (`conftest.py`).
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
import redis
from psycopg import sql

from memory_pipelines import embedded
from memory_pipelines.config import Settings
from memory_pipelines.ports import GraphTransport
from memory_pipelines.stores.graph.bolt_transport import BoltTransport
from memory_pipelines.stores.graph.falkor_transport import FalkorTransport
from memory_pipelines.wiring import database_url

T = TypeVar("T")

# Runs a test, or with `pytestmark` a module, once on each graph engine there is.
ON_EVERY_GRAPH = pytest.mark.parametrize("named_graph", ["falkordb", "neo4j"], indirect=True)


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A MEMORY_HOME that is gone afterwards, with the engines that were started in it.

    Not below pytest's own folder: every other run of the same user closes that to the account that Postgres runs as.
    """
    folder = Path(tempfile.mkdtemp(prefix="memory-"))
    try:
        yield folder
    finally:
        embedded.down(folder)
        shutil.rmtree(folder, ignore_errors=True)


def settings_for(home: Path, **changes: Any) -> Settings:
    """The settings of a home's embedded engines; `changes` on top."""
    nothing = dict.fromkeys(("database_url", "supabase_url", "supabase_key", "openai_api_key", "openai_base_url"))
    nothing |= dict.fromkeys(("redis_url", "redis_certificates"))
    nothing |= dict.fromkeys(("graph_url", "graph_user", "graph_password", "graph_database", "graph_certificates"))
    models = {"embedder": "wordllama", "extractor": "rules", "embedding_dimensions": None}
    return Settings(_env_file=None, home=home, **{**nothing, **models, **changes})


def connect(settings: Settings) -> psycopg.Connection[Any]:
    """A connection of a test's own to the record, every statement for itself."""
    return psycopg.connect(database_url(settings), autocommit=True)


def redis_server(settings: Settings) -> redis.Redis:
    """A client of a test's own for the Redis that holds the stream."""
    return redis.Redis.from_url(embedded.addresses(settings.home_path).redis_url, decode_responses=True)


def falkor_server(settings: Settings) -> FalkorTransport:
    """A way of a test's own to the embedded graph and the server that holds it."""
    return FalkorTransport(embedded.addresses(settings.home_path).graph_url, settings.graph_name)


def graph_server(settings: Settings) -> GraphTransport:
    """A way of a test's own to the projection, whichever engine holds it: `run(statement, parameters, write=True)`."""
    return bolt_server(settings) if settings.graph_url is not None else falkor_server(settings)


def bolt_server(settings: Settings, **changes: Any) -> BoltTransport:
    """A way of a test's own to the graph that the settings name by URL; `changes` on top."""
    assert settings.graph_url is not None
    assert settings.graph_password is not None
    options: dict[str, Any] = {
        "url": settings.graph_url.get_secret_value(), "user": settings.graph_user, "password": settings.graph_password.get_secret_value(),
        "certificates": settings.graph_certificates,
    }  # fmt: skip
    return BoltTransport(**options | changes)


@contextmanager
def neo4j() -> Iterator[dict[str, Any]]:
    """Settings of a Neo4j: that of `NEO4J_TEST_URL`, whose data are dropped, or one that runs meanwhile."""
    if url := os.environ.get("NEO4J_TEST_URL"):
        secret = {"graph_user": os.environ.get("NEO4J_TEST_USER", "neo4j"), "graph_password": os.environ.get("NEO4J_TEST_PASSWORD", "")}
        yield {"graph_url": url, **secret}
        return
    script = Path(__file__).parents[1] / "scripts" / "neo4j-server"
    command = [sys.executable, str(script), "--until-eof"]
    # Its standard input ends with this process, however that ends.
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        lines = [line.strip().removeprefix("MEMORY_").partition("=") for line in itertools.islice(server.stdout, 4)]
        said = {name.lower(): value for name, _, value in lines}
        if len(said) < 4:
            pytest.fail(f"{script} ended with code {server.wait(60)} before it was ready: see what it wrote to standard error")
        yield said
    finally:
        server.stdin.close()
        server.wait(60)
        server.stdout.close()


def empty(settings: Settings) -> None:
    """Start what does not run, then leave no schema, no graph and no key. What a dead test left connected is cut off."""
    addresses = embedded.up(settings.home_path)
    with connect(settings) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            " and application_name <> 'postgres.js'"  # Supabase's light server, which lives as long as the run and may die of it
        )
        connection.execute("drop schema if exists memory cascade")
    for url in (addresses.redis_url, addresses.graph_url):  # FalkorDB is a Redis too, and a graph is a key of it
        with redis.Redis.from_url(url) as server:
            server.flushall()
    if settings.graph_url is not None:
        empty_graph(settings)


def empty_graph(settings: Settings) -> None:
    """Leave nothing in the graph that the settings name, its marker included."""
    with closing(graph_server(settings)) as graph:
        graph.run("MATCH (n) DETACH DELETE n", write=True)


def forget_graph(settings: Settings) -> None:
    """As if there had never been a graph: FalkorDB keeps labels, types and indexes of one that is only empty."""
    if settings.graph_url is not None:
        empty_graph(settings)
        return
    with redis.Redis.from_url(embedded.addresses(settings.home_path).graph_url) as server:
        server.flushall()


def until(condition: Callable[[], T], what: str, seconds: float = 10.0) -> T:
    """Wait until `condition` returns something true, and return that; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"after {seconds:.0f} s: {what}")
        time.sleep(0.01)
    return found


def at_once(*tasks: Callable[[], T]) -> list[T]:
    """Run each task in a thread of its own, all starting at the same moment; returns their results or raises the first error."""
    gate = threading.Barrier(len(tasks))

    def run(task: Callable[[], T]) -> T:
        gate.wait(10)
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(run, task) for task in tasks]]


def deadlocks(settings: Settings) -> int:
    """How many deadlocks the record has met since it started. Close clients first: a session reports when it ends."""
    others = (  # the light server keeps its own
        "select 1 from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
        " and application_name <> 'postgres.js'"
    )
    with connect(settings) as connection:
        until(lambda: not connection.execute(others).fetchone(), "the other sessions end")
        row = connection.execute("select deadlocks from pg_stat_database where datname = current_database()").fetchone()
    return int(row[0]) if row else 0


def everything_in(settings: Settings) -> str:
    """Every row of every table of the record as text: what a dump of the database would show."""
    with connect(settings) as connection:
        tables = [name for (name,) in connection.execute("select tablename from pg_tables where schemaname = 'memory' order by 1")]
        rows = [
            f"{table}: {row}"
            for table in tables
            for (row,) in connection.execute(sql.SQL("select t::text from {} t").format(sql.Identifier("memory", table)))
        ]
    return "\n".join(rows)


def everything_in_graph(settings: Settings) -> str:
    """Every property of every node and edge as text."""
    graph = graph_server(settings)
    try:
        return repr([graph.run("MATCH (n) RETURN properties(n)"), graph.run("MATCH ()-[e]->() RETURN properties(e)")])
    finally:
        graph.close()
