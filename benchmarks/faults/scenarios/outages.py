"""Servers that are killed, emptied, put back, full or deaf: Redis, the graph, Postgres. And a graph that somebody edits."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from benchmarks.faults.scenarios.registry import EMBEDDED, UNHURRIED, fault
from benchmarks.faults.trial import Trial
from memory_pipelines.embedded import Engine


@fault("Redis emptied")
def redis_emptied(trial: Trial) -> Iterator[None]:
    """Stream and groups are gone, again and again."""
    trial.writer = {"pause_seconds": UNHURRIED}
    yield
    for _ in range(3):
        yield from trial.until_deeds(trial.somewhere())
        with trial.stack.redis() as server:
            server.flushall()
        yield from trial.pause(0.05)


@fault("Redis restarted without persistence")
def redis_restarted(trial: Trial) -> Iterator[None]:
    """Killed, its files gone, started again."""
    trial.writer = {"pause_seconds": UNHURRIED}
    yield
    yield from trial.until_deeds(trial.somewhere())
    trial.stack.kill("redis")
    trial.stack.forget_files("redis")
    yield from trial.pause(trial.rng.uniform(0.0, 0.3))
    trial.stack.start("redis")


@fault("Redis out of memory")
def redis_full(trial: Trial) -> Iterator[None]:
    """It takes no event for a while."""
    yield from _configured(trial, "redis", "maxmemory", "1")


@fault("Redis frozen")
def redis_frozen(trial: Trial) -> Iterator[None]:
    """It takes connections, and never answers."""
    trial.writer = {"pause_seconds": UNHURRIED}
    yield
    yield from trial.until_deeds(trial.somewhere())
    trial.stack.signal("redis", signal.SIGSTOP)
    yield from trial.pause(0.4)
    trial.stack.signal("redis", signal.SIGCONT)


def _configured(trial: Trial, engine: Engine, name: str, value: str) -> Iterator[None]:
    trial.writer = {"pause_seconds": UNHURRIED}
    yield
    yield from trial.until_deeds(trial.somewhere())
    with trial.stack.redis(engine) as server:
        before = server.config_get(name)[name]
        server.config_set(name, value)
        yield from trial.pause(0.4)
        server.config_set(name, before)


@fault("graph killed", EMBEDDED)
def graph_killed(trial: Trial) -> Iterator[None]:
    """It comes back with what its last snapshot held, which may be nothing."""
    trial.writer = {"pause_seconds": UNHURRIED}
    yield
    if trial.rng.random() < 0.5:
        yield from trial.until_deeds(0.1)
        trial.stack.save_graph()
    yield from trial.until_deeds(trial.somewhere())
    trial.stack.kill("graph")
    yield from trial.pause(trial.rng.uniform(0.0, 0.3))
    trial.stack.start("graph")


@fault("graph wiped")
def graph_wiped(trial: Trial) -> Iterator[None]:
    """Everything in it is deleted; at times while nobody has anything to do."""
    late = trial.rng.random() < 0.3
    yield
    yield from trial.until(lambda: not trial.writing) if late else trial.until_deeds(trial.somewhere())
    if late:
        yield from trial.pause(0.3)
    trial.stack.wipe_graph()


@fault("graph put back to an older snapshot", EMBEDDED)
def graph_put_back(trial: Trial) -> Iterator[None]:
    """As a restore by somebody who thought that it was only the graph."""
    trial.writer = {"pause_seconds": UNHURRIED}
    yield
    yield from trial.until_deeds(trial.rng.uniform(0.1, 0.5))
    older = trial.folder / "older.rdb"
    trial.stack.save_graph(older)
    yield from trial.until_deeds(trial.rng.uniform(0.6, 1.0))
    yield from trial.pause(trial.rng.choice((0.0, 0.3)))
    trial.stack.kill("graph")
    trial.stack.put_back_graph(older)


@fault("graph out of memory", EMBEDDED)
def graph_full(trial: Trial) -> Iterator[None]:
    """It answers, and refuses every write."""
    yield from _configured(trial, "graph", "maxmemory", "1mb")


@fault("graph read-only", EMBEDDED)
def graph_read_only(trial: Trial) -> Iterator[None]:
    """It was made a replica of nobody, as in a failover."""
    trial.writer = {"pause_seconds": UNHURRIED}
    yield
    yield from trial.until_deeds(trial.somewhere())
    with trial.stack.redis("graph") as server:
        server.replicaof("127.0.0.1", "1")
        yield from trial.pause(0.4)
        server.replicaof("NO", "ONE")


@fault("graph without its replicas", EMBEDDED)
def graph_alone(trial: Trial) -> Iterator[None]:
    """It refuses writes until as many replicas follow as it was told to want."""
    yield from _configured(trial, "graph", "min-replicas-to-write", "1")


@fault("graph frozen", EMBEDDED)
def graph_frozen(trial: Trial) -> Iterator[None]:
    """It takes connections, and never answers."""
    trial.writer = {"pause_seconds": UNHURRIED}
    yield
    yield from trial.until_deeds(trial.somewhere())
    trial.stack.signal("graph", signal.SIGSTOP)
    yield from trial.pause(0.5)
    trial.stack.signal("graph", signal.SIGCONT)


@fault("edges cut from outside")
def edges_cut(trial: Trial) -> Iterator[None]:
    """Somebody deletes, doubles and draws edges in a graph where every run was green: only an audit can know."""
    damages = [
        "MATCH (:Memory)-[n:MENTIONS]->() WITH n LIMIT 2 DELETE n",
        "MATCH (:Entity)-[n:RELATES_TO]->() WHERE n.deleted IS NULL WITH n LIMIT 1 DELETE n",
        "MATCH (m:Memory)-[n:MENTIONS]->(e) WITH m, e, n LIMIT 1 CREATE (m)-[:MENTIONS {dh: n.dh, dl: n.dl}]->(e)",
    ]
    trial.damage = trial.rng.sample(damages, trial.rng.randint(1, 3))
    yield


@fault("nodes damaged from outside")
def nodes_damaged(trial: Trial) -> Iterator[None]:
    """Somebody deletes, changes and makes nodes."""
    damages = [
        "MATCH (m:Memory) WHERE m.deleted IS NULL WITH m LIMIT 2 DETACH DELETE m",
        "MATCH (e:Entity) WHERE e.deleted IS NULL WITH e LIMIT 1 SET e.name = 'Somebody Else'",
        "MATCH (m:Memory) WHERE m.deleted IS NULL WITH m LIMIT 1 SET m.namespace = 'elsewhere'",
        "CREATE (:Memory {id: '00000000-0000-4000-8000-000000000001', namespace: 'bench', revision: 3, bucket: 7, leaf: 7})",
        "MATCH (e:Entity) WHERE e.deleted IS NULL WITH e LIMIT 1 SET e.revision = e.revision + 5",
    ]
    trial.damage = trial.rng.sample(damages, trial.rng.randint(1, 4))
    yield


@fault("Postgres restarted")
def postgres_restarted(trial: Trial) -> Iterator[None]:
    """At once, without a checkpoint: it recovers, and whoever was in the middle of a commit does not know."""
    trial.writer, trial.retried = {"pause_seconds": UNHURRIED}, True
    yield
    yield from trial.until_deeds(trial.somewhere())
    trial.stack.restart_at_once()


@fault("Postgres killed")
def postgres_killed(trial: Trial) -> Iterator[None]:
    """`kill -9` of the postmaster."""
    trial.writer, trial.retried = {"pause_seconds": UNHURRIED}, True
    yield
    yield from trial.until_deeds(trial.somewhere())
    trial.stack.kill("postgres")
    yield from trial.pause(trial.rng.uniform(0.0, 0.2))
    trial.stack.start("postgres")


@fault("sessions of the record ended")
def sessions_ended(trial: Trial) -> Iterator[None]:
    """By `pg_terminate_backend`, again and again: a statement at work is undone, one that has just committed is not."""
    trial.retried = True
    trial.writer = {"pause_seconds": UNHURRIED}
    yield
    with trial.stack.record() as connection:
        ending = b"select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'memory-pipelines'"
        for _ in range(6):
            connection.execute(ending)
            yield from trial.pause(trial.rng.uniform(0.02, 0.12))
