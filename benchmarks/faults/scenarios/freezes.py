"""Processes that are stopped and woken, and workers that share a name."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.faults.roles import Armed
from benchmarks.faults.scenarios.registry import UNHURRIED, fault
from benchmarks.faults.stack import LEASE_SECONDS
from benchmarks.faults.trial import Trial


def _frozen(trial: Trial, point: str, times: int, *, purged: bool = False) -> Iterator[None]:
    """A worker that stands still at a point for longer than its lease, while another does all that is to be done."""
    trial.needs_hit = True
    trial.writer = {"pause_seconds": UNHURRIED}
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
    trial.writer = {"pause_seconds": UNHURRIED}
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
    trial.writer = {"pause_seconds": UNHURRIED}
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
