"""Processes that are killed: at a fail point, at any moment, all at once; and the trial in which nothing happens."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.faults.roles import Armed
from benchmarks.faults.scenarios.registry import UNHURRIED, fault
from benchmarks.faults.trial import Script, Trial
from memory_pipelines.domain import failpoints


@fault("none")
def none(trial: Trial) -> Iterator[None]:
    """Nothing goes wrong."""
    yield
    del trial


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


@fault("worker killed at any moment")
def worker_killed(trial: Trial) -> Iterator[None]:
    """Three times, whatever it is at."""
    trial.writer = {"pause_seconds": UNHURRIED}
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
