"""A stack: real engines that are started once and emptied between trials, and what can be done to them from outside.

Lives here: starting, emptying, killing, putting back. To add an engine of the graph: a branch where `neo4j` is named. Must stay out: when
something is done (`scenarios`), and what follows from it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import psycopg
import redis
from psycopg import sql

from benchmarks.faults.proxy import Proxy
from benchmarks.faults.raw import Cypher, bolt, falkor
from memory_pipelines import Settings, embedded
from memory_pipelines.embedded import Engine, process
from memory_pipelines.embedded.engines import _servers  # the pid of an engine in half a millisecond; its public status asks all of them
from memory_pipelines.stores.postgres.migrate import migrate
from memory_pipelines.stores.redis import keys

ROOT = Path(__file__).resolve().parents[2]
GraphEngine = Literal["falkordb", "neo4j"]
GRAPH = "memory"
LEASE_SECONDS = 0.4  # short, so that a trial sees leases run out


class Stack:
    """The engines of one run. Use `running`."""

    def __init__(self, home: Path, engine: GraphEngine, neo4j: dict[str, str]) -> None:
        self.home, self.engine, self._neo4j = home, engine, neo4j
        self.addresses = embedded.up(home)
        migrate(self.addresses.database_url)
        self._servers = {server.name: server for server in _servers(home, ("postgres", "redis", "graph"))}
        self._seed: dict[str, list[str]] = {}
        self._tables: list[str] = []
        self._remember_seed()
        self.proxy = Proxy({name: self._servers[name].socket for name in self._servers})

    # -- addresses ---------------------------------------------------------------------------------------------------

    def settings(self, *, proxied: bool = False, **changes: Any) -> Settings:
        """Settings that name the engines, by their sockets or through the proxy; the environment has no say."""
        nothing: dict[str, Any] = dict.fromkeys(
            ("supabase_url", "supabase_key", "openai_api_key", "openai_base_url", "embedding_dimensions")
        )
        nothing |= dict.fromkeys(("redis_certificates", "graph_user", "graph_password", "graph_database", "graph_certificates"))
        urls = {
            "database_url": self.addresses.database_url, "redis_url": self.addresses.redis_url, "graph_url": self.addresses.graph_url,
        }  # fmt: skip
        if proxied:
            ports = self.proxy.ports
            urls = {
                "database_url": f"postgresql://postgres@127.0.0.1:{ports['postgres']}/memory?sslmode=disable&gssencmode=disable",
                "redis_url": f"redis://127.0.0.1:{ports['redis']}",
                "graph_url": f"falkor://127.0.0.1:{ports['graph']}",
            }
        models = {"embedder": "wordllama", "extractor": "rules"}
        small = {"lease_seconds": LEASE_SECONDS, "batch_rows": 40}
        return Settings(_env_file=None, home=self.home, **{**nothing, **models, **small, **urls, **self._neo4j, **changes})

    @contextmanager
    def record(self) -> Iterator[psycopg.Connection[Any]]:
        """A bare connection to the record."""
        with psycopg.connect(self.addresses.database_url, autocommit=True, connect_timeout=5) as connection:
            yield connection

    def cypher(self) -> Cypher:
        """A bare way to the graph."""
        if self.engine == "neo4j":
            named = self._neo4j
            return bolt(named["graph_url"], named["graph_user"], named["graph_password"], named.get("graph_certificates"))
        return falkor(str(self._servers["graph"].socket), GRAPH)

    def redis(self, engine: Engine = "redis") -> redis.Redis:
        """A client that may do everything to a Redis, or to the one that holds the graph."""
        return redis.Redis(unix_socket_path=str(self._servers[engine].socket), decode_responses=True, socket_timeout=10)

    # -- emptying ----------------------------------------------------------------------------------------------------

    def _remember_seed(self) -> None:
        """What the migrations themselves put into the tables: it is put back after every emptying."""
        with self.record() as connection:
            rows = connection.execute(
                "select tablename from pg_tables where schemaname = 'memory' and tablename <> 'migrations' order by 1"
            )
            self._tables = [str(name) for (name,) in rows]
            for name in self._tables:
                held = connection.execute(sql.SQL("select to_jsonb(t)::text from {} t").format(sql.Identifier("memory", name))).fetchall()
                self._seed[name] = [str(row) for (row,) in held]
            found = connection.execute("select sequencename from pg_sequences where schemaname = 'memory'").fetchall()
            self._sequences = [str(name) for (name,) in found]

    def empty(self) -> None:
        """Leave no memory, no debt, no node, no key, and no setting that a trial has made."""
        self._run_again()
        with self.record() as connection, connection.transaction():
            connection.execute("set local synchronous_commit = off")
            tables = sql.SQL(", ").join(sql.Identifier("memory", name) for name in self._tables)
            connection.execute(sql.SQL("truncate {} restart identity cascade").format(tables))
            for name, rows in self._seed.items():
                table = sql.Identifier("memory", name)
                back = sql.SQL("insert into {} overriding system value select * from jsonb_populate_record(null::{}, %s::jsonb)")
                for row in rows:
                    connection.execute(back.format(table, table), [row])
            for name in self._sequences:
                connection.execute(sql.SQL("alter sequence {} restart").format(sql.Identifier("memory", name)))
        for engine in ("redis", "graph"):
            with self.redis(engine) as server:  # type: ignore[arg-type]
                server.config_set("maxmemory", "0")
                server.config_set("maxmemory-policy", "noeviction")
                server.config_set("min-replicas-to-write", "0")
                if server.info("replication")["role"] != "master":
                    server.replicaof("NO", "ONE")
                server.flushall()
        self.snapshot_file.unlink(missing_ok=True)
        if self.engine == "neo4j":
            self.cypher()("MATCH (n) DETACH DELETE n")

    def _run_again(self) -> None:
        self.proxy.calm()
        for server in self._servers.values():
            leader = process.leader(server)
            if leader is not None:
                with suppress(ProcessLookupError):
                    os.kill(leader.pid, signal.SIGCONT)
        embedded.up(self.home)

    def restore_schema(self) -> None:
        """Bring every function and trigger of the record back to the release's own, whatever a mutant has made of them."""
        with self.record() as connection:
            for table, trigger in connection.execute(
                "select c.relname, t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid"
                " where t.tgname like 'mutant%' and not t.tgisinternal"
            ).fetchall():
                connection.execute(sql.SQL("drop trigger {} on {}").format(sql.Identifier(trigger), sql.Identifier("memory", table)))
            connection.execute("update memory.settings set value = '' where name = 'functions'")
        migrate(self.addresses.database_url)

    # -- deeds -------------------------------------------------------------------------------------------------------

    @property
    def snapshot_file(self) -> Path:
        """Where the embedded graph keeps its snapshot."""
        return self.home / "graph" / "dump.rdb"

    def pid(self, engine: Engine) -> int:
        """The process of an engine."""
        leader = process.leader(self._servers[engine])
        assert leader is not None, f"{engine} does not run"
        return leader.pid

    def last_words(self) -> str:
        """The end of every engine's log: a server that is gone takes its folder along at the end of the run."""
        return "\n".join(process.last_words(server, 40) for server in self._servers.values())

    def kill(self, engine: Engine) -> None:
        """`kill -9` one engine, and wait until nothing of it is left."""
        os.kill(self.pid(engine), signal.SIGKILL)
        wait_until(lambda: not process.alive(self._servers[engine]), f"{engine} is gone")

    def restart_at_once(self) -> None:
        """Postgres ends as by `pg_ctl stop -m immediate`: no checkpoint, every session dropped; it recovers when it starts again."""
        os.kill(self.pid("postgres"), signal.SIGQUIT)
        wait_until(lambda: not process.alive(self._servers["postgres"]), "Postgres is gone")
        self.start("postgres")

    def garble_stream(self) -> None:
        """Entries that no version of ours has written."""
        with self.redis() as server:
            for entry in ({"v": "1", "refs": "no JSON"}, {"v": "9", "refs": "[]"}, {"what": "else"}):
                server.xadd(keys.stream(self.settings().stream_name), entry)  # type: ignore[arg-type]

    def forget_files(self, engine: Engine) -> None:
        """Nothing that a dead engine has written is left."""
        for path in self._servers[engine].folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.is_file():
                path.unlink()

    def save_graph(self, to: Path | None = None) -> None:
        """Have the embedded graph write its snapshot, and keep a copy."""
        with self.redis("graph") as server:
            wait_until(lambda: not server.info("persistence")["rdb_bgsave_in_progress"], "no snapshot is being written")
            server.save()
        if to is not None:
            shutil.copy(self.snapshot_file, to)

    def put_back_graph(self, older: Path) -> None:
        """Start the embedded graph, which was killed, from an older snapshot."""
        shutil.copy(older, self.snapshot_file)
        self.start("graph")

    def wipe_graph(self) -> None:
        """Delete everything in the graph; of the embedded one its indexes too."""
        if self.engine == "neo4j":
            self.cypher()("MATCH (n) DETACH DELETE n")
            return
        with self.redis("graph") as server:
            server.flushall()

    def start(self, engine: Engine) -> None:
        """Start an engine that was killed."""
        embedded.up(self.home, (engine,))

    def signal(self, engine: Engine, number: signal.Signals) -> None:
        """Freeze or wake an engine."""
        os.kill(self.pid(engine), number)

    def close(self) -> None:
        """Stop everything."""
        self.proxy.close()
        with suppress(Exception):
            self._run_again()
        embedded.down(self.home)


@contextmanager
def running(engine: GraphEngine = "falkordb") -> Iterator[Stack]:
    """A stack in a home of its own, which is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        with _neo4j() if engine == "neo4j" else _none() as named:
            stack = Stack(home, engine, named)
            try:
                yield stack
            finally:
                stack.close()
    finally:
        embedded.down(home)
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _none() -> Iterator[dict[str, str]]:
    yield {}


@contextmanager
def _neo4j() -> Iterator[dict[str, str]]:
    """A Neo4j that lives as long as the block."""
    command = [sys.executable, str(ROOT / "scripts" / "neo4j-server"), "--until-eof"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        lines = [line.strip().removeprefix("MEMORY_").partition("=") for line in itertools.islice(server.stdout, 4)]
        named = {name.lower(): value for name, _, value in lines}
        assert len(named) == 4, "Neo4j did not start: see what scripts/neo4j-server wrote to standard error"
        yield named
    finally:
        server.stdin.close()
        server.wait(60)
        server.stdout.close()


def wait_until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Wait until `condition` is true.

    Raises:
        TimeoutError: naming `what`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:.0f} s: {what}")
        time.sleep(0.003)
