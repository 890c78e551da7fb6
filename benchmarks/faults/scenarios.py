"""The faults, by name. Each is a script: what it sets before its first `yield` shapes the trial, what follows happens while it runs.

To add one: a generator with `@fault("its name")`. It must be over, and everything mended, when the generator ends; what the crew makes of
it is the trial's business. Must stay out: checks.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.faults.roles import Armed
from benchmarks.faults.stack import LEASE_SECONDS
from benchmarks.faults.trial import Script, Trial
from memory_pipelines.domain import failpoints
from memory_pipelines.embedded import Engine

BOTH = ("falkordb", "neo4j")
_UNHURRIED = 0.003  # seconds between deeds, where a fault shall fall among them


@dataclass(frozen=True)
class Fault:
    """A fault that can be asked for by name."""

    name: str
    script: Script
    engines: tuple[str, ...]


FAULTS: dict[str, Fault] = {}


def fault(name: str, engines: tuple[str, ...] = BOTH) -> Callable[[Script], Script]:
    """Enter a script under a name."""

    def enter(script: Script) -> Script:
        FAULTS[name] = Fault(name, script, engines)
        return script

    return enter


@fault("none")
def none(trial: Trial) -> Iterator[None]:
    """Nothing goes wrong."""
    yield
    del trial


# -- killed at a point ---------------------------------------------------------------------------------------------------------

_ROLES = {
    "save": "writer", "update": "writer", "forget": "writer", "publish": "writer", "merge": "writer", "unmerge": "writer",
    "sync": "worker", "entities": "worker", "embeddings": "worker", "graph": "worker",
    "dead": "worker", "events": "worker", "maintain": "keeper", "audit": "keeper", "repair": "keeper",
}  # fmt: skip


def _killed_at(point: str) -> Script:
    subject = point.split(".")[0]
    role = "keeper" if point == "graph.dropping" else _ROLES.get(subject, "keeper")

    def script(trial: Trial) -> Iterator[None]:
        trial.needs_hit = True
        if role == "writer":
            trial.writer = {"armed": Armed(point, trial.rng.randint(1, _reaches(trial, point)))}
        elif role == "worker":
            trial.replaced = trial.rng.random() < 0.5
            often = point not in _RARE and subject not in ("dead", "events")
            stumbles = {"stumbles": True} if subject == "dead" else {}
            armed = {"armed": Armed(point, trial.rng.randint(1, 4) if often else 1)}
            trial.workers = [armed | stumbles, stumbles]
            if point in _RARE:  # whoever comes first mends it for all
                trial.workers, trial.replaced = [armed, armed], True
        else:
            chores = ("adopt", "deep repair") if point == "repair.adopted" else _CHORES[subject]
            trial.keeper = {"chores": chores, "armed": Armed(point, 1 if role == "graph" else trial.rng.randint(1, 3))}
            trial.repairs, trial.deep = point.startswith("repair"), point == "repair.adopted"
        yield
        if subject == "events":
            yield from trial.until_deeds(trial.somewhere())
            trial.stack.garble_stream()
        if point in _RARE:
            yield from trial.until_deeds(trial.somewhere())
            trial.stack.cypher()("MATCH (n) DETACH DELETE n")
        if role == "keeper":
            keeper = trial.crew.named("keeper")[0]
            if point.startswith("repair"):
                yield from trial.until_deeds(0.3)
                while keeper.alive and trial.writing:  # somebody damages the graph until the repair has died of it
                    trial.stack.cypher()(_DAMAGE.get(point, "MATCH (m:Memory)-[n:MENTIONS]->() WITH n LIMIT 3 DELETE n"))
                    yield from trial.pause(0.05)
            dropping = point == "graph.dropping"
            yield from trial.until(lambda: not keeper.alive, 20.0 if dropping else 4.0)
            if dropping:  # a drop that was killed leaves the graph closed, and says so: it is repeated, and not before it was killed
                trial.hire_keeper("drop")
                yield from trial.until(lambda: not trial.crew.named("keeper")[-1].alive, 15.0)

    return script


_CHORES = {"maintain": ("maintain",), "audit": ("audit", "deep"), "repair": ("repair",), "graph": ("drop",)}
_DAMAGE = {"repair.adopted": "MATCH (e:Entity) WHERE e.deleted IS NULL WITH e LIMIT 2 SET e.type = 'curiosity'"}  # what may be adopted


def _reaches(trial: Trial, point: str) -> int:
    """How often the first writer comes to a point, or a little less: some of its deeds are refused."""
    deeds = [deed["do"] for deed in trial.plans[0]]
    saves, others = sum(deed in ("save", "many") for deed in deeds), deeds.count(point.split(".")[0])
    return max(1, saves * 9 // 10 if point.startswith(("save", "publish")) else others // 2)


_RARE = {"graph.lost_owed", "graph.raised"}
for _point in sorted(failpoints.POINTS):
    fault(f"killed at {_point}")(_killed_at(_point))


# -- killed at any moment ------------------------------------------------------------------------------------------------------


@fault("worker killed at any moment")
def worker_killed(trial: Trial) -> Iterator[None]:
    """Three times, whatever it is at."""
    trial.writer = {"pause_seconds": _UNHURRIED}
    yield
    for share in sorted(trial.somewhere() for _ in range(3)):
        yield from trial.until_deeds(share)
        trial.crew.kill(trial.rng.choice([child for child in trial.crew.named("worker") if child.alive]))
        yield from trial.pause(0.01)


@fault("writer killed at any moment")
def writer_killed(trial: Trial) -> Iterator[None]:
    """Three times; another one goes on."""
    yield
    for share in sorted(trial.somewhere() for _ in range(3)):
        yield from trial.until_deeds(share)
        for child in trial.crew.named("writer"):
            if child.alive:
                trial.crew.kill(child)
        yield from trial.pause(0.02)


@fault("everybody killed at once")
def everybody_killed(trial: Trial) -> Iterator[None]:
    """As when a machine's memory runs out."""
    trial.keeper = {"chores": ("audit", "maintain")}
    yield
    yield from trial.until_deeds(trial.somewhere())
    for child in list(trial.crew.children):
        if child.alive:
            trial.crew.kill(child)
    yield from trial.pause(0.05)


# -- frozen --------------------------------------------------------------------------------------------------------------------


def _frozen(trial: Trial, point: str, times: int, *, purged: bool = False) -> Iterator[None]:
    """A worker that stands still at a point for longer than its lease, while another does all that is to be done."""
    trial.needs_hit = True
    trial.writer = {"pause_seconds": _UNHURRIED}
    trial.workers = [{"armed": Armed(point, times, "freeze")}, {}]
    if purged:
        trial.keeper = {"chores": ("maintain",)}
    yield
    yield from trial.until(lambda: trial.frozen() or not trial.writing)
    yield from trial.until(lambda: not trial.writing)
    yield from trial.pause(2 * LEASE_SECONDS)
    other = trial.crew.named("worker")[1].seat
    rounds = other.rounds
    yield from trial.until(lambda: other.rounds > rounds + 1, 4.0)
    for keeper in trial.crew.named("keeper"):
        rounds = keeper.seat.rounds
        yield from trial.until(lambda: keeper.seat.rounds > rounds + 1, 4.0)  # noqa: B023  # used before the next turn
    for child in trial.frozen():
        trial.wake(child)


@fault("frozen past its lease before the graph")
def frozen_before_graph(trial: Trial) -> Iterator[None]:
    """It holds an old state in its hands, which it writes when it wakes."""
    yield from _frozen(trial, "graph.applying", trial.rng.randint(1, 4))


@fault("frozen between apply and settle")
def frozen_before_settling(trial: Trial) -> Iterator[None]:
    """It settles when it wakes, whatever has been owed since."""
    yield from _frozen(trial, "graph.applied", trial.rng.randint(1, 4))


@fault("held up between apply and settle")
def held_up_before_settling(trial: Trial) -> Iterator[None]:
    """For a moment, in which what it has applied is owed anew: by other writes, and by links that are found in the same version."""
    trial.needs_hit = True
    trial.writer = {"pause_seconds": _UNHURRIED}
    trial.workers = [{"armed": Armed("graph.applied", trial.rng.randint(1, 3), "freeze"), "order": ("graph",)}, {}]
    yield
    yield from trial.until(lambda: trial.frozen() or not trial.writing)
    yield from trial.pause(trial.rng.uniform(0.3, 0.8) * LEASE_SECONDS)
    for child in trial.frozen():
        trial.wake(child)


@fault("frozen past its lease")
def frozen_anywhere(trial: Trial) -> Iterator[None]:
    """At any step of a drain."""
    points = ("sync.begun", "sync.read", "sync.claimed", "sync.computed", "entities.stored", "embeddings.stored", "graph.written")
    yield from _frozen(trial, trial.rng.choice((*points, "sync.settled", "sync.acknowledged", "sync.ended")), trial.rng.randint(1, 3))


@fault("frozen past a purge")
def frozen_past_purge(trial: Trial) -> Iterator[None]:
    """What it holds was forgotten meanwhile, and its tombstones are gone."""
    yield from _frozen(trial, "graph.applying", trial.rng.randint(1, 4), purged=True)


@fault("maintenance frozen while it purges")
def frozen_keeper(trial: Trial) -> Iterator[None]:
    """It has listed tombstones, and deletes them long after."""
    trial.needs_hit = True
    point = trial.rng.choice(("maintain.listed", "maintain.fenced"))
    trial.keeper = {"chores": ("maintain",), "armed": Armed(point, trial.rng.randint(1, 2), "freeze")}
    trial.writer = {"pause_seconds": _UNHURRIED}
    yield
    yield from trial.until(lambda: trial.frozen() or not trial.writing)
    yield from trial.until(lambda: not trial.writing)
    yield from trial.pause(LEASE_SECONDS)
    for child in trial.frozen():
        trial.wake(child)


@fault("two workers under one name")
def one_name(trial: Trial) -> Iterator[None]:
    """Neither's lease keeps the other away."""
    trial.workers = [{"holder": "the same"}, {"holder": "the same"}, {"holder": "the same"}]
    yield


@fault("worker replaced under its own name")
def same_name_again(trial: Trial) -> Iterator[None]:
    """It is killed and comes back at once, holding what its predecessor held."""
    trial.needs_hit = True
    trial.replaced = False
    point = trial.rng.choice(("sync.claimed", "sync.computed", "graph.applying", "graph.applied", "sync.settled"))
    trial.workers = [{"holder": "the same", "armed": Armed(point, trial.rng.randint(1, 4))}, {"holder": "the same"}]
    yield


# -- Redis ---------------------------------------------------------------------------------------------------------------------


@fault("Redis emptied")
def redis_emptied(trial: Trial) -> Iterator[None]:
    """Stream and groups are gone, again and again."""
    trial.writer = {"pause_seconds": _UNHURRIED}
    yield
    for _ in range(3):
        yield from trial.until_deeds(trial.somewhere())
        with trial.stack.redis() as server:
            server.flushall()
        yield from trial.pause(0.05)


@fault("Redis restarted without persistence")
def redis_restarted(trial: Trial) -> Iterator[None]:
    """Killed, its files gone, started again."""
    trial.writer = {"pause_seconds": _UNHURRIED}
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
    trial.writer = {"pause_seconds": _UNHURRIED}
    yield
    yield from trial.until_deeds(trial.somewhere())
    trial.stack.signal("redis", signal.SIGSTOP)
    yield from trial.pause(0.4)
    trial.stack.signal("redis", signal.SIGCONT)


# -- the graph -----------------------------------------------------------------------------------------------------------------

_EMBEDDED = ("falkordb",)


def _configured(trial: Trial, engine: Engine, name: str, value: str) -> Iterator[None]:
    trial.writer = {"pause_seconds": _UNHURRIED}
    yield
    yield from trial.until_deeds(trial.somewhere())
    with trial.stack.redis(engine) as server:
        before = server.config_get(name)[name]
        server.config_set(name, value)
        yield from trial.pause(0.4)
        server.config_set(name, before)


@fault("graph killed", _EMBEDDED)
def graph_killed(trial: Trial) -> Iterator[None]:
    """It comes back with what its last snapshot held, which may be nothing."""
    trial.writer = {"pause_seconds": _UNHURRIED}
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


@fault("graph put back to an older snapshot", _EMBEDDED)
def graph_put_back(trial: Trial) -> Iterator[None]:
    """As a restore by somebody who thought that it was only the graph."""
    trial.writer = {"pause_seconds": _UNHURRIED}
    yield
    yield from trial.until_deeds(trial.rng.uniform(0.1, 0.5))
    older = trial.folder / "older.rdb"
    trial.stack.save_graph(older)
    yield from trial.until_deeds(trial.rng.uniform(0.6, 1.0))
    yield from trial.pause(trial.rng.choice((0.0, 0.3)))
    trial.stack.kill("graph")
    trial.stack.put_back_graph(older)


@fault("graph out of memory", _EMBEDDED)
def graph_full(trial: Trial) -> Iterator[None]:
    """It answers, and refuses every write."""
    yield from _configured(trial, "graph", "maxmemory", "1mb")


@fault("graph read-only", _EMBEDDED)
def graph_read_only(trial: Trial) -> Iterator[None]:
    """It was made a replica of nobody, as in a failover."""
    trial.writer = {"pause_seconds": _UNHURRIED}
    yield
    yield from trial.until_deeds(trial.somewhere())
    with trial.stack.redis("graph") as server:
        server.replicaof("127.0.0.1", "1")
        yield from trial.pause(0.4)
        server.replicaof("NO", "ONE")


@fault("graph without its replicas", _EMBEDDED)
def graph_alone(trial: Trial) -> Iterator[None]:
    """It refuses writes until as many replicas follow as it was told to want."""
    yield from _configured(trial, "graph", "min-replicas-to-write", "1")


@fault("graph frozen", _EMBEDDED)
def graph_frozen(trial: Trial) -> Iterator[None]:
    """It takes connections, and never answers."""
    trial.writer = {"pause_seconds": _UNHURRIED}
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


# -- Postgres ------------------------------------------------------------------------------------------------------------------


@fault("Postgres restarted")
def postgres_restarted(trial: Trial) -> Iterator[None]:
    """At once, without a checkpoint: it recovers, and whoever was in the middle of a commit does not know."""
    trial.writer, trial.retried = {"pause_seconds": _UNHURRIED}, True
    yield
    yield from trial.until_deeds(trial.somewhere())
    trial.stack.restart_at_once()


@fault("Postgres killed")
def postgres_killed(trial: Trial) -> Iterator[None]:
    """`kill -9` of the postmaster."""
    trial.writer, trial.retried = {"pause_seconds": _UNHURRIED}, True
    yield
    yield from trial.until_deeds(trial.somewhere())
    trial.stack.kill("postgres")
    yield from trial.pause(trial.rng.uniform(0.0, 0.2))
    trial.stack.start("postgres")


@fault("sessions of the record ended")
def sessions_ended(trial: Trial) -> Iterator[None]:
    """By `pg_terminate_backend`, again and again: a statement at work is undone, one that has just committed is not."""
    trial.retried = True
    trial.writer = {"pause_seconds": _UNHURRIED}
    yield
    with trial.stack.record() as connection:
        ending = b"select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'memory-pipelines'"
        for _ in range(6):
            connection.execute(ending)
            yield from trial.pause(trial.rng.uniform(0.02, 0.12))


# -- networks ------------------------------------------------------------------------------------------------------------------

_EVERYBODY = frozenset({"writers", "workers"})


def _weather(engine: Engine) -> None:
    engines = _EMBEDDED if engine == "graph" else BOTH
    title = {"postgres": "the record", "redis": "Redis", "graph": "the graph"}[engine]

    def slow(trial: Trial) -> Iterator[None]:
        """Every piece takes its time."""
        trial.proxied, trial.retried = _EVERYBODY, engine == "postgres"
        trial.stack.proxy.tell(engine, delay=(0.0, trial.rng.uniform(0.004, 0.01)))
        yield
        yield from trial.until(lambda: not trial.writing, 20.0)
        trial.stack.proxy.calm()

    def cut(trial: Trial) -> Iterator[None]:
        """Connections are reset and refused, for a moment, twice."""
        trial.proxied, trial.retried = _EVERYBODY, engine == "postgres"
        trial.writer = {"pause_seconds": _UNHURRIED}
        yield
        for _ in range(2):
            yield from trial.until_deeds(trial.somewhere())
            trial.stack.proxy.tell(engine, cut=True)
            yield from trial.pause(trial.rng.uniform(0.05, 0.4))
            trial.stack.proxy.tell(engine, cut=False)

    def silent(trial: Trial) -> Iterator[None]:
        """Nothing passes for a moment, and then all of it does."""
        trial.proxied, trial.retried = _EVERYBODY, engine == "postgres"
        trial.writer = {"pause_seconds": _UNHURRIED}
        yield
        yield from trial.until_deeds(trial.somewhere())
        trial.stack.proxy.tell(engine, silent=True)
        yield from trial.pause(trial.rng.uniform(0.1, 0.6))
        trial.stack.proxy.tell(engine, silent=False)

    def lost(trial: Trial) -> Iterator[None]:
        """Requests and answers are lost, with their connection: whether it was done, nobody knows."""
        trial.proxied, trial.retried = _EVERYBODY, engine == "postgres"
        trial.stack.proxy.tell(engine, lose=trial.rng.uniform(0.02, 0.08))
        yield
        yield from trial.until(lambda: not trial.writing, 20.0)
        trial.stack.proxy.calm()

    fault(f"slow network to {title}", engines)(slow)
    fault(f"network to {title} cut", engines)(cut)
    fault(f"network to {title} silent", engines)(silent)
    fault(f"answers of {title} lost", engines)(lost)


_weather("postgres")
_weather("redis")
_weather("graph")


# -- clocks --------------------------------------------------------------------------------------------------------------------


def _jumping(trial: Trial, who: str) -> Iterator[None]:
    changes = {"clock": True}
    trial.writer = {"pause_seconds": _UNHURRIED} | (changes if who == "writer" else {})
    trial.workers = [changes if who == "worker" else {}, {}]
    yield
    for milliseconds in trial.rng.sample((3_600_000, -3_600_000, 86_400_000, 40_000, -5_000), 3):
        yield from trial.until_deeds(trial.somewhere())
        for child in trial.crew.named(who):
            child.seat.jump_ms = milliseconds
        yield from trial.pause(0.05)


@fault("clock of a worker jumps")
def worker_jumps(trial: Trial) -> Iterator[None]:
    """An hour or a day forward and back, its monotonic clock too."""
    yield from _jumping(trial, "worker")


@fault("clock of a writer jumps")
def writer_jumps(trial: Trial) -> Iterator[None]:
    """The same; what the record says of times is not touched by it."""
    yield from _jumping(trial, "writer")
